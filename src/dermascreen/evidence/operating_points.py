"""Operating points, and what each decides: the only place that compares a probability with a threshold."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt

MALIGNANT, BENIGN, REFER = "malignant", "benign", "refer"  # the decisions
HALF = 0.5  # the threshold of the point `default`
HIGH_RECALL = "high_recall"
BAND = "abstention"  # the operating point that has two thresholds, and refers what lies between

Decisions = npt.NDArray[np.str_]  # MALIGNANT, BENIGN or REFER; shape (n,)


def called_malignant(probability: npt.ArrayLike, threshold: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which probabilities are called malignant at a threshold: those that are at least as high."""
    return np.asarray(np.asarray(probability) >= threshold)


@dataclass(frozen=True)
class Point:
    """A threshold on the calibrated probability, and the rule that chose it."""

    threshold: float
    rule: str

    def decide(self, probability: npt.ArrayLike) -> Decisions:
        """MALIGNANT where the probability is at least the threshold, else BENIGN; shape (n,)."""
        return np.where(called_malignant(probability, self.threshold), MALIGNANT, BENIGN)


@dataclass(frozen=True)
class HighRecall(Point):
    """A point that aims to find a given share of all malignant lesions, or of patients who have any: see `trials`."""

    target_recall: float
    confidence: float
    guaranteed: bool  # whether the target is reached with that confidence, for lesions like those of val
    reached: bool  # False where this takes calling every benign image malignant as well
    lesions: int  # malignant ones in val
    misses_allowed: int | None  # None where even 0 are too many for a guarantee
    lesions_needed: int  # malignant ones, of different patients, that a guarantee requires
    patients: int | None = field(default=None, kw_only=True)  # whose lesions these are; older files lack it


@dataclass(frozen=True)
class Band:
    """Two thresholds: images with low <= probability < high are referred to a person."""

    low: float
    high: float
    rule: str
    target_specificity: float
    confidence: float
    guaranteed: bool
    lesions: int  # benign ones in val
    false_alarms_allowed: int | None
    lesions_needed: int
    patients: int | None = field(default=None, kw_only=True)

    def decide(self, probability: npt.ArrayLike) -> Decisions:
        """MALIGNANT from `high` on, BENIGN below `low`, REFER in between; shape (n,)."""
        above_low, above_high = (called_malignant(probability, at) for at in (self.low, self.high))
        return np.where(above_high, MALIGNANT, np.where(above_low, REFER, BENIGN))


def trials(point: HighRecall | Band) -> tuple[int, str]:
    """On how many independent trials a guarantee rests, and what they are: a lesion, or a patient if any has several.

    A patient's malignant (for a band benign) lesions are one trial, which fails if one of them is decided wrongly.
    """
    if point.patients is None or point.patients == point.lesions:
        return point.lesions, "lesion"
    return point.patients, "patient"


def named_trials(unit: str, kind: str, number: int = 0) -> str:
    """Malignant lesions, or patients with malignant lesions; in the singular if `number` is 1."""
    several = "s" * (number != 1)
    return f"{kind} lesion{several}" if unit == "lesion" else f"patient{several} with {kind} lesions"


def counted_trials(number: int, unit: str, kind: str) -> str:
    """31 malignant lesions, or 31 patients with malignant lesions."""
    return f"{number} {named_trials(unit, kind, number)}"


@dataclass(frozen=True)
class OperatingPoints:
    """The points chosen on val, by name."""

    default: Point
    f1_optimal: Point
    youden: Point
    high_recall: HighRecall
    abstention: Band | None
    network: str | None = None  # sha256 of the exported network whose probabilities they are for; older files lack it
    sweep: str | None = None  # sha256 of the table of all thresholds that was made with them; likewise

    def __iter__(self) -> Iterator[str]:
        """The names of the points that there are."""
        return (one.name for one in fields(self) if isinstance(getattr(self, one.name), Point | Band))

    def __getitem__(self, name: str) -> Point | Band:
        """The point of that name; KeyError if there is none."""
        if name not in list(self):
            raise KeyError(name)
        point: Point | Band = getattr(self, name)
        return point

    @property
    def in_use(self) -> str:
        """The point that decides unless another is asked for: the band where there is one, else high_recall."""
        return BAND if self.abstention is not None else HIGH_RECALL

    @property
    def thresholds(self) -> dict[str, float]:
        """The threshold of each point that has one: of all but the band."""
        return {name: point.threshold for name in self if isinstance(point := self[name], Point)}

    def decide(self, probability: npt.ArrayLike, name: str | None = None) -> Decisions:
        """The decision for each probability at a point, the one `in_use` by default; shape (n,)."""
        return self[name or self.in_use].decide(probability)

    def flags(self, probability: npt.ArrayLike, name: str | None = None) -> npt.NDArray[np.bool_]:
        """Which images are not decided benign: called malignant, or referred; shape (n,)."""
        return np.asarray(self.decide(probability, name) != BENIGN)
