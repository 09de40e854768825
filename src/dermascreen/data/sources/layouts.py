"""What the names in a folder or zip mean: which files are photographs, and of which class and split.

Nothing here opens a file. `fetch` reads archives and `serving.inputs` reads folders to predict; both use this module.
"""

import itertools
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from dermascreen.core.program import visible

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png")  # of photographs, in upper or lower case
CLASSES = ("benign", "malignant")  # in the order of their labels
SPLITS = ("train", "val", "test")
NO_SPLIT = "none"  # the split of photographs in an archive without split folders
SPLIT_FOLDERS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip

UNREAD_FORMATS = {
    "AVIF": (".avif",),
    "BMP": (".bmp", ".dib"),
    "camera raw": (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".raw", ".rw2", ".srw"),
    "DICOM": (".dcm", ".dicom"),
    "GIF": (".gif",),
    "HEIC": (".heic", ".heif"),
    "JPEG 2000": (".j2k", ".jp2", ".jpf", ".jpx"),
    "JPEG XL": (".jxl",),
    "Netpbm": (".pbm", ".pgm", ".pnm", ".ppm"),
    "Photoshop": (".psb", ".psd"),
    "SVG": (".svg",),
    "TGA": (".tga",),
    "TIFF": (".tif", ".tiff"),
    "WebP": (".webp",),
}
FORMAT_OF = {suffix: name for name, suffixes in UNREAD_FORMATS.items() for suffix in suffixes}
ARCHIVES = (".7z", ".bz2", ".gz", ".rar", ".tar", ".tbz2", ".tgz", ".txz", ".xz", ".zip", ".zst")

SYSTEM_FILES = ("desktop.ini", "thumbs.db", "ehthumbs.db", "icon\r")
SYSTEM_FOLDERS = ("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found")

# The names of what the ISIC challenges and HAM10000 publish next to photographs, or in a folder of its own.
MASK_FILE = re.compile(r".*_(segmentation|seg|superpixels|masks?|ground_?truth|attribute_.+)", re.DOTALL)
MASK_FOLDER = re.compile(r"(.*_)?(segmentations?|superpixels|masks?|ground_?truth)", re.DOTALL)

# Why a file is left out: the key in the details, and the words for one and for several.
REASONS = {
    "masks": ("mask of a lesion", "masks of lesions"),
    "unread_formats": ("image of a format that is not read", "images of formats that are not read"),
    "no_images": ("file that is not an image", "files that are not images"),
    "archives": ("archive that has to be unpacked first", "archives that have to be unpacked first"),
    "system_files": ("hidden file, or one of the operating system", "hidden files and files of the operating system"),
    "links": ("broken or circular link", "broken or circular links"),
    "copies": ("second copy", "second copies"),
    "no_class": ("photograph in no class folder", "photographs in no class folder"),
    "both_classes": ("photograph in both class folders", "photographs in both class folders"),
    "no_split": ("photograph outside train, val and test", "photographs outside train, val and test"),
    "no_row": ("photograph without a row in a table", "photographs without a row in a table"),
    "no_label": (
        "photograph labelled neither malignant nor benign",
        "photographs labelled neither malignant nor benign",
    ),
}
SHOWN = 3  # examples for each reason

Parts = tuple[str, ...]  # of a path
LeftOut = Mapping[str, Sequence[Parts]]  # by reason


Kind = Literal["file", "broken link", "circle", "device", "closed folder"]  # a pipe is a device too


class Entry(NamedTuple):
    """A file below a folder, or something that looks like one."""

    parts: Parts  # of its path from the folder
    kind: Kind = "file"


class Layout(NamedTuple):
    """Which entry fills each place, such as train/benign/patient7/3.jpg, sorted by place; and what is left out."""

    chosen: dict[str, Parts]
    left_out: LeftOut


class SeveralForOnePlaceError(ValueError):
    """Two entries would have to be stored under one name."""

    def __init__(self, first: Parts, second: Parts) -> None:
        super().__init__("/".join(first), "/".join(second))


class _Place(NamedTuple):
    split: str | None
    label: str
    rest: Parts
    above: Parts = ()  # of the class, where there is no split

    def with_above(self, ignored: int) -> "_Place":
        return self._replace(rest=self.above[ignored:] + self.rest)

    def path(self) -> str:
        return "/".join([*([self.split] if self.split else []), self.label, *map(stored, self.rest)])


