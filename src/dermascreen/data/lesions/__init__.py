"""Which photographs show the same lesion."""
