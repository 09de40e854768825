"""A trained model in use: on files, over HTTP and on a page."""
