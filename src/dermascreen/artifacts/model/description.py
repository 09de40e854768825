"""The description of a trained network, next to its weights."""

from pathlib import Path
from typing import ClassVar

from dermascreen.core.records import Record

WEIGHTS = Path("models/weights.safetensors")


class Description(Record):
    """Everything but the weights that is needed to use a trained network."""

    PATH: ClassVar[Path] = Path("models/model.json")

    architecture: str
    weights: str  # what training started from
    hidden: int
    dropout: float
    image_size: int  # pixels a side
    mean: tuple[float, float, float]  # of each channel in [0, 1]; subtracted, then divided by std
    std: tuple[float, float, float]
    classes: tuple[str, str]  # the logit is that of the second
