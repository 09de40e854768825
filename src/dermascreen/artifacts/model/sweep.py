"""The confusion of the test images at each threshold."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dermascreen.artifacts.dataset.columns import Probability, Whole
from dermascreen.core.tables import Table


@dataclass(frozen=True)
class Sweep(Table):
    """Counts on test at thresholds 0, 0.01, ..., 1."""

    PATH: ClassVar[Path] = Path("models/sweep.csv")

    threshold: Probability
    tn: Whole
    fp: Whole
    fn: Whole
    tp: Whole
