"""The command `dermascreen`: `python -m dermascreen` where it is not installed."""

from dermascreen.cli import main

if __name__ == "__main__":
    main()
