"""From a file's bytes to the picture that an image viewer shows."""
