"""A trained model in use: on files, over HTTP, on a page, and in a registry."""
