"""The photographs as they were fetched, and the table of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dermascreen.artifacts.dataset.columns import Label, Name, SourceSplit, Whole
from dermascreen.core.tables import Table

RAW = Path("data/raw")  # the photographs, at the paths that the manifest names


@dataclass(frozen=True)
class Manifest(Table):
    """Every photograph, sorted by path."""

    PATH: ClassVar[Path] = Path("data/manifest.csv")

    path: Name  # relative to RAW
    label: Label
    source_split: SourceSplit  # the folder that it came in; none where there are no such folders
    width: Whole
    height: Whole
    sha256: Name  # of its file
