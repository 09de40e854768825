"""One training at a time for the same settings and data, which share a folder of checkpoints."""

import shutil
from pathlib import Path

from filelock import FileLock, Timeout


def locked(folder: Path) -> FileLock:
    """Wait until no other training of the same settings uses `folder`, as one of a queue may, and keep it.

    The lock is released with the last reference to what is returned.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("train: waits for another training of the same settings and data to end", flush=True)
        lock.acquire()
    return lock


def discard(folder: Path, lock: FileLock | None = None) -> None:
    """Delete `folder` and what locks it, unless a training uses them; `lock` is the caller's own, if it has one."""
    lock = lock or FileLock(f"{folder}.lock")
    try:
        with lock.acquire(timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
            Path(lock.lock_file).unlink()  # whoever waits for it opens another
    except Timeout:
        return
