"""Fetch photographs: every source is a stream of entries, and one writer verifies and stores them.

An entry is a place such as train/benign/1.jpg and the bytes of the image. One image is in memory at a time, and the
folder, its manifest and its metadata appear when all images are valid, or not at all.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tqdm import tqdm

from dermascreen.artifacts.dataset.details import ClassCounts, DownloadDetails
from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.core.errors import ArchiveError
from dermascreen.core.files import replacing
from dermascreen.core.params import DataParams, TableColumns, TableParams
from dermascreen.data.photographs.photograph import show
from dermascreen.data.sources.archives import Archive, open_archive, with_zips
from dermascreen.data.sources.folders import holds_classes, read_folders
from dermascreen.data.sources.kaggle import downloaded
from dermascreen.data.sources.layouts import (
    CLASSES,
    NO_SPLIT,
    SPLITS,
    LeftOut,
    count_left_out,
    describe,
    split_and_class,
)
from dermascreen.data.sources.source import Known, Source
from dermascreen.data.sources.synthetic import photographs
from dermascreen.data.sources.table.columns import AUTO
from dermascreen.data.sources.table.read import holds_tables, read_table


class Stored(NamedTuple):
    """What was stored of a source, what was left out, behind which linked folders, where DVC sees no change, and what
    tables say.
    """

    manifest: Manifest
    left_out: LeftOut
    linked: tuple[Path, ...]
    known: Known | None = None

    @property
    def metadata(self) -> Metadata:
        return Metadata.of(self.manifest.path, self.known and self.known.metadata)


def fetch(params: DataParams, cache: Path, folder: Path, manifest: Path, metadata: Path) -> Stored:
    """Store the photographs of `params.source` in `folder`, their list in `manifest` and what is known of them in
    `metadata`; all are replaced, or none.

    `cache` keeps an interrupted download. Paths in the manifest are relative to `folder`.
    Raises a DermascreenError if the source is unavailable, unsafe or incomplete, or holds no image of a class.
    """
    with (
        _opened(params, cache) as source,
        replacing(metadata) as about,
        replacing(manifest) as table,
        replacing(folder) as images,
    ):
        stored = _store(source, images)
        stored.manifest.write(table)
        stored.metadata.write(about)
    return stored


def unpack(archive: Path, folder: Path, max_unpacked_gib: float) -> Stored:
    """Store the photographs of a site's zip or folder in `folder`, which must not exist.

    Their class is that of their folders, or else that of a table of a known layout. A site needs no train and test: the
    photographs of all its splits are taken, and those without a split.
    """
    source = _read_any(archive, max_unpacked_gib, pooled=True)
    itself = (archive,) if archive.is_symlink() and archive.is_dir() else ()  # DVC tracks only the link's folder
    return _store(source._replace(linked=itself + source.linked), folder, f"{archive}/")


@contextmanager
def _opened(params: DataParams, cache: Path) -> Iterator[Source]:
    archive = Path(params.archive)
    if params.source == "synthetic":
        yield Source(params.synthetic.images, (photograph[:2] for photograph in photographs(params.synthetic)), {})
    elif params.source == "archive":
        yield _read_folders(archive, params.max_unpacked_gib)
    elif params.source == "table":
        beside = Path(params.table.files)
        yield read_table(with_zips(open_archive(archive)), params.table, params.max_unpacked_gib, beside=beside)
    else:
        with downloaded(params.slug, cache) as fetched:
            yield _read_any(fetched, params.max_unpacked_gib)


KNOWN_LAYOUTS = TableParams(
    files=AUTO, columns=TableColumns(image=AUTO, label=AUTO, lesion=AUTO, patient=AUTO, site=AUTO, split=AUTO),
    malignant=[], benign=[], keep=[], max_unmatched=1.0,
)  # fmt: skip


def _read_folders(path: Path, max_unpacked_gib: float) -> Source:
    """Photographs whose class their folders tell; the error points to a table that may tell it."""
    archive = open_archive(path)
    if _told_by_tables(archive):
        raise ArchiveError(
            f"{path} has no images in folders benign and malignant, but holds a table; set data.source=table if that "
            "tells their diagnoses."
        )
    return read_folders(archive, max_unpacked_gib)


def _read_any(path: Path, max_unpacked_gib: float, *, pooled: bool = False) -> Source:
    """Photographs whose class their folders tell, or else a table of a known layout."""
    archive = open_archive(path)
    if _told_by_tables(archive):
        return read_table(with_zips(archive), KNOWN_LAYOUTS, max_unpacked_gib, pooled=pooled)
    return read_folders(archive, max_unpacked_gib, pooled=pooled)


def _told_by_tables(archive: Archive) -> bool:
    whole = with_zips(archive)
    return not holds_classes(archive) and holds_tables(whole) and not holds_classes(whole)


def in_words(stored: Stored, stage: str) -> list[str]:
    """What a user should know about what `stage` has stored, in sentences."""
    sentences = [*stored.known.sentences] if stored.known else []
    sentences += [f"Left out {what}." for what in describe(stored.left_out)]
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
        table=stored.known and stored.known.details,
    )


def _store(source: Source, folder: Path, prefix: str = "") -> Stored:
    """Store what `source` holds; `prefix` goes before the path of an image that cannot be read, in the error."""
    folder.mkdir(parents=True)
    rows = []
    for path, content in tqdm(source.entries, "verify", source.total, unit="image", disable=None):
        shown = show(prefix + path, content)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        split, name = split_and_class(path)
        rows.append((path, CLASSES.index(name), split, shown.width, shown.height, hashlib.sha256(content).hexdigest()))
    manifest = Manifest.of(pd.DataFrame(sorted(rows), columns=[*Manifest.meanings()]))
    return Stored(manifest, source.left_out, source.linked, source.known)
