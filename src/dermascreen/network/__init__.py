"""The network: its architecture, its initial weights and its input."""
