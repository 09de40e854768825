"""A model for its users: the predictor, and what is said about it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dermascreen.artifacts.model.explanation import Explanation
from dermascreen.artifacts.model.files import MODEL_CARD
from dermascreen.artifacts.model.sweep import Sweep
from dermascreen.core.errors import MissingInputError
from dermascreen.evidence.operating_points import BAND, HIGH_RECALL, OperatingPoints
from dermascreen.explanation.gradcam import MapKind
from dermascreen.prediction.predictor import Predictor
from dermascreen.report.wording import caveat_of


@dataclass(frozen=True)
class Bundle:
    """All of models/, as the pipeline leaves it."""

    predictor: Predictor
    sweep: Sweep
    explanation: Explanation
    card: str  # the model card, in Markdown

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a folder that holds BUNDLE by their own names; DermascreenError says what is missing or broken."""
        return cls(
            Predictor(folder).load(),
            Sweep.read(folder / Sweep.PATH.name),
            Explanation.read(folder / Explanation.PATH.name),
            _read_text(folder / MODEL_CARD.name),
        )

    @property
    def points(self) -> OperatingPoints:
        return self.predictor.points

    @property
    def maps(self) -> MapKind:
        """How maps are made."""
        return MapKind(self.explanation.layer, self.explanation.variant)

    def caveat(self, point: str) -> str | None:
        """What must be said wherever a decision is made at an operating point, in a sentence, if anything must.

        The band has high_recall's threshold as its lower one, and so what is said against that.
        """
        names = (point, HIGH_RECALL) if point == BAND else (point,)
        found = [caveat_of(self.points[name]) for name in names]
        return " ".join(filter(None, found)) or None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingInputError(path) from None
