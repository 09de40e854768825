"""From pixels to a decision, on the one path that stages and serving share."""

from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from dermascreen.artifacts.dataset.images import Pixels
from dermascreen.artifacts.model.calibration import Calibration, ProbabilityIntervals
from dermascreen.artifacts.model.description import Description
from dermascreen.artifacts.model.explanation import Explanation
from dermascreen.artifacts.model.exported import AGAIN, EXPORTED
from dermascreen.artifacts.model.operating_points import OPERATING_POINTS, read_operating_points
from dermascreen.artifacts.model.reference import REFERENCE, NoveltyLimit
from dermascreen.core.errors import BadTableError
from dermascreen.core.hashes import sha256_of
from dermascreen.evidence.calibration import with_interval
from dermascreen.evidence.metrics import Scores
from dermascreen.evidence.operating_points import Decisions, OperatingPoints
from dermascreen.prediction.forward import Floats, ForwardPass, Rows, forward, predict_logits
from dermascreen.prediction.reference import Distances, Reference

MODELS = EXPORTED.parent


class Probabilities(NamedTuple):
    """Calibrated probabilities of malignant, and the ends of their intervals; each of shape (n,)."""

    probability: Scores
    low: Scores
    high: Scores


class Predicted(NamedTuple):
    """What a model predicts for n images."""

    logit: Floats  # shape (n,)
    probability: Scores
    low: Scores
    high: Scores
    decisions: dict[str, Decisions]  # at each operating point
    distances: Distances  # to each training image of the reference; shape (n, m)
    novelty: Distances  # score; shape (n,)


class Predictor:
    """A model, in a folder as the pipeline leaves models/. Each of its files is read once, when it is first needed.

    A missing or broken file raises a DermascreenError that says so.
    """

    def __init__(self, folder: Path = MODELS) -> None:
        self.folder = folder

    def load(self) -> Self:
        """Read every file now, and see that they belong together."""
        for name, part in vars(type(self)).items():
            if isinstance(part, cached_property):
                getattr(self, name)
        file = self.folder / EXPORTED.name
        if self.network.size != self.size:
            raise BadTableError(file, f"does not fit {self.folder / Description.PATH.name}", AGAIN)
        described, intervals = (self.folder / kind.PATH.name for kind in (Description, ProbabilityIntervals))
        if self.network.description_sha256 not in (None, sha256_of(described)):
            raise BadTableError(file, f"is not the network of {described}", AGAIN)
        if self.calibration.intervals not in (None, sha256_of(intervals)):
            raise BadTableError(intervals, f"does not belong to {self.folder / Calibration.PATH.name}", AGAIN)
        here = sha256_of(file) if self.made_for else None  # a model of before may have no such file
        for made, network in self.made_for.items():
            if network != here:
                raise BadTableError(file, f"is not the network of {made}", AGAIN)
        return self

    @property
    def made_for(self) -> dict[Path, str]:
        """The sha256 of the network that files of the folder are for, of those that name one."""
        known = {
            Calibration.PATH: self.calibration.network, OPERATING_POINTS: self.points.network,
            NoveltyLimit.PATH: self.reference.network, Explanation.PATH: self.explanation.network,
        }  # fmt: skip
        return {self.folder / path.relative_to(MODELS): network for path, network in known.items() if network}

    @cached_property
    def network(self) -> ForwardPass:
        return ForwardPass(self.folder / EXPORTED.name)

    @cached_property
    def description(self) -> Description:
        return Description.read(self.folder / Description.PATH.name)

    @cached_property
    def calibration(self) -> Calibration:
        return Calibration.read(self.folder / Calibration.PATH.name)

    @cached_property
    def intervals(self) -> ProbabilityIntervals:
        return ProbabilityIntervals.read(self.folder / ProbabilityIntervals.PATH.name)

    @cached_property
    def points(self) -> OperatingPoints:
        return read_operating_points(self.folder / OPERATING_POINTS.name)

    @cached_property
    def reference(self) -> Reference:
        return Reference.read(self.folder / REFERENCE.name)

    @cached_property
    def explanation(self) -> Explanation:
        return Explanation.read(self.folder / Explanation.PATH.name)

    @property
    def size(self) -> int:
        """Pixels a side of the network's input."""
        return self.description.image_size

    def logits(self, pixels: Pixels, rows: Rows, tta: bool | None = None) -> Floats:
        """The logit of each of `rows` of `pixels`, uint8 (N, size, size, 3); shape (len(rows),).

        Parameters: `tta`, whether by test-time augmentation; by default as when the calibration was fitted.
        """
        return predict_logits(self.network, pixels, rows, self.calibration.tta if tta is None else tta)

    def probabilities(self, logits: Floats) -> Probabilities:
        """The calibrated probabilities of logits, shape (n,), with their intervals."""
        return Probabilities(*with_interval(logits, self.calibration.temperature, self.intervals.to_frame()))

    def predict(self, pixels: Pixels) -> Predicted:
        """All predictions for images, uint8 (n, size, size, 3); an image's do not depend on which others are given."""
        outputs = forward(self.network, pixels, self.calibration.tta)
        found = self.probabilities(outputs.logits)
        # One image at a time, as for logits: the rounding of a matrix product depends on its shape.
        distances = np.concatenate([self.reference.distances(one[np.newaxis]) for one in outputs.embeddings])
        return Predicted(
            outputs.logits, *found, {name: self.points.decide(found.probability, name) for name in self.points},
            distances, self.reference.novelty(distances),
        )  # fmt: skip
