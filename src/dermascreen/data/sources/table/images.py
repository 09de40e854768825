"""Which file each row of a table means."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dermascreen.core.errors import ArchiveError, TableError
from dermascreen.data.sources.archives import Archive
from dermascreen.data.sources.layouts import FORMAT_OF, SUFFIXES, Parts

REDUCED = "_downsampled"  # what the ISIC challenges append to names of images that they made smaller
SCIENTIFIC = re.compile(r"\d(\.\d+)?[eE]\+?\d+")
MONTH = re.compile(
    r"(\d{1,2}[-. ](jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*|"
    r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[-. ]\d{2,4})",
    re.IGNORECASE,
)

AS_TEXT = "give the column as it was before a spreadsheet opened it, or import it as text"


def stem(name: str) -> str:
    """An image's name without folders, the suffix of an image, what says that it was reduced, and case."""
    return _exact(name).removesuffix(REDUCED)


def _exact(name: str) -> str:
    last = PurePosixPath(name.replace("\\", "/")).name
    base, dot, suffix = last.rpartition(".")
    known = dot and f".{suffix.casefold()}" in {*SUFFIXES, *FORMAT_OF}
    return (base if known else last).casefold()


class Files:
    """The photographs of an archive, to be found by the names that tables give them."""

    def __init__(self, archive: Archive, photographs: Iterable[Parts]) -> None:
        self._archive = archive
        self.by_stem: dict[str, list[Parts]] = {}
        for parts in sorted(photographs, key=lambda one: (len(one), one)):
            self.by_stem.setdefault(stem(parts[-1]), []).append(parts)

    def find(self, name: str) -> list[Parts]:
        """The files that a row may mean by `name`: those in the folders that it names, where it names any."""
        alike = self.by_stem.get(stem(name), [])
        found = [parts for parts in alike if _exact(parts[-1]) == _exact(name)] or alike
        folders = PurePosixPath(name.replace("\\", "/")).parts[:-1]
        if len(found) > 1 and folders:
            within = tuple(part.casefold() for part in folders)
            return [parts for parts in found if tuple(map(str.casefold, parts[:-1]))[-len(within) :] == within] or found
        return found

    def choose(self, wanted: Mapping[str, Sequence[Parts]]) -> tuple[dict[str, Parts], list[Parts]]:
        """One of the files of each name, and the others, which must hold the same bytes.

        Raises TableError for two photographs of one name.
        """
        several = {name: found for name, found in wanted.items() if len(found) > 1}
        kept = {parts: found[0] for found in several.values() for parts in found[1:]}
        every = [parts for found in several.values() for parts in found]
        digest = {parts: hashlib.sha256(content).digest() for parts, content in self._archive.contents(every)}
        for parts, first in kept.items():
            if digest[parts] != digest[first]:
                said = f"holds {'/'.join(first)} and {'/'.join(parts)}, two photographs of one name"
                raise TableError(str(self._archive.path), said, "name their folders in the table, or rename one")
        return {name: found[0] for name, found in wanted.items()}, list(kept)


class Matched(NamedTuple):
    """Which files the names in a table mean."""

    files: dict[str, list[Parts]]  # by name
    without_file: list[str]  # names
    without_row: list[Parts]


def match(where: Mapping[str, str], files: Files, most: float, path: Path) -> Matched:
    """Find the files of each name in a table.

    Raises TableError if more than the share `most` of the names has no file, or of the files no name; if a spreadsheet
    has changed a name; and if two names mean one file.

    Parameters: `where` each name stands; `path` of the archive.
    """
    found = {name: files.find(name) for name in where}
    by_file: dict[Parts, str] = {}
    for name, several in found.items():
        for parts in several:
            if (other := by_file.setdefault(parts, name)) != name:
                raise TableError(where[name], f"names the image {name} again, after {where[other]}", "keep one of them")
    missing = [name for name, several in found.items() if not several]
    without_row = [parts for several in files.by_stem.values() for parts in several if parts not in by_file]
    _require_intact(missing, where, [stem(parts[-1]) for parts in without_row])
    if not files.by_stem:
        raise ArchiveError(f"{path} holds no photograph; give the zip or folder that holds the images of the table.")
    if not by_file:
        raise TableError(
            where[missing[0]],
            f"names the image {missing[0]}, and neither it nor any other image of the table is in {path}, which holds "
            f"{without_row[0][-1]}",
            "give the table of these images",
        )
    _require_few(
        "rows name an image that is not there", [f"{name} in {where[name]}" for name in missing], len(found), most, path
    )
    names = ["/".join(parts) for parts in without_row]
    _require_few("photographs have no row", names, len(by_file) + len(without_row), most, path)
    return Matched({name: several for name, several in found.items() if several}, missing, without_row)


def _require_few(what: str, found: Sequence[str], total: int, most: float, path: Path) -> None:
    if len(found) > most * total:
        raise TableError(
            str(path), f"does not fit its table: {len(found):,} of {total:,} {what} (such as {found[0]})",
            "complete it, or raise data.table.max_unmatched",
        )  # fmt: skip


def _require_intact(missing: Iterable[str], where: Mapping[str, str], free: Iterable[str]) -> None:
    """Raise TableError if a name that no file has is one that a spreadsheet has changed.

    Parameters: `free`, the stems of files that no row names.
    """
    numbered = {int(name): name for name in free if name.isascii() and name.isdigit()}
    for name in missing:
        wanted = stem(name)
        if wanted.isascii() and wanted.isdigit() and int(wanted) in numbered:
            said = f"names the image {name}, but the file is {numbered[int(wanted)]}: it lost leading zeros"
            raise TableError(where[name], said, AS_TEXT)
        require_written(where[name], "image", name)


def require_written(where: str, what: str, value: str) -> None:
    """Raise TableError if a name or number of something is a date, or a number cut short, of a spreadsheet."""
    if SCIENTIFIC.fullmatch(value):
        raise TableError(where, f"names the {what} {value}, a number that a spreadsheet cut short", AS_TEXT)
    if MONTH.fullmatch(value):
        raise TableError(where, f"names the {what} {value}, which a spreadsheet took for a date", AS_TEXT)
