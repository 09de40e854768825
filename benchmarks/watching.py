"""How much memory processes hold."""

import subprocess
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

    def own() -> int:
        return _kib(Path("/proc/self/status"), "RssAnon")

    def of_all() -> int:
        first = psutil.Process(pid)
        rollups = [Path(f"/proc/{one.pid}/smaps_rollup") for one in (first, *first.children(recursive=True))]
        return sum(_kib(rollup, "Pss_Anon", "Pss_Shmem") for rollup in rollups)

    with _largest(own if pid is None else of_all, 0.05 if pid is None else 2.0) as peak:
        yield lambda: peak() / 2**20


@contextmanager
def watched_gpu() -> Iterator[Callable[[], float]]:
    """Gives the largest memory so far, in GiB, that is in use on the GPU, by whichever process."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    with _largest(lambda: int(subprocess.check_output(command).split()[0]), 0.5) as peak:
        yield lambda: peak() / 2**10


@contextmanager
def _largest(look: Callable[[], int], seconds: float) -> Iterator[Callable[[], int]]:
    """Gives the largest value that `look` has found, in a thread that calls it every so many seconds."""
    peak, ended = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(seconds):
            with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):  # it has just ended
                peak = max(peak, look())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: peak
    finally:
        ended.set()
        thread.join()


def _kib(file: Path, *names: str) -> int:
    fields = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
    return sum(int(fields[name].split()[0]) for name in names)
