"""Which photographs a command means: files, folders, patterns, or a list of them on standard input."""

import glob
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TextIO

from dermascreen.errors import InputError
from dermascreen.images.photograph import read_bounded
from dermascreen.serving.judge import Photograph

SUFFIXES = (".jpg", ".jpeg", ".png")  # of the files that are taken from a folder
LISTED = "-"


def find_photographs(arguments: Iterable[str], listing: TextIO) -> list[Photograph]:
    """The photographs that `arguments` name, each file once, in the order they are named in.

    A folder gives its JPEG and PNG files and those of its subfolders, sorted by path; a pattern such as scans/*.jpg
    what it matches; - the lines of `listing`, each of which may be any of these. A file that is named itself may have
    any name and may be missing: it is then for whoever reads it to say so. Raises InputError where nothing is found.
    """
    named = list(arguments)
    paths = dict.fromkeys(path for argument in named for path in _expand(argument, listing))
    if not paths:
        raise InputError(f"{' '.join(named)}: no JPEG or PNG file is there.")
    return [Photograph(str(path), partial(_read, path)) for path in paths]


def _expand(argument: str, listing: TextIO) -> Iterator[Path]:
    path = Path(argument)
    if argument == LISTED:
        for line in listing:
            if name := line.rstrip("\r\n"):
                yield from _expand(name, listing) if name != LISTED else [path]
    elif path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    elif not path.exists() and glob.has_magic(argument):
        matches = sorted(map(Path, glob.glob(argument, recursive=True)))  # noqa: PTH207 - absolute patterns too
        yield from (match for match in matches if match.is_file())
    else:
        yield path


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return read_bounded(file)
