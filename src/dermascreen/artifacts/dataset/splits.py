"""Which photographs are used for training, validation and testing."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from dermascreen.artifacts.dataset.columns import Label, LesionNumber, Name, SplitName
from dermascreen.core.tables import Table

TRAIN, VAL, TEST = "train", "val", "test"
SELECTION = "selection"  # chooses the epoch where it has photographs; otherwise val does


@dataclass(frozen=True)
class Splits(Table):
    """The split of each photograph; a lesion is in two only where split.protocol leaves near-duplicates in train."""

    PATH: ClassVar[Path] = Path("data/splits.csv")

    path: Name
    label: Label
    lesion: LesionNumber
    split: SplitName
    patient: LesionNumber  # equal for photographs of one patient; of one lesion, where patients are not known

    @property
    def chooses_epoch(self) -> str:
        """The split on which the epoch of the network is chosen."""
        return SELECTION if SELECTION in self.split else VAL

    def part(self, *names: str) -> Self:
        """The photographs of these splits."""
        return self[sum((self.split == name for name in names), self.split == "")]
