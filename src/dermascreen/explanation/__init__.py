"""What the network looked at, and whether to believe it."""
