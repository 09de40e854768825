"""How a logit becomes a probability, and the probability's interval."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from dermascreen.artifacts.dataset.columns import Probability, Score
from dermascreen.core.records import Record
from dermascreen.core.tables import Table


class Calibration(Record):
    """The probability is sigmoid(logit / temperature)."""

    PATH: ClassVar[Path] = Path("models/calibration.json")

    method: Literal["temperature"] = "temperature"
    temperature: Annotated[float, Field(gt=0)]
    fitted_on: Literal["val"] = "val"
    tta: bool  # whether logits are means over the eight symmetries of an image
    network: str | None = None  # sha256 of the exported network that made the logits; models made before lack it
    intervals: str | None = None  # sha256 of the file of ProbabilityIntervals; likewise


@dataclass(frozen=True)
class ProbabilityIntervals(Table):
    """What val can tell about the probability at a logit: a Venn-Abers interval."""

    PATH: ClassVar[Path] = Path("models/probability_intervals.csv")

    logit: Score
    low: Probability
    high: Probability
