"""The confusion of the test images at each threshold."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dermascreen.artifacts.dataset.columns import Probability, Size, Whole
from dermascreen.core.tables import Table
from dermascreen.evidence.clusters import EffectiveSizes


@dataclass(frozen=True)
class Sweep(Table):
    """Counts on test at thresholds 0, 0.01, ..., 1, and the effective sample sizes of recall and specificity.

    Older files lack the sizes.
    """

    PATH: ClassVar[Path] = Path("models/sweep.csv")

    threshold: Probability
    tn: Whole
    fp: Whole
    fn: Whole
    tp: Whole
    recall_n: Size | None = None
    specificity_n: Size | None = None

    def sizes(self, row: int) -> EffectiveSizes | None:
        """The effective sample sizes at the threshold of a row; None where the file lacks them."""
        if self.recall_n is None or self.specificity_n is None:
            return None
        return EffectiveSizes(float(self.recall_n[row]), float(self.specificity_n[row]))
