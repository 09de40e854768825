"""How a frozen model does on photographs of another clinic, beside how it does on test here."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dermascreen.evidence.calibration import expected_calibration_error
from dermascreen.evidence.intervals import Interval, metric_intervals, wilson
from dermascreen.evidence.metrics import Labels, Scores, at_threshold, classification_metrics

WITH_INTERVALS = ("roc_auc", "partial_roc_auc", "average_precision", "brier")
MEASURES = (*WITH_INTERVALS, "ece")
RATES = {"recall": ("tp", "fn"), "specificity": ("tn", "fp"), "precision": ("tp", "fp")}  # shares, and of which counts
FEWEST = 2  # images of each class: with one image, an AUC is a mere rank


class Sample(NamedTuple):
    """Images of one place: label, calibrated probability and lesion, each of shape (n,)."""

    label: Labels
    probability: Scores
    lesion: npt.NDArray[np.intp]


def difference_interval(first: float, around: Interval, second: float, other: Interval) -> Interval:
    """The interval of `first` - `second`, measured apart, from the interval of each (Zou and Donner 2008, MOVER).

    With Wilson's intervals of two shares it is Newcombe's (1998).
    """
    difference = first - second
    return Interval(
        difference - math.hypot(first - around.low, other.high - second),
        difference + math.hypot(around.high - first, second - other.low),
    )


def report_clinic(
    clinic: Sample, internal: Sample, thresholds: Mapping[str, float], *, draws: int, seed: int
) -> dict[str, Any]:
    """Every measure of the clinic, of `internal` (test here), and the fall between them with its interval.

    A fall has no interval where a measure has none, and is None where one of the two is no number.

    Parameters: samples with at least FEWEST images of each class; `thresholds` by operating point; `draws` of lesions,
    and their `seed`.
    """
    there, here = (_measured(sample, draws, seed) for sample in (clinic, internal))
    fall = {}
    for name in WITH_INTERVALS:
        # Of several, DeLong's or Hoeffding's comes first.
        around = [next(iter(found["intervals"][name].values()), None) for found in (here, there)]
        fall[name] = _fall(here[name], around[0], there[name], around[1])
    return {
        **{name: there[name] for name in (*MEASURES, "malignant")},
        "intervals": {name: there["intervals"][name] for name in fall},
        "internal": {name: here[name] for name in MEASURES},
        "fall": fall,
        "points": {name: _at(clinic, internal, threshold) for name, threshold in thresholds.items()},
    }


def _measured(sample: Sample, draws: int, seed: int) -> dict[str, Any]:
    label, probability, lesion = sample
    return {
        **classification_metrics(label, probability),
        "ece": expected_calibration_error(label, probability),
        "intervals": metric_intervals(label, probability, lesion, draws=draws, seed=seed),
    }


def _at(clinic: Sample, internal: Sample, threshold: float) -> dict[str, Any]:
    there, here = (at_threshold(sample.label, sample.probability, threshold) for sample in (clinic, internal))
    intervals, fall = {}, {}
    for name, counted in RATES.items():
        of_there, of_here = (_wilson(*(found["confusion"][count] for count in counted)) for found in (there, here))
        intervals[name] = {"wilson": of_there} if of_there else {}
        fall[name] = _fall(here[name], of_here, there[name], of_there)
    return {
        "threshold": threshold,
        **{name: there[name] for name in (*RATES, "confusion")},
        "intervals": intervals,
        "internal": {name: here[name] for name in RATES},
        "fall": fall,
    }


def _wilson(hit: int, missed: int) -> dict[str, float] | None:
    return wilson(hit, hit + missed)._asdict() if hit + missed else None


def _fall(
    here: float | None, of_here: Mapping[str, float] | None, there: float | None, of_there: Mapping[str, float] | None
) -> dict[str, float | None]:
    """`here` less `there`: value, and low and high if both have an interval."""
    if here is None or there is None:
        return {"value": None, "low": None, "high": None}
    if of_here is None or of_there is None:
        return {"value": here - there, "low": None, "high": None}
    interval = difference_interval(here, Interval(**of_here), there, Interval(**of_there))
    return {"value": here - there, **interval._asdict()}
