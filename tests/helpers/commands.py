"""The command line, for tests that call it where they are."""

from collections.abc import Sequence

from dermascreen import cli


def main(arguments: Sequence[str]) -> None:
    """Run a command; SystemExit where it ends with another code than 0."""
    try:
        cli.main(arguments)
    except SystemExit as end:
        if end.code:
            raise
