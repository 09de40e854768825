"""What the stages on data found out: download, audit, split and preprocess."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from dermascreen.core.records import Details, Number, Part, details_file, section

LeftOutCounts = dict[str, int]  # files by the reason for which they were left out


class ClassCounts(Part):
    """Photographs of each class."""

    benign: int
    malignant: int


class TableDetails(Part):
    """What the tables of a source say, in all."""

    layouts: dict[str, str]  # by the table's name
    rows: int
    rows_without_image: int
    labels: dict[str, dict[str, int]]  # images with each value of the label, by class or `neither`
    columns: list[str]  # kept in the metadata
    personal: list[str]  # left out, because they may tell who somebody is
    lesions: int  # with a name in the table
    patients: int


class DownloadDetails(Details):
    """How many photographs there are, by source folder and class."""

    PATH: ClassVar[Path] = details_file("download")

    images: int
    train: ClassCounts
    val: ClassCounts
    test: ClassCounts
    none: ClassCounts | None = None  # of sources without these folders
    left_out: LeftOutCounts
    table: TableDetails | None = None  # of sources without tables


class PairCounts(Part):
    """Pairs of photographs of one lesion, by the surest method that finds them."""

    bytes: int
    pixels: int
    hash: int
    features: int
    declared: int = 0  # found by none of the others
    reviewed: int = 0  # said by a person, and found by none of the others


class AuditDetails(Details):
    """How many photographs show the same lesion as another one."""

    PATH: ClassVar[Path] = details_file("audit")

    images: int
    exact_duplicates: int  # files that are a copy of another
    lesions: int
    lesions_with_several_images: int
    test_near_duplicates_of_train: int  # images of the test folder that show a lesion of the train folder
    patients: int | None = None  # where any is known
    of_unknown_patients: int = 0  # photographs of lesions whose patient is not known, where others' are
    label_conflicts: int  # lesions that carry both labels
    patient_conflicts: int = 0  # lesions of several patients
    pairs_rejected: int = 0  # that a person said to show two lesions
    rejected_but_joined: int = 0  # of these, pairs whose photographs other pairs join all the same
    pairs_kept_apart: int = 0  # pairs whose lesions have different names in the data set's own table
    pairs: PairCounts

    @property
    def headline(self) -> dict[str, Number]:
        return {"near_dups": self.test_near_duplicates_of_train}

    @property
    def row(self) -> dict[str, float]:
        return section("data", near_duplicates=self.test_near_duplicates_of_train)


class PartCounts(Part):
    """Photographs, lesions and patients of a split."""

    images: int
    lesions: int
    benign: int  # photographs
    malignant: int
    patients: int | None = None  # where the data tell any

    @property
    def unit(self) -> str:
        """What is independent of another one: a patient, where any is known to have several lesions, or a lesion."""
        return "patient" if self.patients is not None and self.patients < self.lesions else "lesion"


class ColumnCounts(Part):
    """What a column of the metadata says of the photographs in each split."""

    known: int  # photographs of which it says anything
    distinct: int  # values
    values: dict[str, dict[str, int]]  # photographs by split and value, the commonest first; empty where there are many
    ranges: dict[str, tuple[float, float]] = Field(default={})  # by split; of numbers


class SplitDetails(Details):
    """What is in each split."""

    PATH: ClassVar[Path] = details_file("split")

    train: PartCounts
    val: PartCounts
    test: PartCounts
    selection: PartCounts | None = None  # where val chooses the epoch
    excluded: PartCounts | None = None  # where the protocol excludes nothing
    columns: dict[str, ColumnCounts] = Field(default={})  # of the metadata

    @property
    def parts(self) -> dict[str, PartCounts]:
        """The splits that there are, by name."""
        every = {
            "train": self.train, "selection": self.selection, "val": self.val, "test": self.test,
            "excluded": self.excluded,
        }  # fmt: skip
        return {name: part for name, part in every.items() if part is not None}


class PreprocessDetails(Details):
    """How many photographs were decoded, and to which size."""

    PATH: ClassVar[Path] = details_file("preprocess")

    images: int
    image_size: int  # pixels a side
