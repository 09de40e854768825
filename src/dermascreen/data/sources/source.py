"""What a source gives: photographs at their places, and what is known of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dermascreen.artifacts.dataset.details import TableDetails
from dermascreen.core.errors import ArchiveError
from dermascreen.data.sources.layouts import (
    CLASSES,
    NO_SPLIT,
    SPLITS,
    LeftOut,
    describe,
    split_and_class,
)


class Known(NamedTuple):
    """What tables say of the photographs, and of themselves."""

    metadata: pd.DataFrame  # text, by place: lesion, patient, and the columns that are kept
    details: TableDetails
    sentences: list[str]  # what a user should know


class Source(NamedTuple):
    """The photographs of a source: how many, and pairs of place and bytes; what was left out; the linked folders that
    lead to some of them; and what tables say of them.
    """

    total: int
    entries: Iterable[tuple[str, bytes]]
    left_out: LeftOut
    linked: tuple[Path, ...] = ()
    known: Known | None = None


def require_classes(places: Iterable[str], left_out: LeftOut, path: Path, wanted: str, *, pooled: bool) -> None:
    """Raise ArchiveError, with a likely cause, if a required split or class has no photographs.

    Parameters: `wanted`, what to give instead.
    """
    there = {split_and_class(place) for place in places}
    splits = {split for split, _ in there}
    if pooled or splits <= {NO_SPLIT}:
        missing = [name for name in CLASSES if name not in {found for _, found in there}]
    else:
        needed = [split for split in SPLITS if split in splits or split == SPLITS[0]]
        missing = [f"{split}/{name}" for split in needed for name in CLASSES if (split, name) not in there]
    if missing:
        but = f", but {', '.join(describe(left_out))}" if left_out else ""
        raise ArchiveError(f"{path} has no images in {', '.join(missing)}{but}; {wanted}.")
