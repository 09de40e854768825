"""From initial weights to trained weights."""
