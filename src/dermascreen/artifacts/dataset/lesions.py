"""Which photographs show the same lesion, and the evidence for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dermascreen.artifacts.dataset.columns import LesionNumber, Name, Score, Text, Whole
from dermascreen.core.tables import Table

AUDIT_PAGE = Path("reports/audit.html")  # on which a person checks the pairs


@dataclass(frozen=True)
class Lesions(Table):
    """The lesion and the patient of each photograph."""

    PATH: ClassVar[Path] = Path("data/lesions.csv")

    path: Name
    lesion: LesionNumber
    patient: LesionNumber  # equal for photographs of one patient; of one lesion, where patients are not known


@dataclass(frozen=True)
class Pairs(Table):
    """Pairs of photographs of one lesion, each by the surest method that finds it."""

    PATH: ClassVar[Path] = Path("data/lesion_pairs.csv")

    path_a: Name
    path_b: Name
    method: Text  # bytes, pixels, hash, features, declared (by the data set's own table) or reviewed (by a person)
    score: Score
    inliers: Whole
