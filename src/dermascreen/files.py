"""Files that are whole or absent: everything is written under a temporary name and moved into place."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

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


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; a missing or broken file raises a DermascreenError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingInputError(path) from None
    except ValueError:
        raise BadTableError(path, "is not JSON") from None
    if not isinstance(content, dict):
        raise BadTableError(path, "does not hold a JSON object")
    return content


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a CSV file without the index; floats keep every digit."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a CSV file that has at least `columns`; a missing file or column raises a DermascreenError."""
    try:
        return parse_table(path, columns)
    except FileNotFoundError:
        raise MissingInputError(path) from None
    except ValueError as problem:
        raise BadTableError(path, str(problem)) from None


def parse_table(file: Path | TextIO, columns: Sequence[str]) -> pd.DataFrame:
    """The CSV table in `file`; ValueError says what is wrong with it, such as "lacks the column 'path'"."""
    try:
        table = pd.read_csv(file, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise ValueError("is not a CSV table") from None
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(f"lacks the column {missing[0]!r}")
    return table
