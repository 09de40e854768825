"""The photographs as they were fetched, and the table of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd

from dermascreen.artifacts.dataset.columns import Label, Name, SourceSplit, Whole
from dermascreen.core.files import fingerprint
from dermascreen.core.tables import Table

TEST_IMAGES = "test_images"  # the tag of a run in MLflow that says on which photographs it tested a model
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

    def content_of(self, path: Name) -> str:
        """A hash of the photographs at these paths: of their files as they were fetched, whatever they are called.

        Two test sets with the same hash are the same, also where images were prepared in another size.
        """
        return fingerprint(sorted(self.sha256[pd.Index(self.path).isin(path)]))
