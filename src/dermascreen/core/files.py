"""Files that are whole or absent: everything is written under a temporary name and moved into place."""

import errno
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Next to dvc.yaml, and in neither Git nor DVC: partial downloads, checkpoints, and what MLflow does not have yet.
CACHE = Path(".dermascreen")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path` for a file or folder; move it to `path` on success, or delete it.

    Raises IsADirectoryError, and leaves a folder that is at `path` as it is, where a file was written for it.
    """
    if not path.name:  # the working folder itself
        raise _is_a_folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _remove(temporary)
    try:
        yield temporary
        if path.is_dir():
            if not temporary.is_dir():
                raise _is_a_folder(path)
            shutil.rmtree(path)  # a folder cannot be replaced in one step
        temporary.replace(path)
    except OSError as error:
        # A failed write, such as on a full disk, names no file, or the one that it copies.
        named = error.filename
        if not named or error.errno in (errno.ENOSPC, errno.EDQUOT) or str(named).startswith(str(temporary)):
            error.filename = str(path)
        raise
    finally:
        _remove(temporary)


def _is_a_folder(path: Path) -> IsADirectoryError:
    return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def remove_remnants(path: Path) -> None:
    """Delete what killed processes left of `path` under the names that `replacing` gives."""
    for remnant in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        _remove(remnant)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write `content` as indented JSON; NaN and infinity, which JSON does not know, raise ValueError."""
    write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", path)


def fingerprint(content: object) -> str:
    """A hash of what JSON can hold, 32 characters."""
    return hashlib.md5(json.dumps(content, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def write_text(text: str, path: Path) -> None:
    """Write text in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
