"""The test images that are shown, with their maps."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dermascreen.artifacts.dataset.columns import Flag, Label, Name, Probability, Text
from dermascreen.core.tables import Table

PICTURES = Path("reports/explain")  # the table, and a folder of the images that it names


@dataclass(frozen=True)
class Pictures(Table):
    """A row for each test image that is shown; images are named from PICTURES."""

    PATH: ClassVar[Path] = PICTURES / "pictures.csv"

    path: Name
    label: Label
    probability: Probability
    low: Probability
    high: Probability
    outcome: Text  # at the operating point in use: tp, fn, fp or tn; what is referred counts as called malignant
    image: Name
    overlay: Name
    near_benign: Name  # the nearest training image of that class
    near_malignant: Name
    flat: Flag
