"""Where pixels come from and how they are grouped."""
