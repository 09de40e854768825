"""A zip or a folder: what is in it, and the content of its files.

Nothing here knows what the files are. Raises ArchiveError for what cannot be opened or must not be trusted.
"""

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Protocol

from dermascreen.core.errors import ArchiveError, CorruptArchiveError
from dermascreen.data.photographs.photograph import MAX_BYTES, read_bounded
from dermascreen.data.sources.layouts import ARCHIVES, Entry, Parts, not_a_photograph, walk

GIB = 2**30


class Archive(Protocol):
    """Files under one path, each named by the parts of its path from there."""

    @property
    def path(self) -> Path: ...

    @property
    def entries(self) -> Sequence[Entry]:
        """All that is in it."""

    def contents(self, wanted: Iterable[Parts], most: int = MAX_BYTES) -> Iterator[tuple[Parts, bytes]]:
        """The content of the wanted files, one at a time, in any order; of each at most a byte more than `most`."""

    def unpacked(self, wanted: Iterable[Parts]) -> int:
        """How many bytes the wanted files would unpack to; 0 where nothing has to be unpacked."""

    def linked(self, wanted: Iterable[Parts]) -> tuple[Path, ...]:
        """The links to folders that lead to wanted files."""


def open_archive(path: Path) -> Archive:
    """The zip or folder at `path`."""
    return Folder(path) if path.is_dir() else Zip(path)


def with_zips(archive: Archive) -> Archive:
    """The same, and the content of the zips in it if it is a folder."""
    return Nested(archive) if isinstance(archive, Folder) else archive


class Folder:
    """A folder of the disk; its links are followed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def entries(self) -> Sequence[Entry]:
        try:
            return list(walk(self.path))
        except OSError as error:
            raise unreadable(Path(error.filename or self.path), error) from None

    def contents(self, wanted: Iterable[Parts], most: int = MAX_BYTES) -> Iterator[tuple[Parts, bytes]]:
        for parts in wanted:
            file = self.path.joinpath(*parts)
            try:
                with file.open("rb") as opened:
                    content = read_bounded(opened, most)
            except OSError as error:
                raise unreadable(file, error) from None
            yield parts, content

    def unpacked(self, wanted: Iterable[Parts]) -> int:  # noqa: ARG002 - folders may be of any size
        return 0

    def linked(self, wanted: Iterable[Parts]) -> tuple[Path, ...]:
        folders = {parts[:end] for parts in wanted for end in range(1, len(parts))}
        return tuple(
            folder for folder in (self.path.joinpath(*parts) for parts in sorted(folders)) if folder.is_symlink()
        )


class Zip:
    """A zip whose entries all lie inside it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def entries(self) -> Sequence[Entry]:
        return [Entry(parts) for parts, _ in self._members]

    @cached_property
    def _members(self) -> list[tuple[Parts, zipfile.ZipInfo]]:
        path = self.path
        if path.is_file() and path.suffix.lower() in {*ARCHIVES} - {".zip"}:
            raise ArchiveError(f"{path} is an archive, but not a zip; unpack it and give the folder.")
        try:
            with zipfile.ZipFile(path) as archive:
                files = [member for member in archive.infolist() if not member.filename.endswith(("/", "\\"))]
        except UnicodeDecodeError:
            raise ArchiveError(f"{path} holds file names in a wrong encoding; unpack it and give the folder.") from None
        # NotImplementedError is zipfile's own, at a zip whose header asks for a newer format than it reads.
        except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError):
            raise CorruptArchiveError(path, "is not a zip file, or is incomplete") from None
        except OSError as error:
            raise unreadable(Path(error.filename or path), error) from None
        members = [(_parts(member), member) for member in files]
        for parts, member in members:
            _require_safe(parts, member, path)
        return members

    def contents(self, wanted: Iterable[Parts], most: int = MAX_BYTES) -> Iterator[tuple[Parts, bytes]]:
        of = dict(self._members)
        with zipfile.ZipFile(self.path) as archive:
            for parts in wanted:
                try:
                    with archive.open(of[parts]) as file:
                        content = read_bounded(file, most)
                except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError):
                    raise CorruptArchiveError(self.path, f"is damaged at {of[parts].filename}") from None
                yield parts, content

    def unpacked(self, wanted: Iterable[Parts]) -> int:
        # A zip may lie about sizes, but zipfile reads no more of an entry than it declares; then its checksum fails.
        of = dict(self._members)
        return sum(of[parts].file_size for parts in wanted)

    def linked(self, wanted: Iterable[Parts]) -> tuple[Path, ...]:  # noqa: ARG002 - entries that are links are refused
        return ()


