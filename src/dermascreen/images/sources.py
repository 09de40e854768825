"""Where photographs come from: every source is a stream of entries, and one writer verifies and stores them.

An entry is a relative path such as train/benign/1.jpg and the bytes of the image. One image is held at a time, and
the folder and its manifest appear when all of them are in order, or not at all.
"""

import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd
from tqdm import tqdm

from dermascreen.errors import ArchiveError, CorruptArchiveError
from dermascreen.files import replacing
from dermascreen.images.kaggle import downloaded
from dermascreen.images.photograph import read_bounded, show
from dermascreen.images.synthetic import photographs
from dermascreen.params import DataParams
from dermascreen.tables import write_table

SPLITS = ("train", "test")
CLASSES = ("benign", "malignant")  # in the order of their labels
FOLDERS = tuple(f"{split}/{name}" for split in SPLITS for name in CLASSES)

GIB = 2**30


class Source(NamedTuple):
    """Photographs to come: how many, and the pairs of relative path and bytes."""

    total: int
    entries: Iterable[tuple[str, bytes]]


def fetch(params: DataParams, cache: Path, folder: Path, manifest: Path) -> pd.DataFrame:
    """Store the photographs of `params.source` in `folder` and their list in `manifest`; both are whole or as before.

    `cache` keeps a download that was cut off. Returns the manifest: path (relative to `folder`), label (0 benign,
    1 malignant), source_split (train or test), width, height and sha256, sorted by path.
    Raises a DermascreenError if the source cannot be had, is not safe or not whole, or holds no image of a class.
    """
    with _opened(params, cache) as source, replacing(manifest) as table, replacing(folder) as images:
        listing = _store(source, images)
        write_table(listing, table)
    return listing


def unpack(archive: Path, folder: Path, max_unpacked_gib: float) -> pd.DataFrame:
    """Store the photographs of a zip or folder in `folder`, which must not exist, and return their manifest."""
    return _store(read_archive(archive, max_unpacked_gib), folder, f"{archive}/")


@contextmanager
def _opened(params: DataParams, cache: Path) -> Iterator[Source]:
    if params.source == "synthetic":
        yield Source(params.synthetic.images, (photograph[:2] for photograph in photographs(params.synthetic)))
    elif params.source == "archive":
        yield read_archive(Path(params.archive), params.max_unpacked_gib)
    else:
        with downloaded(params.slug, cache) as archive:
            yield read_archive(archive, params.max_unpacked_gib)


def summarise(manifest: pd.DataFrame) -> dict[str, int | dict[str, int]]:
    """Count the photographs, in all and by split and class."""
    found = manifest.groupby(["source_split", "label"]).size()
    counts = {
        split: {name: int(found.get((split, label), 0)) for label, name in enumerate(CLASSES)} for split in SPLITS
    }
    return {"images": len(manifest), **counts}


