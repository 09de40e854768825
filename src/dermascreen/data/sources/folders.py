"""Photographs whose class, and perhaps split, is told by the folders that they lie in."""

from collections.abc import Iterable
from pathlib import Path

from dermascreen.core.errors import ArchiveError
from dermascreen.data.sources.archives import Archive, Zip, require_bounded
from dermascreen.data.sources.layouts import (
    REASONS,
    Entry,
    Layout,
    LeftOut,
    SeveralForOnePlaceError,
    arrange,
)
from dermascreen.data.sources.source import Source, require_classes

DEEPEST = 100  # parts of a path: Python's functions for folders recurse once for each
WANTED = (
    "give one that has train/benign, train/malignant, test/benign and test/malignant, or benign and malignant alone"
)


def read_folders(archive: Archive, max_unpacked_gib: float, *, pooled: bool = False) -> Source:
    """The photographs of an archive, at the places that `layouts.arrange` finds for them.

    A folder that holds one zip and no photograph of a class is read as that zip.
    Raises ArchiveError for two files for one place, for a class without images (in any split, unless all are `pooled`),
    and for a zip that would unpack to more than `max_unpacked_gib` GiB.
    """
    layout = _arrange(archive.entries, archive.path, pooled)
    zips = [parts for parts in layout.left_out.get("archives", ()) if parts[-1].lower().endswith(".zip")]
    if isinstance(archive, Zip) or layout.chosen or not zips:
        require_classes(layout.chosen, layout.left_out, archive.path, WANTED, pooled=pooled)
        require_bounded(archive, layout.chosen.values(), max_unpacked_gib)
        place = {parts: place for place, parts in layout.chosen.items()}
        entries = ((place[parts], content) for parts, content in archive.contents(place))
        return Source(len(place), entries, layout.left_out, archive.linked(place))
    if len(zips) > 1:
        names = ", ".join("/".join(parts) for parts in zips)
        raise ArchiveError(
            f"{archive.path} holds {len(zips)} zips ({names}) and no photograph of a class; name one of them, or "
            "unpack all of them here if they belong together."
        )
    inner = read_folders(Zip(archive.path.joinpath(*zips[0])), max_unpacked_gib, pooled=pooled)
    beside = {reason: [parts for parts in found if parts != zips[0]] for reason, found in layout.left_out.items()}
    return inner._replace(left_out=_together(beside, inner.left_out))


def holds_classes(archive: Archive) -> bool:
    """Whether any photograph of an archive, or of the zips in it, lies in a folder of a class."""
    try:
        return bool(arrange(archive.entries, pooled=True).chosen)
    except SeveralForOnePlaceError:
        return True


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


def _together(*several: LeftOut) -> LeftOut:
    joined = {reason: [parts for one in several for parts in one.get(reason, ())] for reason in REASONS}
    return {reason: found for reason, found in joined.items() if found}