class Nested:
    """A folder with the zips in it, each as if it were unpacked into a folder of its name."""

    def __init__(self, folder: Folder) -> None:
        self.folder, self.path = folder, folder.path

    @cached_property
    def _zips(self) -> dict[Parts, Zip]:
        return {
            entry.parts: Zip(self.path.joinpath(*entry.parts))
            for entry in self.folder.entries
            if not_a_photograph(entry) == "archives" and entry.parts[-1].lower().endswith(".zip")
        }

    @cached_property
    def entries(self) -> Sequence[Entry]:
        beside = [entry for entry in self.folder.entries if entry.parts not in self._zips]
        return beside + [Entry(at + entry.parts) for at, inner in self._zips.items() for entry in inner.entries]

    def _divided(self, wanted: Iterable[Parts]) -> Iterator[tuple[Parts, "Folder | Zip", list[Parts]]]:
        """The wanted files by the zip that holds them, with the place of that zip; the folder's own come last."""
        within: dict[Parts, list[Parts]] = {}
        for parts in wanted:
            at = next((parts[:end] for end in range(1, len(parts)) if parts[:end] in self._zips), ())
            within.setdefault(at, []).append(parts[len(at) :])
        yield from ((at, inner, within[at]) for at, inner in self._zips.items() if at in within)
        yield (), self.folder, within.get((), [])

    def contents(self, wanted: Iterable[Parts], most: int = MAX_BYTES) -> Iterator[tuple[Parts, bytes]]:
        for at, one, within in self._divided(wanted):
            for parts, content in one.contents(within, most):
                yield at + parts, content

    def unpacked(self, wanted: Iterable[Parts]) -> int:
        return sum(one.unpacked(within) for _, one, within in self._divided(wanted))

    def linked(self, wanted: Iterable[Parts]) -> tuple[Path, ...]:
        return tuple(link for _, one, within in self._divided(wanted) for link in one.linked(within))


def require_bounded(archive: Archive, wanted: Iterable[Parts], max_unpacked_gib: float) -> None:
    """Raise ArchiveError if the wanted files would unpack to more than `max_unpacked_gib` GiB."""
    unpacked = archive.unpacked(wanted)
    if unpacked > max_unpacked_gib * GIB:
        raise ArchiveError(
            f"{archive.path} would unpack to {unpacked / GIB:.3g} GiB, but data.max_unpacked_gib is "
            f"{max_unpacked_gib:g}; raise that if you trust the archive."
        )


def unreadable(path: Path, error: OSError) -> ArchiveError:
    """The sentence about a path that the system does not let us read."""
    if path.is_symlink() and not path.exists():
        return ArchiveError(f"{path} is a link to {path.readlink()}, which does not exist; repair or remove it.")
    return ArchiveError(f"{path} cannot be read ({error.strerror}); give a zip or a folder that can be read.")


def _parts(member: zipfile.ZipInfo) -> Parts:
    return PurePosixPath(member.filename.replace("\\", "/")).parts  # some Windows programs write zips with backslashes


def _require_safe(parts: Parts, member: zipfile.ZipInfo, path: Path) -> None:
    absolute = (
        not parts or parts[0].startswith("/") or re.match(r"[A-Za-z]:(?!\s)", parts[0])
    )  # C: and C:train, not A: 2019
    if absolute or ".." in parts or stat.S_ISLNK(member.external_attr >> 16):
        raise ArchiveError(f"{path} holds {member.filename!r}, which points outside the archive; do not trust it.")
    if member.flag_bits & 1:
        raise ArchiveError(f"{path} is encrypted; give a zip without a password.")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArchiveError(f"{path} is compressed in an unusual way; unpack it and give the folder.")