def walk(folder: Path, *, skip_closed: bool = False) -> Iterator[Entry]:
    """What is below `folder`, sorted within each of its folders; links are followed.

    A link to a folder that contains it is circular, and is not followed. Raises OSError for a folder that
    cannot be listed, unless such folders are to be skipped.
    """
    waiting: list[tuple[str, Parts, frozenset[tuple[int, int]]]] = [(str(folder), (), frozenset())]
    while waiting:
        path, parts, above = waiting.pop()
        try:
            status = os.stat(path)  # noqa: PTH116 - paths as text: for thousands of files a Path each is slow
            with os.scandir(path) as listing:
                found = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            if not skip_closed:
                raise
            yield Entry(parts, "closed folder")
            continue
        itself = status.st_dev, status.st_ino
        if itself in above:
            yield Entry(parts, "circle")
            continue
        folders = []
        for entry in found:
            kind = _kind(entry)
            if kind is None:
                folders.append((entry.path, (*parts, entry.name), above | {itself}))
            else:
                yield Entry((*parts, entry.name), kind)
        waiting += reversed(folders)


def _kind(entry: "os.DirEntry[str]") -> Kind | None:
    """The kind of `entry`, with links followed; None for a folder."""
    try:
        if entry.is_dir():
            return None
        if entry.is_file():
            return "file"
        entry.stat()
    except OSError:  # for a link, such as too many levels of symbolic links
        return "broken link"
    return "device"


def not_a_photograph(entry: Entry, ignored: int = 0) -> str | None:
    """The reason, one of REASONS, why `entry` is not a photograph by its name, or None if it is one.

    The names of its first `ignored` folders do not make it a mask. A broken link with a photograph's name counts as a
    photograph, which is then missing.
    """
    *folders, name = (part.casefold() for part in entry.parts)
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a Path ends a name such as "a." in another way
    hidden = any(part.startswith(".") or part in SYSTEM_FOLDERS for part in folders)
    if hidden or name.startswith(".") or name in SYSTEM_FILES:
        return "system_files"
    if entry.kind == "circle" or (entry.kind == "broken link" and suffix not in SUFFIXES):
        return "links"
    if entry.kind == "device" or (suffix not in SUFFIXES and suffix not in FORMAT_OF):
        return "archives" if suffix in ARCHIVES else "no_images"
    if MASK_FILE.fullmatch(stem) or any(MASK_FOLDER.fullmatch(part) for part in folders[ignored:]):
        return "masks"
    return None if suffix in SUFFIXES else "unread_formats"


def arrange(entries: Iterable[Entry], *, pooled: bool = False) -> Layout:
    """Find each photograph's class and split in the names of its folders, and give each place one photograph.

    The class is the nearest folder called benign or malignant; the split is the nearest folder above it, or else below
    it, that is called train, val or test (SPLIT_FOLDERS, in upper or lower case). Folders between and below them are
    kept, so that names do not collide; folders above are dropped, unless there is no split and names would collide. If
    several photographs have the same place, the one in the fewest folders is chosen, because Kaggle's own archive holds
    all images a second time under data/. If some photographs have a split, those without one are left out, unless all
    are `pooled`; if none has, none is needed.

    Every entry is either chosen or left out. Raises SeveralForOnePlaceError if two equally deep entries have the same
    place, or if one entry's file is another entry's folder.
    """
    listed = list(entries)
    left_out: dict[str, list[Parts]] = {}
    places: list[tuple[Parts, _Place]] = []
    ignored = shared_folders(entry.parts for entry in listed if not not_a_photograph(entry, len(entry.parts)))
    for entry in listed:
        found = not_a_photograph(entry, ignored) or _place(entry.parts)
        if isinstance(found, _Place):
            places.append((entry.parts, found))
        else:
            left_out.setdefault(found, []).append(entry.parts)
    if not pooled and any(place.split for _, place in places):
        left_out.setdefault("no_split", []).extend(parts for parts, place in places if not place.split)
        places = [(parts, place) for parts, place in places if place.split]

    try:
        chosen, copies = _choose(places)
    except SeveralForOnePlaceError:
        if any(place.split for _, place in places):
            raise
        # Perhaps there is a folder for each patient, with class folders in it.
        chosen, copies = _choose((parts, place.with_above(ignored)) for parts, place in places)
    left_out["copies"] = copies
    return Layout(chosen, {reason: left_out[reason] for reason in REASONS if left_out.get(reason)})


