"""All that is needed to use a model, in one folder: `models/` as the pipeline leaves it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd

from dermascreen.errors import BadTableError, MissingInputError
from dermascreen.evidence.calibration import read_temperature
from dermascreen.explanation.gradcam import VARIANTS, MapKind
from dermascreen.files import read_json
from dermascreen.model.inference import prepare
from dermascreen.model.network import Network, load_model
from dermascreen.model.reference import Reference
from dermascreen.pipeline import (
    CALIBRATION,
    EXPLANATION,
    MODEL,
    MODEL_CARD,
    OPERATING_POINTS,
    PROBABILITY_INTERVALS,
    REFERENCE,
    SWEEP,
    WEIGHTS,
)
from dermascreen.report.wording import caveat_of
from dermascreen.tables import read_table

FILES = (
    WEIGHTS,
    MODEL,
    CALIBRATION,
    PROBABILITY_INTERVALS,
    OPERATING_POINTS,
    SWEEP,
    REFERENCE,
    EXPLANATION,
    MODEL_CARD,
)
BAND = "abstention"  # the operating point that has two thresholds, and refers what lies between
MALIGNANT, BENIGN, REFER = "malignant", "benign", "refer"


@dataclass(frozen=True)
class Bundle:
    """A network, and how its logit becomes a probability and a decision."""

    network: Network  # prepared for inference
    temperature: float
    tta: bool
    intervals: pd.DataFrame  # of the probability, by logit
    points: Mapping[str, Mapping[str, Any]]  # operating points by name
    sweep: pd.DataFrame  # what each threshold makes of test: threshold, tn, fp, fn, tp
    reference: Reference
    maps: MapKind  # how they are made
    checks: int  # of whether maps can be believed
    failed_checks: int
    card: str  # the model card, in Markdown

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a folder that holds FILES by their own names; DermascreenError says what is missing or broken."""
        weights, model, calibration, intervals, points, sweep, reference, explanation, card = (
            folder / file.name for file in FILES
        )
        return cls(
            prepare(load_model(weights, model)),
            read_temperature(calibration),
            read_json(calibration).get("tta") is True,
            read_table(intervals, ["logit", "low", "high"]),
            _read_points(points),
            read_table(sweep, ["threshold", "tn", "fp", "fn", "tp"]),
            Reference.read(reference),
            *_read_explanation(explanation),
            _read_text(card),
        )

    @property
    def size(self) -> int:
        """Pixels a side of what the network sees."""
        return self.network.description.image_size

    @property
    def point(self) -> str:
        """The operating point in use unless another is asked for: the band where there is one, else high_recall."""
        return BAND if BAND in self.points else "high_recall"

    def decide(self, probability: float, point: str) -> str:
        """Malignant or benign at an operating point, or refer between the two thresholds of the band."""
        chosen = self.points[point]
        if point == BAND:
            return BENIGN if probability < chosen["low"] else MALIGNANT if probability >= chosen["high"] else REFER
        return MALIGNANT if probability >= chosen["threshold"] else BENIGN

    def caveat(self, point: str) -> str | None:
        """What must be said wherever a decision is made at an operating point, in a sentence, if anything must.

        The band has high_recall's threshold as its lower one, and so what is said against that.
        """
        names = (point, "high_recall") if point == BAND else (point,)
        found = [caveat_of(self.points[name]) for name in names]
        return " ".join(filter(None, found)) or None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingInputError(path) from None


def _read_explanation(path: Path) -> tuple[MapKind, int, int]:
    about = read_json(path)
    layer, variant, checks, failed = (about[key] for key in ("layer", "variant", "checks", "failed"))
    known = isinstance(layer, str) and variant in VARIANTS
    if not (known and isinstance(checks, list) and isinstance(failed, list)):
        raise BadTableError(path, "does not say how maps are made and which of their checks failed")
    return MapKind(layer, variant), len(checks), len(failed)


def _read_points(path: Path) -> Mapping[str, Mapping[str, Any]]:
    points = read_json(path)
    if "high_recall" not in points:
        raise BadTableError(path, "lacks 'high_recall'")
    for name in points:
        for key in ("low", "high") if name == BAND else ("threshold",):
            points.number(name, key)
    return points
