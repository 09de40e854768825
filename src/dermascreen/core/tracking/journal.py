"""What runs log, kept in files until MLflow has it.

A run is a folder below .dermascreen/tracking. `events.jsonl` has a line for each thing that was logged, `files/` has
copies of the artifacts, and `sent.json` says how much of this MLflow has; `missed` is there if it should have more. The
names of the folders sort by the time at which the runs began. A process holds a lock on the events of its run for as
long as it lives, however it ends.
"""

import errno
import fcntl
import json
import os
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from dermascreen.core.files import CACHE, write_json

FOLDER = CACHE / "tracking"  # in the project
EVENTS, FILES, SENT, MISSED, LOCK = "events.jsonl", "files", "sent.json", "missed", "lock"
NEW, DELETED = "new-", "deleted-"  # before the name of a folder that is not whole
OPEN, METRICS, TAGS, DATASET, ARTIFACT = "open", "metrics", "tags", "dataset", "artifact"
OUTPUTS, CLOSE = "outputs", "close"

Event = dict[str, Any]


def now() -> int:
    """Milliseconds since 1970, as MLflow counts time."""
    return time.time_ns() // 1_000_000


class Journal:
    """Write what a run logs, beginning with the values that open it. Methods raise OSError as the disk does."""

    def __init__(self, root: Path, stage: str, **values: object) -> None:
        self.name = f"{time.time_ns():020d}-{stage}-{os.getpid()}"
        self.folder = root / FOLDER / self.name
        self._files, self._torn = 0, False
        new = self.folder.with_name(f"{NEW}{self.name}")
        new.mkdir(parents=True)
        self._events = (new / EVENTS).open("ab", buffering=0)
        fcntl.flock(self._events, fcntl.LOCK_EX)
        self.write(OPEN, stage=stage, **values)
        new.rename(self.folder)

    def write(self, what: str, **values: object) -> None:
        """Append an event: in one call, so that a process that is killed leaves a whole line or none.

        A full disk may take a part of it. That is ended by the next line's beginning, and not read.
        """
        line = b"\n" * self._torn + json.dumps({"event": what, "at": now(), **values}).encode() + b"\n"
        self._torn = True
        if self._events.write(line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder / EVENTS))
        self._torn = False

    def keep(self, path: Path) -> None:
        """Copy an artifact, a file or folder, and append the event of it."""
        kept = Path(FILES, str(self._files), path.name)
        self._files += 1
        target = self.folder / kept
        target.parent.mkdir(parents=True)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copyfile(path, target)
        self.write(ARTIFACT, file=kept.as_posix())

    def close(self, status: str) -> None:
        """Append the end of the run, and let others send it."""
        try:
            self.write(CLOSE, status=status)
        finally:
            self._events.close()


@dataclass(frozen=True)
class Sent:
    """How much of an entry a store has: the run's id, empty while it is being created, and the number of events."""

    store: str  # a hash of the store's address, which may hold a password
    run: str = ""
    events: int = 0


@dataclass(frozen=True)
class Entry:
    """A run in the journal."""

    folder: Path

    def events(self) -> list[Event]:
        """All events so far; the first one opens the run, and may be all."""
        found = []
        for line in (self.folder / EVENTS).read_bytes().split(b"\n")[:-1]:
            with suppress(ValueError):  # of a disk that was full
                found.append(json.loads(line))
        return found

    def is_alive(self) -> bool:
        """Whether the process that logs this run may log more."""
        with (self.folder / EVENTS).open("rb") as events:
            try:
                fcntl.flock(events, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def sent(self, store: str) -> Sent | None:
        """How much of this the store has, if it was begun."""
        try:
            found = Sent(**json.loads((self.folder / SENT).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return found if found.store == store else None

    def mark(self, sent: Sent) -> None:
        write_json(asdict(sent), self.folder / SENT)

    def miss(self) -> None:
        """Remember that the store did not take this when it should have."""
        (self.folder / MISSED).touch()

    def was_missed(self) -> bool:
        return (self.folder / MISSED).exists()

    def remove(self) -> None:
        """Delete it; first its name, so that one that is half deleted is never sent again."""
        deleted = self.folder.rename(self.folder.with_name(f"{DELETED}{self.folder.name}"))
        shutil.rmtree(deleted, ignore_errors=True)  # another process may do so at the same time


def entries(root: Path) -> list[Entry]:
    """The runs in the journal of the project at `root`, the first to begin first."""
    for path in (root / FOLDER).glob(f"{DELETED}*"):  # by a process that was killed meanwhile
        shutil.rmtree(path, ignore_errors=True)
    return [Entry(path) for path in sorted((root / FOLDER).glob("[0-9]*-*"))]


def sending_lock(root: Path) -> FileLock:
    """Held while one process sends what waits in a project."""
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    return FileLock(root / FOLDER / LOCK)
