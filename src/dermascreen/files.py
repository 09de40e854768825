"""Files that are whole or absent: everything is written under a temporary name and moved into place."""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from dermascreen.errors import BadTableError, MissingInputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` for a file or folder; move it to `path` on success, else drop it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _remove(temporary)
    try:
        yield temporary
        if path.is_dir():  # a folder cannot be replaced in one step
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a write that fails, on a full disk say, does not know its file
        raise
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write `content` as indented JSON; NaN and infinity, which JSON does not know, raise ValueError."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def fingerprint(content: object) -> str:
    """A name for what JSON can hold, 32 characters: another content, another name."""
    return hashlib.md5(json.dumps(content, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


class Record(dict[str, Any]):
    """A JSON object of the file `path`; a key that it lacks raises a BadTableError."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        super().__init__(content)
        self.path = path

    def __missing__(self, key: str) -> NoReturn:
        raise BadTableError(self.path, f"lacks {key!r}")

    def number(self, *keys: str) -> float:
        """The finite number under `keys`, each within the one before; a BadTableError where something else is."""
        value: Any = self
        for key in keys:
            value = value[key] if isinstance(value, Record) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise BadTableError(self.path, f"has no number for {'.'.join(keys)}")
        return float(value)


def read_json(path: Path) -> Record:
    """Read a JSON object; a missing or broken file raises a DermascreenError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_hook=partial(Record, path))
    except FileNotFoundError:
        raise MissingInputError(path) from None
    except ValueError:
        raise BadTableError(path, "is not JSON") from None
    if not isinstance(content, Record):
        raise BadTableError(path, "does not hold a JSON object")
    return content
