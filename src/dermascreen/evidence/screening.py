"""What an operating point would do in a screened population, where malignant lesions are rarer than in a data set.

Bayes' rule gives the results at another prevalence; that sensitivity and specificity stay as they were measured is an
assumption. A prevalence is taken as known, so an interval does not include its uncertainty.
"""

import math
from dataclasses import dataclass

from dermascreen.evidence.clusters import CONFIDENCE, EffectiveSizes
from dermascreen.evidence.intervals import BOX, Interval, Intervals, clopper_pearson
from dermascreen.evidence.metrics import Confusion, Rates, rates

PREVALENCES = (0.01, 0.03, 0.1)  # share of malignant lesions among those screened
OWN = "own"  # the share of the images themselves


@dataclass(frozen=True)
class Screened:
    """PPV, NPV and F1, and cancers missed and false alarms raised among 1,000 screened; None where undefined."""

    ppv: float | None
    npv: float | None
    f1: float | None
    missed_per_1000: float | None
    false_alarms_per_1000: float | None


@dataclass(frozen=True)
class ScreenedIntervals:
    """The intervals of `Screened`; empty where undefined."""

    ppv: Intervals
    npv: Intervals
    f1: Intervals
    missed_per_1000: Intervals
    false_alarms_per_1000: Intervals


@dataclass(frozen=True)
class ScreeningReport(Screened):
    """`Screened` at a prevalence, with its intervals."""

    prevalence: float
    intervals: ScreenedIntervals


Screening = dict[str, ScreeningReport]  # by prevalence, such as 0.03, and OWN


def screened(sensitivity: float | None, specificity: float | None, prevalence: float) -> Screened:
    """PPV, NPV and F1 by Bayes' rule, and cancers missed and false alarms raised among 1,000 screened.

    A measure of a rate that is None is None, and so is a ratio with denominator 0, such as the PPV where none is called
    malignant. PPV, NPV and F1 never fall as sensitivity or specificity rises; missed cancers depend on
    sensitivity alone, false alarms on specificity alone, and neither ever rises with it.
    """
    first, second = (math.nan if rate is None else rate for rate in (sensitivity, specificity))
    found = _screened(first, second, prevalence)
    return Screened(**{name: None if math.isnan(value) else value for name, value in found.items()})


def _screened(sensitivity: float, specificity: float, prevalence: float) -> dict[str, float]:
    """`screened` by measure, with NaN for None."""
    found, missed = sensitivity * prevalence, (1 - sensitivity) * prevalence
    cleared, alarmed = specificity * (1 - prevalence), (1 - specificity) * (1 - prevalence)
    return {
        "ppv": _ratio(found, found + alarmed),
        "npv": _ratio(cleared, cleared + missed),
        "f1": _ratio(2 * found, 2 * found + alarmed + missed),
        "missed_per_1000": 1000 * missed,
        "false_alarms_per_1000": 1000 * alarmed,
    }


def screening(counts: Confusion, sizes: EffectiveSizes) -> Screening:
    """`screened` at each of PREVALENCES and at the images' own prevalence, with 95 % intervals where defined.

    If each interval of sensitivity and of specificity contains its true value with probability 0.975, both do with at
    least 0.95, also where patients have lesions of both classes (Bonferroni). On the box that the two intervals span, a
    measure that rises with both has its minimum and maximum at two opposite corners. A measure that depends on one of
    them needs only that one's 95 % interval.

    Parameters: `counts` of at least one image; `sizes`, the effective sample sizes of their recall and specificity.
    """
    at = rates(counts)
    both, one = (_box(at, sizes, confidence) for confidence in ((1 + CONFIDENCE) / 2, CONFIDENCE))
    own = counts.malignant / counts.total
    report = {}
    for name, prevalence in {**{f"{share:g}": share for share in PREVALENCES}, OWN: own}.items():
        measures = screened(at.recall, at.specificity, prevalence)
        of_both, of_one = _extremes(both, prevalence), _extremes(one, prevalence)
        intervals = ScreenedIntervals(
            ppv=_known(measures.ppv, of_both["ppv"]),
            npv=_known(measures.npv, of_both["npv"]),
            f1=_known(measures.f1, of_both["f1"]),
            missed_per_1000=_known(measures.missed_per_1000, of_one["missed_per_1000"]),
            false_alarms_per_1000=_known(measures.false_alarms_per_1000, of_one["false_alarms_per_1000"]),
        )
        report[name] = ScreeningReport(**vars(measures), prevalence=prevalence, intervals=intervals)
    return report


def _known(value: float | None, interval: Interval) -> Intervals:
    return {} if value is None else {BOX: interval}


def _box(at: Rates, sizes: EffectiveSizes, confidence: float) -> tuple[Interval, Interval]:
    """The intervals of sensitivity and of specificity."""
    return (
        clopper_pearson((at.recall or 0) * sizes.recall, sizes.recall, confidence),
        clopper_pearson((at.specificity or 0) * sizes.specificity, sizes.specificity, confidence),
    )


def _extremes(box: tuple[Interval, Interval], prevalence: float) -> dict[str, Interval]:
    """Each measure at the two corners of the box where all of them are extreme, the lower value first."""
    sensitivity, specificity = box
    worst = _screened(sensitivity.low, specificity.low, prevalence)
    best = _screened(sensitivity.high, specificity.high, prevalence)
    return {name: Interval(*sorted((worst[name], best[name]))) for name in worst}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
