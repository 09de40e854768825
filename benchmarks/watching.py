"""How much memory a process holds."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

STATUS = Path("/proc/self/status")


@contextmanager
def watched() -> Iterator[Callable[[], float]]:
    """Gives the largest anonymous memory so far, in GiB: without pages of files, which the system may drop."""
    peak, ended = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.05):
            line = next(line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon"))
            peak = max(peak, int(line.split()[1]))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: peak / 2**20
    finally:
        ended.set()
        thread.join()
