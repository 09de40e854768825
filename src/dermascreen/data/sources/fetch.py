"""Fetch photographs: every source is a stream of entries, and one writer verifies and stores them.

An entry is a relative path such as train/benign/1.jpg and the bytes of the image. One image is in memory at a time, and
the folder and its manifest appear when all images are valid, or not at all.
"""

import hashlib
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd
from tqdm import tqdm

from dermascreen.artifacts.dataset.details import ClassCounts, DownloadDetails
from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.core.errors import ArchiveError, CorruptArchiveError
from dermascreen.core.files import replacing
from dermascreen.core.params import DataParams
from dermascreen.data.photographs.photograph import read_bounded, show
from dermascreen.data.sources.kaggle import downloaded
from dermascreen.data.sources.layouts import (
    ARCHIVES,
    CLASSES,
    NO_SPLIT,
    REASONS,
    SPLITS,
    Entry,
    Layout,
    LeftOut,
    Parts,
    SeveralForOnePlaceError,
    arrange,
    count_left_out,
    describe,
    split_and_class,
    walk,
)
from dermascreen.data.sources.synthetic import photographs

GIB = 2**30
DEEPEST = 100  # parts of a path: Python's functions for folders recurse once for each
WANTED = "train/benign, train/malignant, test/benign and test/malignant, or benign and malignant alone"


class Source(NamedTuple):
    """The photographs of a source: how many, and pairs of relative path and bytes; what was left out; and the linked
    folders that lead to some of them.
    """

    total: int
    entries: Iterable[tuple[str, bytes]]
    left_out: LeftOut
    linked: tuple[Path, ...] = ()


class Stored(NamedTuple):
    """What was stored of a source, what was left out, and behind which linked folders, where DVC sees no change."""

    manifest: Manifest
    left_out: LeftOut
    linked: tuple[Path, ...]


def fetch(params: DataParams, cache: Path, folder: Path, manifest: Path) -> Stored:
    """Store the photographs of `params.source` in `folder` and their list in `manifest`; both are replaced, or neither.

    `cache` keeps an interrupted download. Paths in the manifest are relative to `folder`.
    Raises a DermascreenError if the source is unavailable, unsafe or incomplete, or holds no image of a class.
    """
    with _opened(params, cache) as source, replacing(manifest) as table, replacing(folder) as images:
        listing = _store(source, images)
        listing.write(table)
    return Stored(listing, source.left_out, source.linked)


def unpack(archive: Path, folder: Path, max_unpacked_gib: float) -> Stored:
    """Store the photographs of a site's zip or folder in `folder`, which must not exist.

    A site needs no train and test: the photographs of all its splits are taken, and those without a split.
    """
    source = read_archive(archive, max_unpacked_gib, pooled=True)
    itself = (archive,) if archive.is_symlink() and archive.is_dir() else ()  # DVC tracks only the link's folder
    return Stored(_store(source, folder, f"{archive}/"), source.left_out, itself + source.linked)


@contextmanager
def _opened(params: DataParams, cache: Path) -> Iterator[Source]:
    if params.source == "synthetic":
        yield Source(params.synthetic.images, (photograph[:2] for photograph in photographs(params.synthetic)), {})
    elif params.source == "archive":
        yield read_archive(Path(params.archive), params.max_unpacked_gib)
    else:
        with downloaded(params.slug, cache) as archive:
            yield read_archive(archive, params.max_unpacked_gib)


def in_words(stored: Stored, stage: str) -> list[str]:
    """What a user should know about what `stage` has stored, in sentences."""
    sentences = [f"Left out {what}." for what in describe(stored.left_out)]
    sentences += [
        f"{folder} is a link, and DVC does not notice changes behind it; after one, run `dvc repro --force {stage}`."
        for folder in stored.linked
    ]
    return sentences


def summarise(stored: Stored) -> DownloadDetails:
    """Count the photographs, in all and by split and class, and what was left out by reason."""

    def count(split: str) -> ClassCounts:
        label = stored.manifest.label[stored.manifest.source_split == split]
        return ClassCounts(benign=int((label == 0).sum()), malignant=int((label == 1).sum()))

    train, val, test = (count(split) for split in SPLITS)
    unsplit = count(NO_SPLIT)
    return DownloadDetails(
        images=len(stored.manifest),
        train=train,
        val=val,
        test=test,
        none=unsplit if unsplit.benign + unsplit.malignant else None,
        left_out=count_left_out(stored.left_out),
    )


def _store(source: Source, folder: Path, prefix: str = "") -> Manifest:
    """Store what `source` holds; `prefix` goes before the path of an image that cannot be read, in the error."""
    folder.mkdir(parents=True)
    rows = []
    for path, content in tqdm(source.entries, "verify", source.total, unit="image", disable=None):
        shown = show(prefix + path, content)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        split, name = split_and_class(path)
        rows.append((path, CLASSES.index(name), split, shown.width, shown.height, hashlib.sha256(content).hexdigest()))
    return Manifest.of(pd.DataFrame(sorted(rows), columns=[*Manifest.meanings()]))


