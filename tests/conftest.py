"""What all tests share."""

import gc
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from programs import find_program

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# The same examples every time, and no timed examples: a slow machine must not fail a test.
settings.register_profile("exact", deadline=None, derandomize=True)
settings.load_profile("exact")

# Tests hold much that is no garbage, such as torch: Python should search it for cycles seldom.
gc.set_threshold(50_000, 20, 20)

# A shell ignores Ctrl-C for what it starts in the background, and so would all that is started from here.
signal.signal(signal.SIGINT, signal.default_int_handler)


SLOW = {"test_jobs", "test_training", "test_faithfulness", "test_site", "test_tracking", "test_ablate"}
QUICK = {"test_definition"}
# One process makes the project that most tests of the pipeline share; meanwhile the others need not wait for it.
FIRST = ("test_experiments", "test_own_table", "test_jobs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, and begin with the tests that take longest, so that several processes end together."""
    for item in items:
        name, folders = item.path.stem, item.path.parts
        if name in SLOW or (name not in QUICK and not {"pipeline", "serving"}.isdisjoint(folders)):
            item.add_marker("slow")
    items.sort(key=lambda item: (_turn(item.path.stem), "pipeline" not in item.path.parts))


def _turn(name: str) -> int:
    return FIRST.index(name) if name in FIRST else len(FIRST)


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Debian's Chromium, or another one that is installed."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - few tests need it

    path = find_program("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