def _choose(places: Iterable[tuple[Parts, _Place]]) -> tuple[dict[str, Parts], list[Parts]]:
    """For each place the photograph in the fewest folders, sorted by place, and the others."""
    chosen: dict[str, tuple[str, Parts]] = {}
    copies = []
    for parts, place in sorted(places, key=lambda one: (len(one[0]), one[0])):
        path = place.path()
        key = _key(path)
        if key not in chosen:
            chosen[key] = path, parts
        elif len(chosen[key][1]) == len(parts):
            raise SeveralForOnePlaceError(chosen[key][1], parts)
        else:
            copies.append(parts)
    for key, (_, parts) in chosen.items():
        folder = key.rpartition("/")[0]
        while folder:
            if folder in chosen:
                raise SeveralForOnePlaceError(chosen[folder][1], parts)
            folder = folder.rpartition("/")[0]
    return dict(sorted(chosen.values())), copies


def _place(parts: Parts) -> _Place | str:
    folders = [part.casefold().strip() for part in parts[:-1]]
    classes = [number for number, name in enumerate(folders) if name in CLASSES]
    if not classes:
        return "no_class"
    at = classes[-1]
    if any(folders[number] != folders[at] for number in classes):
        return "both_classes"
    for number in (*reversed(range(at)), *range(at + 1, len(folders))):
        if folders[number] in SPLIT_FOLDERS:
            first, last = sorted((number, at))
            rest = parts[first + 1 : last] + parts[last + 1 :]
            return _Place(SPLIT_FOLDERS[folders[number]], folders[at], rest)
    return _Place(None, folders[at], parts[at + 1 :], parts[:at])


def shared_folders(entries: Iterable[Parts]) -> int:
    """How many of the first folders contain all entries, and so say nothing about any of them."""
    folders = sorted(parts[:-1] for parts in entries)
    if not folders:
        return 0
    together = zip(folders[0], folders[-1], strict=False)
    return sum(1 for _ in itertools.takewhile(lambda names: names[0] == names[1], together))


def _key(path: str) -> str:
    """A place without the differences that some file systems ignore: case, and how accents are composed."""
    return unicodedata.normalize("NFC", path.casefold())


def stored(name: str) -> str:
    """A file's name as it is stored: control characters, backslashes and bytes that are not UTF-8, which tables and
    tools may not handle, become such as %0D.
    """
    return re.sub(
        r"[\x00-\x1f\x7f\\\ud800-\udfff]",
        lambda match: "".join(f"%{byte:02X}" for byte in os.fsencode(match[0])),
        name,
    )


def split_and_class(place: str) -> tuple[str, str]:
    """The split (one of SPLITS, or NO_SPLIT) and the class of a place."""
    first, second = place.split("/")[:2]
    return (first, second) if first in SPLITS else (NO_SPLIT, first)


def count_left_out(left_out: LeftOut) -> dict[str, int]:
    """How many files were left out for each of REASONS."""
    return {reason: len(left_out.get(reason, ())) for reason in REASONS}


def describe(left_out: LeftOut) -> list[str]:
    """What was left out, in words, with a few examples of each reason."""
    return [
        f"{_counted(reason, left_out[reason])} ({examples([Path(*parts).as_posix() for parts in left_out[reason]])})"
        for reason in REASONS
        if left_out.get(reason)
    ]


def _counted(reason: str, entries: Sequence[Parts]) -> str:
    one, several = REASONS[reason]
    words = f"1 {one}" if len(entries) == 1 else f"{len(entries):,} {several}"
    if reason != "unread_formats":
        return words
    return f"{words}: {', '.join(sorted({str(unread_format(parts[-1])) for parts in entries}))}"


def unread_format(name: str) -> str | None:
    """The one of UNREAD_FORMATS that a file's suffix stands for, if any."""
    return FORMAT_OF.get(os.path.splitext(name)[1].casefold())  # noqa: PTH122


def examples(names: Sequence[str]) -> str:
    """The first SHOWN of several names, as a person can read them."""
    shown = ", ".join(map(visible, names[:SHOWN]))
    return shown if len(names) <= SHOWN else f"{shown}, ..."
