"""Where photographs and labels come from."""
