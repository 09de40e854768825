"""How far a number can be trusted: confidence intervals, and the paired test of two AUCs.

Photographs of one lesion are not independent. Where a lesion has several, DeLong's and the binomial formulas are too
sure of themselves; `cluster_bootstrap` is not.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, norm, rankdata

from dermascreen.evidence import resampling
from dermascreen.evidence.metrics import Labels, Scores, confusion
from dermascreen.evidence.resampling import Measure, Values, lesion_draws

CONFIDENCE = 0.95  # of every interval that does not say otherwise


class Interval(NamedTuple):
    low: float
    high: float


class AucComparison(NamedTuple):
    """AUC of `first` minus AUC of `second` on the same images, its interval, and the p-value of no difference."""

    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float


def clopper_pearson(count: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """The exact binomial interval of a share (Clopper and Pearson 1934); (0, 1) where `n` is 0."""
    return _binomial(count, n, confidence, "exact")


def wilson(count: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval of a share (Wilson 1927): shorter than the exact one, and not always on the safe side."""
    return _binomial(count, n, confidence, "wilson")


def _binomial(count: int, n: int, confidence: float, method: Literal["exact", "wilson"]) -> Interval:
    if n == 0:
        return Interval(0.0, 1.0)
    found = binomtest(count, n).proportion_ci(confidence, method=method)
    return Interval(float(found.low), float(found.high))


def delong(label: Labels, *scores: Scores) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """AUCs and their covariance (DeLong, DeLong and Clarke-Pearson 1988; ranks as in Sun and Xu 2014).

    Parameters: `label` of shape (n,), at least two of each class; each of `scores`, of shape (n,), for the same images.
    Returns AUCs of shape (len(scores),) and the covariance of shape (len(scores), len(scores)).
    """
    malignant = label == 1
    m, n = int(malignant.sum()), int((~malignant).sum())
    of_malignant, of_benign = [], []
    for score in scores:
        ranks = rankdata(score)
        of_malignant.append((ranks[malignant] - rankdata(score[malignant])) / n)
        of_benign.append(1 - (ranks[~malignant] - rankdata(score[~malignant])) / m)
    covariance = np.atleast_2d(np.cov(of_malignant)) / m + np.atleast_2d(np.cov(of_benign)) / n
    return np.mean(of_malignant, axis=1), covariance


def delong_interval(label: Labels, score: Scores, confidence: float = CONFIDENCE) -> Interval:
    """AUC -+ z standard errors by DeLong, cut to 0 and 1."""
    (auc,), ((variance,),) = delong(label, score)
    half = norm.isf((1 - confidence) / 2) * np.sqrt(variance)
    return Interval(float(max(0.0, auc - half)), float(min(1.0, auc + half)))


def compare_aucs(label: Labels, first: Scores, second: Scores, confidence: float = CONFIDENCE) -> AucComparison:
    """DeLong's test of two scores of the same images, two-sided; equal scores give a difference of 0 and p = 1."""
    aucs, covariance = delong(label, first, second)
    return _compared(float(aucs[0]), float(aucs[1]), float(np.array([1, -1]) @ covariance @ [1, -1]), confidence)


def compare_aucs_unpaired(
    first: tuple[Labels, Scores], second: tuple[Labels, Scores], confidence: float = CONFIDENCE
) -> AucComparison:
    """The same for AUCs on different images, such as those of two clinics: their variances add."""
    (a,), ((variance_a,),) = delong(*first)
    (b,), ((variance_b,),) = delong(*second)
    return _compared(float(a), float(b), float(variance_a + variance_b), confidence)


def _compared(first: float, second: float, variance: float, confidence: float) -> AucComparison:
    difference, error = first - second, np.sqrt(max(variance, 0.0))
    half = float(norm.isf((1 - confidence) / 2) * error)
    certain = 1.0 if difference == 0 else 0.0
    p_value = float(2 * norm.sf(abs(difference) / error)) if error > 0 else certain
    return AucComparison(first, second, difference, difference - half, difference + half, p_value)


def cluster_bootstrap(
    measures: Mapping[str, Measure],
    label: Labels,
    score: npt.NDArray[np.float64],
    lesion: npt.NDArray[np.intp],
    *,
    draws: int,
    seed: int,
    confidence: float = CONFIDENCE,
) -> dict[str, Interval]:
    """Percentile intervals of `measures` over draws of whole lesions, benign and malignant ones apart.

    Parameters: `label` and `lesion` of shape (n,); `score`, which each measure gets as it is; `draws`, `seed`.
    """
    drawn: dict[str, list[Values]] = {name: [] for name in measures}
    for weights in lesion_draws(label, lesion, draws=draws, seed=seed):
        for name, measure in measures.items():
            drawn[name].append(measure(label, score, weights))
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    return {name: Interval(*np.quantile(np.concatenate(blocks), tails).tolist()) for name, blocks in drawn.items()}


def metric_intervals(
    label: Labels, probability: Scores, lesion: npt.NDArray[np.intp], *, draws: int, seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Intervals of `metrics.classification_metrics` by measure and method, at threshold 0.5 where one is needed."""
    drawn = cluster_bootstrap(
        {
            "roc_auc": resampling.roc_auc,
            "partial_roc_auc": resampling.partial_roc_auc,
            "average_precision": resampling.average_precision,
            "brier": resampling.brier,
        },
        label,
        probability,
        lesion,
        draws=draws,
        seed=seed,
    )
    counts = confusion(label, probability >= 0.5)  # noqa: PLR2004
    tn, fp, fn, tp = (counts[name] for name in ("tn", "fp", "fn", "tp"))
    shares = {
        "accuracy": clopper_pearson(tn + tp, len(label)),
        "recall": clopper_pearson(tp, tp + fn),
        "specificity": clopper_pearson(tn, tn + fp),
        "precision": clopper_pearson(tp, tp + fp),
    }
    found = {name: {"lesion_bootstrap": interval._asdict()} for name, interval in drawn.items()}
    found["roc_auc"] = {"delong": delong_interval(label, probability)._asdict(), **found["roc_auc"]}
    return found | {name: {"clopper_pearson": interval._asdict()} for name, interval in shares.items()}
