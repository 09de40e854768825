"""What all tests share."""

import signal

import pytest
from hypothesis import settings

# The same examples every time, and no timed examples: a slow machine must not fail a test.
settings.register_profile("exact", deadline=None, derandomize=True)
settings.load_profile("exact")

# A shell ignores Ctrl-C for what it starts in the background, and so would all that is started from here.
signal.signal(signal.SIGINT, signal.default_int_handler)


SLOW = {"test_jobs", "test_training", "test_faithfulness", "test_site", "test_tracking", "test_ablate"}
QUICK = {"test_definition"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, and begin with the tests that take longest, so that several processes end together."""
    for item in items:
        name, folders = item.path.stem, item.path.parts
        if name in SLOW or (name not in QUICK and not {"pipeline", "serving"}.isdisjoint(folders)):
            item.add_marker("slow")
    items.sort(key=lambda item: "pipeline" not in item.path.parts and item.path.stem != "test_jobs")