def read_archive(path: Path, max_unpacked_gib: float, *, pooled: bool = False) -> Source:
    """The photographs in a zip or folder, at the places that `layouts.arrange` finds for them.

    A folder that holds one zip and no photograph of a class is read as that zip.
    Raises ArchiveError for what is known before reading: a missing path, a file that is not a zip, an entry that is
    encrypted or points outside, a zip that would unpack to more than `max_unpacked_gib` GiB (folders may be of any
    size), two files for one place, a class without images (in any split, unless all are `pooled`). Iterating raises it
    for damaged content.
    """
    try:
        if path.is_dir():
            return _read_folder(path, max_unpacked_gib, pooled)
        return _read_zip(path, max_unpacked_gib, pooled)
    except OSError as error:
        raise _unreadable(Path(error.filename or path), error) from None


def _read_folder(path: Path, max_unpacked_gib: float, pooled: bool) -> Source:
    layout = _arrange(walk(path), path, pooled)
    zips = [parts for parts in layout.left_out.get("archives", ()) if parts[-1].lower().endswith(".zip")]
    if layout.chosen or not zips:
        _require_classes(layout, path, pooled)
        linked = _linked_folders(path, layout.chosen.values())
        return Source(len(layout.chosen), _read_files(path, layout.chosen), layout.left_out, linked)
    if len(zips) > 1:
        names = ", ".join("/".join(parts) for parts in zips)
        raise ArchiveError(
            f"{path} holds {len(zips)} zips ({names}) and no photograph of a class; name one of them, or unpack all of "
            "them here if they belong together."
        )
    inner = _read_zip(path.joinpath(*zips[0]), max_unpacked_gib, pooled)
    beside = {reason: [parts for parts in found if parts != zips[0]] for reason, found in layout.left_out.items()}
    return inner._replace(left_out=_together(beside, inner.left_out))


def _linked_folders(path: Path, chosen: Iterable[Parts]) -> tuple[Path, ...]:
    folders = {parts[:end] for parts in chosen for end in range(1, len(parts))}
    return tuple(folder for folder in (path.joinpath(*parts) for parts in sorted(folders)) if folder.is_symlink())


def _together(*several: LeftOut) -> LeftOut:
    joined = {reason: [parts for one in several for parts in one.get(reason, ())] for reason in REASONS}
    return {reason: found for reason, found in joined.items() if found}


def _read_files(path: Path, chosen: Mapping[str, Parts]) -> Iterator[tuple[str, bytes]]:
    for target, parts in chosen.items():
        file = path.joinpath(*parts)
        try:
            with file.open("rb") as opened:
                content = read_bounded(opened)
        except OSError as error:
            raise _unreadable(file, error) from None
        yield target, content


def _unreadable(path: Path, error: OSError) -> ArchiveError:
    if path.is_symlink() and not path.exists():
        return ArchiveError(f"{path} is a link to {path.readlink()}, which does not exist; repair or remove it.")
    return ArchiveError(f"{path} cannot be read ({error.strerror}); give a zip or a folder that can be read.")


def _read_zip(path: Path, max_unpacked_gib: float, pooled: bool) -> Source:
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
    members = [(_parts(member), member) for member in files]
    for parts, member in members:
        _require_safe(parts, member, path)
    layout = _arrange([Entry(parts) for parts, _ in members], path, pooled)
    _require_classes(layout, path, pooled)
    of = dict(members)  # no two chosen entries have the same parts
    chosen = {target: of[parts] for target, parts in layout.chosen.items()}
    unpacked = sum(member.file_size for member in chosen.values())
    # A zip may lie about sizes, but zipfile reads no more of an entry than it declares, and then its checksum fails.
    if unpacked > max_unpacked_gib * GIB:
        raise ArchiveError(
            f"{path} would unpack to {unpacked / GIB:.3g} GiB, but data.max_unpacked_gib is {max_unpacked_gib:g}; "
            "raise that if you trust the archive."
        )
    return Source(len(chosen), _unzip(path, chosen), layout.left_out)


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


def _unzip(path: Path, chosen: Mapping[str, zipfile.ZipInfo]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for target, member in chosen.items():
            try:
                with archive.open(member) as file:
                    content = read_bounded(file)
            except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError):
                raise CorruptArchiveError(path, f"is damaged at {member.filename}") from None
            yield target, content


def _arrange(entries: Iterable[Entry], path: Path, pooled: bool) -> Layout:
    try:
        layout = arrange(entries, pooled=pooled)
    except SeveralForOnePlaceError as error:
        first, second = error.args
        both = f"holds {first} twice" if first == second else f"holds both {first} and {second} for the same place"
        raise ArchiveError(f"{path} {both}; rename one of them.") from None
    for parts in layout.chosen.values():
        if len(parts) > DEEPEST:
            raise ArchiveError(f"{path} holds {parts[-1]} in {len(parts) - 1} folders; move it up.")
    return layout


def _require_classes(layout: Layout, path: Path, pooled: bool) -> None:
    """Raise ArchiveError, with a likely cause, if a required split or class has no photographs."""
    there = {split_and_class(place) for place in layout.chosen}
    splits = {split for split, _ in there}
    if pooled or splits <= {NO_SPLIT}:
        missing = [name for name in CLASSES if name not in {found for _, found in there}]
    else:
        wanted = [split for split in SPLITS if split in splits or split == SPLITS[0]]
        missing = [f"{split}/{name}" for split in wanted for name in CLASSES if (split, name) not in there]
    if missing:
        but = f", but {', '.join(describe(layout.left_out))}" if layout.left_out else ""
        raise ArchiveError(f"{path} has no images in {', '.join(missing)}{but}; give one that has {WANTED}.")
