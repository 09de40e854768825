"""Which file each row of a table means."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dermascreen.core.errors import ArchiveError, TableError
from dermascreen.data.sources.archives import Archive
from dermascreen.data.sources.layouts import FORMAT_OF, SUFFIXES, Parts

REDUCED = "_downsampled"  # what the ISIC challenges append to names of images that they made smaller
MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
SCIENTIFIC = re.compile(r"\d(\.\d+)?E\+\d+")  # these two as spreadsheets write them, and nobody else
MONTH = re.compile(rf"\d{{1,2}}-({MONTHS})|({MONTHS})-\d{{2}}")

AS_TEXT = "give the column as it was before a spreadsheet opened it, or import it as text"


def stem(name: str) -> str:
    """An image's name without folders, the suffix of an image, what says that it was reduced, and case."""
    return _exact(name).removesuffix(REDUCED)


def _exact(name: str) -> str:
    last = _last(name)
    base, dot, suffix = last.rpartition(".")
    known = dot and f".{suffix.casefold()}" in {*SUFFIXES, *FORMAT_OF}
    return (base if known else last).casefold()


def folders_of(name: str) -> tuple[str, ...]:
    """The folders in a name, without case."""
    return tuple(_composed(part) for part in PurePosixPath(name.replace("\\", "/")).parts[:-1])


def _last(name: str) -> str:
    return _composed(PurePosixPath(name.replace("\\", "/")).name)


def _composed(part: str) -> str:
    """Without case, and with letters composed, which macOS takes apart."""
    return unicodedata.normalize("NFC", part).casefold()


def _shared(wanted: tuple[str, ...], there: Parts) -> int | None:
    """How many last folders two names share; None if neither ends with the other: a table may name more, or fewer."""
    folders = tuple(map(_composed, there))
    shared = min(len(wanted), len(folders))
    return shared if wanted[len(wanted) - shared :] == folders[len(folders) - shared :] else None


class Files:
    """The photographs of an archive, to be found by the names that tables give them."""

    def __init__(self, archive: Archive, photographs: Iterable[Parts]) -> None:
        self._archive = archive
        self.by_stem: dict[str, list[Parts]] = {}
        for parts in sorted(photographs, key=lambda one: (len(one), one)):
            self.by_stem.setdefault(stem(parts[-1]), []).append(parts)

    def find(self, name: str) -> list[Parts]:
        """The files that a row may mean by `name`: those whose folders end as its do, where it names any.

        Of several, those with the same suffix, and with or without what says that they were reduced, come first.
        """
        shared = {parts: _shared(folders_of(name), parts[:-1]) for parts in self.by_stem.get(stem(name), [])}
        most = max((one for one in shared.values() if one is not None), default=None)
        alike = [parts for parts, one in shared.items() if one is not None and one == most]
        for same in (_exact, _last):
            alike = [parts for parts in alike if same(parts[-1]) == same(name)] or alike
        return alike

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
    found: dict[str, list[Parts]] = {}
    by_file: dict[Parts, str] = {}
    for name in sorted(where, key=lambda one: -len(folders_of(one))):  # who names folders takes its files first
        several = files.find(name)
        found[name] = [parts for parts in several if parts not in by_file]
        if several and not found[name]:
            first = by_file[several[0]]
            raise TableError(where[name], f"names the image {name} again, after {where[first]}", "keep one of them")
        by_file |= dict.fromkeys(found[name], name)
    found = {name: found[name] for name in where}
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
        if wanted.isascii() and wanted.isdigit() and numbered.get(int(wanted), wanted) != wanted:
            said = f"names the image {name}, but the file is {numbered[int(wanted)]}: it lost leading zeros"
            raise TableError(where[name], said, AS_TEXT)
        require_written(where[name], "image", name)


def require_written(where: str, what: str, value: str) -> None:
    """Raise TableError if a name or number of something is a date, or a number cut short, of a spreadsheet."""
    if SCIENTIFIC.fullmatch(value):
        raise TableError(where, f"names the {what} {value}, a number that a spreadsheet cut short", AS_TEXT)
    if MONTH.fullmatch(value):
        raise TableError(where, f"names the {what} {value}, which a spreadsheet took for a date", AS_TEXT)
