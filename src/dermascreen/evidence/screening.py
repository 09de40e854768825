"""What an operating point would do in a screened population, where malignant lesions are rarer than in a data set.

Sensitivity and specificity are carried over to another prevalence by Bayes' rule; that they stay as they were measured
is an assumption. A prevalence is taken as known, so an interval does not hold its uncertainty.
"""

import math
from typing import Any

from dermascreen.evidence.intervals import CONFIDENCE, Interval, Intervals, clopper_pearson, share_intervals
from dermascreen.evidence.metrics import rates

PREVALENCES = (0.01, 0.03, 0.1)  # share of malignant lesions among those screened

OF_BOTH = ("ppv", "npv", "f1")  # depend on sensitivity and specificity; the other measures on one of them

Counts = dict[str, int]  # tn, fp, fn, tp


def rate_intervals(counts: Counts) -> dict[str, Intervals]:
    """95 % Clopper-Pearson intervals of recall, specificity and precision, as `intervals` holds them."""
    tn, fp, fn, tp = (counts[name] for name in ("tn", "fp", "fn", "tp"))
    shares = {"recall": (tp, tp + fn), "specificity": (tn, tn + fp), "precision": (tp, tp + fp)}
    return {name: share_intervals(*share) for name, share in shares.items()}


def screened(sensitivity: float | None, specificity: float | None, prevalence: float) -> dict[str, float | None]:
    """PPV, NPV and F1 by Bayes' rule, and cancers missed and false alarms raised among 1,000 screened.

    What depends on a rate that is None, and a ratio with nothing below the line, such as the PPV where nobody is called
    malignant, is None. PPV, NPV and F1 never fall as sensitivity or specificity rises; missed cancers depend on
    sensitivity alone, false alarms on specificity alone, and neither ever rises with it.
    """
    first, second = (math.nan if rate is None else rate for rate in (sensitivity, specificity))
    found = _screened(first, second, prevalence)
    return {name: None if math.isnan(value) else value for name, value in found.items()}


def _screened(sensitivity: float, specificity: float, prevalence: float) -> dict[str, float]:
    """`screened`, with NaN for None."""
    found, missed = sensitivity * prevalence, (1 - sensitivity) * prevalence
    cleared, alarmed = specificity * (1 - prevalence), (1 - specificity) * (1 - prevalence)
    return {
        "ppv": _ratio(found, found + alarmed),
        "npv": _ratio(cleared, cleared + missed),
        "f1": _ratio(2 * found, 2 * found + alarmed + missed),
        "missed_per_1000": 1000 * missed,
        "false_alarms_per_1000": 1000 * alarmed,
    }


def screening(counts: Counts) -> dict[str, dict[str, Any]]:
    """`screened` at each of PREVALENCES and at the images' `own`, with 95 % intervals of what is a number.

    Sensitivity and specificity are measured on different lesions and so are independent: where each interval holds its
    true value with probability sqrt(0.95), both do with at least 0.95. On the box that the two intervals span, a
    measure that rises with both has its least and its greatest value at two opposite corners. A measure of one of them
    needs that one's 95 % interval only.

    Parameters: `counts` of at least one image.
    """
    tn, fp, fn, tp = (counts[name] for name in ("tn", "fp", "fn", "tp"))
    found, cleared = (tp, tp + fn), (tn, tn + fp)
    at = rates(counts)
    both, one = _box(found, cleared, CONFIDENCE**0.5), _box(found, cleared, CONFIDENCE)
    report = {}
    own = (tp + fn) / (tn + fp + fn + tp)
    for name, prevalence in {**{f"{share:g}": share for share in PREVALENCES}, "own": own}.items():
        of_both, of_one = _extremes(both, prevalence), _extremes(one, prevalence)
        measures = screened(at["recall"], at["specificity"], prevalence)
        report[name] = {
            "prevalence": prevalence,
            **measures,
            "intervals": {
                measure: {}
                if value is None
                else {"clopper_pearson_box": (of_both if measure in OF_BOTH else of_one)[measure]._asdict()}
                for measure, value in measures.items()
            },
        }
    return report


def _box(found: tuple[int, int], cleared: tuple[int, int], confidence: float) -> tuple[Interval, Interval]:
    return clopper_pearson(*found, confidence), clopper_pearson(*cleared, confidence)


def _extremes(box: tuple[Interval, Interval], prevalence: float) -> dict[str, Interval]:
    """Each measure at the two corners of the box where all of them are extreme, the lower value first."""
    sensitivity, specificity = box
    worst = _screened(sensitivity.low, specificity.low, prevalence)
    best = _screened(sensitivity.high, specificity.high, prevalence)
    return {name: Interval(*sorted((worst[name], best[name]))) for name in worst}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