def _store(source: Source, folder: Path, prefix: str = "") -> pd.DataFrame:
    """Store what `source` holds; `prefix` goes before the path of an image that cannot be read, in the error."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    rows = []
    for path, content in tqdm(source.entries, "verify", source.total, unit="image", disable=None):
        shown = show(prefix + path, content)
        (folder / path).write_bytes(content)
        split, name, _ = path.split("/")
        rows.append((path, CLASSES.index(name), split, shown.width, shown.height, hashlib.sha256(content).hexdigest()))
    columns = ["path", "label", "source_split", "width", "height", "sha256"]
    return pd.DataFrame(sorted(rows), columns=columns)


def read_archive(path: Path, max_unpacked_gib: float) -> Source:
    """The photographs in a zip or folder in Kaggle's layout, below any other folders; each split/class/name once.

    Kaggle's own archive holds all images a second time under data/: of equal names the one in fewest folders counts.
    Raises ArchiveError for what can be known before reading: a missing path, a file that is no zip, an entry that is
    encrypted or points outside, a zip that would unpack to more than `max_unpacked_gib` GiB (folders may be of any
    size), two files for one place, a class without images. Iterating raises it for damaged content.
    """
    try:
        if path.is_dir():
            return _read_folder(path)
        return _read_zip(path, max_unpacked_gib)
    except OSError as error:
        raise _unreadable(path, error) from None


def _read_folder(path: Path) -> Source:
    names = [(Path(folder) / name).relative_to(path).as_posix() for folder, _, files in os.walk(path) for name in files]
    chosen = _choose(names, path)
    return Source(len(chosen), _read_files(path, chosen))


def _read_files(path: Path, chosen: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    for target, name in chosen.items():
        try:
            with (path / name).open("rb") as file:
                content = read_bounded(file)
        except OSError as error:
            raise _unreadable(path / name, error) from None
        yield target, content


def _unreadable(path: Path, error: OSError) -> ArchiveError:
    return ArchiveError(
        f"{path} cannot be read ({error.strerror}); set data.archive to a readable zip or folder in Kaggle's layout."
    )


def _read_zip(path: Path, max_unpacked_gib: float) -> Source:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError):  # the second: of a later zip format
        raise CorruptArchiveError(path, "is not a zip file, or not the whole of one") from None
    for member in members:
        _require_safe(member, path)
    chosen = _choose([member.filename for member in members], path)
    wanted = set(chosen.values())
    unpacked = sum(member.file_size for member in members if member.filename in wanted)
    # A zip may lie about sizes, but zipfile reads no more of an entry than it declares, and then its checksum fails.
    if unpacked > max_unpacked_gib * GIB:
        raise ArchiveError(
            f"{path} would unpack to {unpacked / GIB:.3g} GiB, but data.max_unpacked_gib is {max_unpacked_gib:g}; "
            "raise that if you trust the archive."
        )
    return Source(len(chosen), _unzip(path, chosen))


def _require_safe(member: zipfile.ZipInfo, path: Path) -> None:
    parts = _parts(member.filename)
    if not parts or parts[0] == "/" or ":" in parts[0] or ".." in parts or stat.S_ISLNK(member.external_attr >> 16):
        raise ArchiveError(f"{path} holds {member.filename!r}, which points outside of it; do not trust this archive.")
    if member.flag_bits & 1:
        raise ArchiveError(f"{path} is encrypted; set data.archive to a zip without a password.")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArchiveError(f"{path} is compressed in an unusual way; unpack it and set data.archive to the folder.")


def _unzip(path: Path, chosen: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for target, name in chosen.items():
            try:
                with archive.open(name) as file:
                    content = read_bounded(file)
            except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError):
                raise CorruptArchiveError(path, f"is damaged at {name}") from None
            yield target, content


def _choose(names: Iterable[str], path: Path) -> dict[str, str]:
    """Map each photograph's place, such as train/benign/1.jpg, to the entry that fills it, sorted by place."""
    chosen: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (len(_parts(name)), name)):
        parts = _parts(name)
        folder, file = "/".join(parts[-3:-1]), parts[-1]
        if folder not in FOLDERS or file.startswith(".") or file == "Thumbs.db" or "__MACOSX" in parts:
            continue
        key = f"{folder}/{file}".casefold()  # as a file system that ignores case would see it
        if key not in chosen:
            chosen[key] = name
        elif len(_parts(chosen[key])) == len(parts):
            raise ArchiveError(f"{path} holds both {chosen[key]} and {name} for one place; rename one of them.")
    places = {"/".join(_parts(name)[-3:]): name for name in chosen.values()}
    missing = [folder for folder in FOLDERS if not any(place.startswith(folder + "/") for place in places)]
    if missing:
        raise ArchiveError(f"{path} has no images in {', '.join(missing)}; give one that has {', '.join(FOLDERS)}.")
    return dict(sorted(places.items()))


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts  # some Windows programs write zips with backslashes
