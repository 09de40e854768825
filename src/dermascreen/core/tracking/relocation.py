"""A store that was moved or copied with its project finds its files again."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from dermascreen.core.tracking.address import ARTIFACTS, database_file, store_uri

PLACES = (  # tables and columns in which an MLflow database stores the locations of artifacts
    ("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location"),
    ("model_versions", "source"), ("model_versions", "storage_location"),
)  # fmt: skip
BUSY_TIMEOUT = 20.0  # seconds to wait while others write into the database, as MLflow waits


def move_in(root: Path) -> None:
    """Let a store in the project find its artifacts here, if the project was moved or copied here with both.

    MLflow stores absolute locations. A location .../mlartifacts from before the move becomes this project's
    mlartifacts, if the files are there; a store outside the project is left as it is.
    """
    file = database_file(store_uri(root))
    if file is None or not file.is_file() or not file.resolve().is_relative_to(root.resolve()):
        return
    here = (root / ARTIFACTS).as_uri()
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT)) as database:
        for table, column in PLACES:
            if column not in {row[1] for row in database.execute(f"PRAGMA table_info({table})")}:
                continue
            places = database.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall()  # noqa: S608 - names of ours
            of_files = table != "experiments"
            moved = [
                (new, old) for (old,) in places if old and (new := _moved(old, here, root, file, of_files)) is not None
            ]
            if moved:
                with database:
                    database.executemany(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", moved)  # noqa: S608


def _moved(old: str, here: str, root: Path, file: Path, of_files: bool) -> str | None:
    """The new location for an old one, now that the store's `file` is in `root`; None if it does not change.

    Parameters: `of_files`, whether it holds the files of a run or model, rather than being where new ones will go.
    """
    found = re.fullmatch(rf"(file:///(?:.*/)?{ARTIFACTS})(/.+)?", old)
    if found is None or found[1] == here:
        return None
    there, new = local_path(found[1]), here + (found[2] or "")
    if of_files:
        return new if is_there(local_path(new)) else None
    # New files do not go to the old location if nothing is left there, or if it belongs to another copy.
    other = there.parent / file.resolve().relative_to(root.resolve())
    return new if is_there(root / ARTIFACTS) or is_there(other) or not is_there(there) else None


def is_there(path: Path) -> bool:
    """Whether a path exists for this user, who may not be allowed to look into another user's home."""
    try:
        return path.exists()
    except OSError:
        return False


def local_path(uri: str) -> Path:
    return Path(url2pathname(urlsplit(uri).path))
