"""How much memory processes hold."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


@contextmanager
def watched(pid: int | None = None) -> Iterator[Callable[[], float]]:
    """Gives the largest anonymous memory so far, in GiB, of a process with its descendants; this one by default.

    Pages of files are left out, which the system may drop; what several processes share is divided among them.
    """
    peak, ended = 0, threading.Event()
    first = psutil.Process(pid)

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.2):
            with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                peak = max(peak, sum(_held(process.pid) for process in (first, *first.children(recursive=True))))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: peak / 2**20
    finally:
        ended.set()
        thread.join()


def _held(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss_Anon")), 0)
