"""The files that stages hand on: path, schema, reader and writer of each, in one place."""
