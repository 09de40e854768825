"""What a model predicts for images whose labels are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self, TextIO

import numpy as np

from dermascreen.artifacts.dataset.columns import Label, LesionNumber, Name, Probability, Score, SplitName, Whole
from dermascreen.core.tables import Table
from dermascreen.evidence.clusters import Clusters
from dermascreen.evidence.sample import Sample

PREDICTIONS = Path("reports/predictions.csv")
EARLIER = {
    "calibrated_probability": "is of an earlier version of dermascreen, whose column 'probability' is not calibrated"
}


@dataclass(frozen=True)
class ImagePredictions(Table):
    """The predictions that comparisons need, whichever model made them."""

    PATH: ClassVar[Path] = PREDICTIONS
    REFUSED: ClassVar[Mapping[str, str]] = EARLIER

    path: Name
    split: SplitName
    label: Label
    lesion: LesionNumber
    probability: Probability  # of malignant, calibrated; thresholds apply to it
    sha256: Name | None = field(default=None, kw_only=True)  # of the photograph's file; older tables lack it
    patient: LesionNumber | None = field(default=None, kw_only=True)  # as in the splits; older tables lack it

    @classmethod
    def parse(cls, file: Path | TextIO, splits: Sequence[str] = ()) -> Self:
        """As `Table.parse`; all photographs of a lesion are of one patient."""
        table = super().parse(file, splits)
        if table.patient is not None:
            pairs = np.unique(np.column_stack([table.lesion, table.patient]), axis=0)
            if (repeated := pairs[1:, 0][np.diff(pairs[:, 0]) == 0]).size:
                raise ValueError(f"holds photographs of lesion {repeated[0]} that are of several patients")
        return table

    def part(self, split: str) -> Self:
        """The images of a split."""
        return self[self.split == split]

    @property
    def clusters(self) -> Clusters:
        """Which lesion and which patient each image shows."""
        return Clusters(self.lesion, self.lesion if self.patient is None else self.patient)

    @property
    def sample(self) -> Sample:
        """Label, probability, and whose photograph each is."""
        return Sample(self.label, self.probability, self.clusters)


@dataclass(frozen=True)
class Predictions(ImagePredictions):
    """Every image of val and test."""

    logit: Score
    uncalibrated: Probability  # sigmoid(logit)
    low: Probability  # ends of the interval of the probability
    high: Probability


@dataclass(frozen=True)
class PooledPredictions(ImagePredictions):
    """The test images of every fold of a cross-validation."""

    PATH: ClassVar[Path] = Path("reports/pooled_predictions.csv")

    fold: Whole  # the position of its source in the list
