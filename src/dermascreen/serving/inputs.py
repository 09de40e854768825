"""The photographs that a command names: files, folders, patterns, or a list of them on standard input."""

import glob
import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dermascreen.core.errors import ImageError, InputError
from dermascreen.data.photographs.header import FORMATS
from dermascreen.data.photographs.photograph import read_bounded
from dermascreen.data.sources.layouts import Parts, describe, examples, not_a_photograph, unread_format, walk
from dermascreen.report.numbers import counted
from dermascreen.serving.photographs import Photograph

LISTED = "-"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Found(NamedTuple):
    """The photographs that were found, and in words what was skipped."""

    photographs: list[Photograph]
    passed_over: list[str]


class _PassedOver(NamedTuple):
    reason: str  # of `layouts.REASONS`
    parts: Parts


def find_photographs(arguments: Iterable[str], listing: Iterable[bytes]) -> Found:
    """The photographs that `arguments` name, each file once, in the order in which they are named.

    A folder stands for its photographs and those of its subfolders, sorted by path, with links followed. Files known
    not to be photographs (`layouts.not_a_photograph`) are skipped, except images in formats other than JPEG and PNG,
    which fail when they are read. A pattern such as scans/*.jpg stands for what it matches; - for the names in
    `listing`, the bytes of standard input: its lines, or names separated by NUL. Each of these may be a file, a folder
    or a pattern. A file that is named explicitly may have any name and may be missing, which is reported when it is
    read. Raises InputError if nothing is found.
    """
    named = list(arguments)
    photographs: dict[str, Photograph] = {}
    passed_over: dict[str, list[Parts]] = {}
    fruitless: list[str] = []
    for name in (name for one in named for name in (_listed(listing) if one == LISTED else [one])):
        fruitful = False
        for found in _expand(name):
            if isinstance(found, Photograph):
                fruitful = True
                photographs.setdefault(found.name, found)
            elif found.parts not in passed_over.setdefault(found.reason, []):
                passed_over[found.reason].append(found.parts)
        if not fruitful:
            fruitless.append(name)
    left = describe(passed_over)
    if not photographs:
        but = f", but {', '.join(left)}" if left else ""
        raise InputError(f"{' '.join(named)}: no JPEG or PNG file is there{but}.")
    if fruitless:
        several = counted(len(fruitless), "folder or pattern", "folders or patterns")
        left.append(f"{several} without a JPEG or PNG file ({examples(fruitless)})")
    return Found([*photographs.values()], left)


def _listed(listing: Iterable[bytes]) -> Iterator[str]:
    """The names in a list: its lines, or separated by NUL, as `find -print0` writes names with line breaks."""
    content = b"".join(listing).removeprefix(BYTE_ORDER_MARK)
    names = content.split(b"\0") if b"\0" in content else map(_without_return, content.split(b"\n"))
    yield from (os.fsdecode(name) for name in names if name)


def _without_return(line: bytes) -> bytes:
    """A line of a list without Windows' carriage return at its end, unless a file's name ends with one."""
    return line if line.endswith(b"\r") and os.path.lexists(line) else line.removesuffix(b"\r")


def _expand(name: str) -> Iterator[Photograph | _PassedOver]:
    path = Path(name)
    if _is_folder(path):
        yield from _in_folder(path)
    elif not glob.has_magic(name) or os.path.lexists(name):
        yield _photograph(path)
    elif "**" in path.parts:
        yield from _matching(path.parts)
    else:
        for match in sorted(map(Path, glob.glob(name))):  # noqa: PTH207 - absolute patterns too
            yield from _in_folder(match) if _is_folder(match) else [_photograph(match)]


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - no error, unlike Path's, for a name that is longer than any path


def _in_folder(folder: Path) -> Iterator[Photograph | _PassedOver]:
    for parts, reason in _below(folder):
        yield _found(folder, parts, reason)


def _found(folder: Path, parts: Parts, reason: str | None) -> Photograph | _PassedOver:
    """A file of a folder that stands for its photographs."""
    path = folder.joinpath(*parts)
    return _photograph(path) if reason is None else _PassedOver(reason, path.parts)


def _matching(pattern: Parts) -> Iterator[Photograph | _PassedOver]:
    """What a pattern with ** matches; unlike Python's own implementation, this terminates with circular links."""
    fixed = next(number for number, part in enumerate(pattern) if glob.has_magic(part))
    folder, pattern = Path(*pattern[:fixed]), pattern[fixed:]
    if _is_folder(folder):
        for parts, reason in _below(folder):
            if _matches(parts, pattern):
                yield _photograph(folder.joinpath(*parts))
            elif any(_matches(parts[:depth], pattern) for depth in range(1, len(parts))):  # of a folder above it
                yield _found(folder, parts, reason)


def _matches(parts: Parts, pattern: Parts) -> bool:
    if not pattern or not parts:
        return not parts and set(pattern) <= {"**"}
    hidden = parts[0].startswith(".")
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or (not hidden and _matches(parts[1:], pattern))
    return (
        fnmatchcase(parts[0], pattern[0]) and hidden == pattern[0].startswith(".") and _matches(parts[1:], pattern[1:])
    )


def _below(folder: Path) -> Iterator[tuple[Parts, str | None]]:
    """What is below a folder, sorted by path, each with the reason why it is skipped, if there is one."""
    for entry in sorted(walk(folder, skip_closed=True)):
        reason = not_a_photograph(entry)
        # An image in another format was probably meant as a photograph, and a closed folder probably holds some.
        yield entry.parts, None if reason == "unread_formats" or entry.kind == "closed folder" else reason


def _photograph(path: Path) -> Photograph:
    return Photograph(str(path), partial(_read, path))


def _read(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # reading a pipe would wait for somebody to write to it
        raise ImageError(str(path), "is not a file")
    with path.open("rb") as file:
        content = read_bounded(file)
    other = unread_format(path.name)
    if other is not None and not content.startswith(tuple(FORMATS)):  # a JPEG is a JPEG, whatever its name
        raise ImageError(str(path), f"is {other}, not JPEG or PNG")
    return content
