"""The network: what it is, how it learns, how it predicts."""
