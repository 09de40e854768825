"""What all tests share."""

import signal

import pytest
from hypothesis import settings

# The same examples every time, and no timed examples: a slow machine must not fail a test.
settings.register_profile("exact", deadline=None, derandomize=True)
settings.load_profile("exact")

# A shell ignores Ctrl-C for what it starts in the background, and so would all that is started from here.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take longest, so that several processes end together."""
    items.sort(key=lambda item: "pipeline" not in item.path.parts and item.path.stem != "test_jobs")
