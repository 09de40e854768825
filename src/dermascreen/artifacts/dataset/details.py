"""What the stages on data found out: download, audit, split and preprocess."""

from pathlib import Path
from typing import ClassVar

from dermascreen.core.records import Details, Number, Part, details_file, section

LeftOutCounts = dict[str, int]  # files by the reason for which they were left out


class ClassCounts(Part):
    """Photographs of each class."""

    benign: int
    malignant: int


class DownloadDetails(Details):
    """How many photographs there are, by source folder and class."""

    PATH: ClassVar[Path] = details_file("download")

    images: int
    train: ClassCounts
    val: ClassCounts
    test: ClassCounts
    none: ClassCounts | None = None  # of sources without these folders
    left_out: LeftOutCounts


class PairCounts(Part):
    """Pairs of photographs of one lesion, by the surest method that finds them."""

    bytes: int
    pixels: int
    hash: int
    features: int


class AuditDetails(Details):
    """How many photographs show the same lesion as another one."""

    PATH: ClassVar[Path] = details_file("audit")

    images: int
    exact_duplicates: int  # files that are a copy of another
    lesions: int
    lesions_with_several_images: int
    test_near_duplicates_of_train: int  # images of the test folder that show a lesion of the train folder
    label_conflicts: int  # lesions that carry both labels
    pairs: PairCounts

    @property
    def headline(self) -> dict[str, Number]:
        return {"near_dups": self.test_near_duplicates_of_train}

    @property
    def row(self) -> dict[str, float]:
        return section("data", near_duplicates=self.test_near_duplicates_of_train)


class PartCounts(Part):
    """Photographs and lesions of a split."""

    images: int
    lesions: int
    benign: int  # photographs
    malignant: int


class SplitDetails(Details):
    """What is in each split."""

    PATH: ClassVar[Path] = details_file("split")

    train: PartCounts
    val: PartCounts
    test: PartCounts
    excluded: PartCounts | None = None  # where the protocol excludes nothing

    @property
    def parts(self) -> dict[str, PartCounts]:
        """The splits that there are, by name."""
        every = {"train": self.train, "val": self.val, "test": self.test, "excluded": self.excluded}
        return {name: part for name, part in every.items() if part is not None}


class PreprocessDetails(Details):
    """How many photographs were decoded, and to which size."""

    PATH: ClassVar[Path] = details_file("preprocess")

    images: int
    image_size: int  # pixels a side
