"""All that is needed to use a model, in one folder: models/ as the pipeline leaves it."""

from pathlib import Path

from dermascreen.artifacts.model.calibration import Calibration, ProbabilityIntervals
from dermascreen.artifacts.model.description import WEIGHTS, Description
from dermascreen.artifacts.model.explanation import Explanation
from dermascreen.artifacts.model.exported import EXPORTED
from dermascreen.artifacts.model.operating_points import OPERATING_POINTS
from dermascreen.artifacts.model.reference import REFERENCE
from dermascreen.artifacts.model.sweep import Sweep

MODEL_CARD = Path("models/MODEL_CARD.md")
BUNDLE = (
    WEIGHTS,
    EXPORTED,
    Description.PATH,
    Calibration.PATH,
    ProbabilityIntervals.PATH,
    OPERATING_POINTS,
    Sweep.PATH,
    REFERENCE,
    Explanation.PATH,
    MODEL_CARD,
)
