"""How much memory processes hold."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


@contextmanager
def watched(pid: int | None = None) -> Iterator[Callable[[], float]]:
    """Gives the largest memory so far, in GiB, without pages of files, which the system may drop.

    Of this process, or of process `pid` with its descendants: what several of them share is divided among them, and a
    look takes milliseconds, so that there is only one in two seconds.
    """
    peak, ended = 0, threading.Event()

    def own() -> int:
        return _kib(Path("/proc/self/status"), "RssAnon")

    def of_all() -> int:
        first = psutil.Process(pid)
        rollups = [Path(f"/proc/{one.pid}/smaps_rollup") for one in (first, *first.children(recursive=True))]
        return sum(_kib(rollup, "Pss_Anon", "Pss_Shmem") for rollup in rollups)

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.05 if pid is None else 2.0):
            with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):  # it has just ended
                peak = max(peak, own() if pid is None else of_all())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: peak / 2**20
    finally:
        ended.set()
        thread.join()


def _kib(file: Path, *names: str) -> int:
    fields = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
    return sum(int(fields[name].split()[0]) for name in names)
