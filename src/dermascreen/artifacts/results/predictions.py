"""What a model predicts for images whose labels are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self, TextIO

from dermascreen.artifacts.dataset.columns import Label, LesionNumber, Name, Probability, Score, SplitName, Whole
from dermascreen.core.tables import Table, parse_table
from dermascreen.evidence.sample import Sample

PREDICTIONS = Path("reports/predictions.csv")
EARLIER = {
    "calibrated_probability": "is of an earlier version of dermascreen, whose column 'probability' is not calibrated"
}


@dataclass(frozen=True)
class ImagePredictions(Table):
    """The predictions that comparisons need, whichever model made them."""

    PATH: ClassVar[Path] = PREDICTIONS

    path: Name
    split: SplitName
    label: Label
    lesion: LesionNumber
    probability: Probability  # of malignant, calibrated; thresholds apply to it

    @classmethod
    def parse(cls, file: Path | TextIO, splits: Sequence[str] = ()) -> Self:
        return cls.of(parse_table(file, cls.meanings(), splits, EARLIER))

    def part(self, split: str) -> Self:
        """The images of a split."""
        return self[self.split == split]

    @property
    def sample(self) -> Sample:
        """Label, probability and lesion."""
        return Sample(self.label, self.probability, self.lesion)


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
