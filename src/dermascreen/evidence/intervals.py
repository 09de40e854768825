"""How far a number can be trusted: confidence intervals, and the paired test of two AUCs.

Photographs of one lesion are not independent. Where a lesion has several, DeLong's and the binomial formulas are too
sure of themselves; `cluster_bootstrap` is not.

A standard error, and a redrawn sample, know only the errors that they have seen. Of a score without an error, or with
a handful, they say that its AUC is certain: 1.000 to 1.000. So an AUC has DeLong's interval only where at least FEWEST
lesions of each class stand in a pair that is ranked wrongly, and as many in one that is ranked rightly
(`ranks_suffice`). Elsewhere it has Hoeffding's bound, which supposes nothing of the scores and is never without width;
and what has no such bound has no interval.
"""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import bisect
from scipy.special import rel_entr
from scipy.stats import binomtest, norm, rankdata

from dermascreen.evidence import resampling
from dermascreen.evidence.metrics import Labels, Scores, confusion
from dermascreen.evidence.resampling import Measure, Values, lesion_draws

CONFIDENCE = 0.95  # of every interval that does not say otherwise
FEWEST = 10  # lesions of each class that an interval by standard errors or redrawn lesions must rest on

Lesions = npt.NDArray[np.integer]  # equal for photographs of one lesion; shape (n,)
Intervals = dict[str, dict[str, float]]  # low and high by method; empty where nothing can be said


class Interval(NamedTuple):
    low: float
    high: float


class AucComparison(NamedTuple):
    """AUC of `first` minus AUC of `second` on the same images, its interval, and the p-value of no difference.

    There is no p-value where the interval is Hoeffding's bound.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float | None


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


def share_intervals(count: int, n: int) -> Intervals:
    """`clopper_pearson` as the metrics hold it; a share of nothing, which is no number, has no interval either."""
    return {"clopper_pearson": clopper_pearson(count, n)._asdict()} if n else {}


def hoeffding(mean: float, n: int, confidence: float = CONFIDENCE) -> Interval:
    """The interval of what a U-statistic estimates whose kernel lies in 0 to 1, such as an AUC (Hoeffding 1963).

    Parameters: `mean`, the statistic; `n`, how many disjoint sets of its arguments there are: for an AUC, pairs of a
    malignant and a benign lesion. The chance that the statistic lies as far above or below the truth t as it does is at
    most exp(-n KL(mean, t)) (theorem 1 with section 5a), whatever the distribution. At a mean of 0 or 1 this is the
    interval of Clopper and Pearson for 0 or n of n.
    """
    bound = np.log(2 / (1 - confidence)) / n

    def beyond(truth: float) -> float:
        return float(rel_entr(mean, truth) + rel_entr(1 - mean, 1 - truth) - bound)

    low = 0.0 if mean <= 0 else float(bisect(beyond, 0.0, mean))
    high = 1.0 if mean >= 1 else float(bisect(beyond, mean, 1.0))
    return Interval(low, high)


def placements(label: Labels, score: Scores) -> Values:
    """Where each image stands in the other class: the share of benign ones below a malignant one, and of malignant ones
    above a benign one; a tie is half. Shape (n,).
    """
    malignant = label == 1
    m, n = int(malignant.sum()), int((~malignant).sum())
    ranks, placed = rankdata(score), np.empty(len(label))
    placed[malignant] = (ranks[malignant] - rankdata(score[malignant])) / n
    placed[~malignant] = 1 - (ranks[~malignant] - rankdata(score[~malignant])) / m
    return placed


def delong(label: Labels, *scores: Scores) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """AUCs and their covariance (DeLong, DeLong and Clarke-Pearson 1988; ranks as in Sun and Xu 2014).

    Parameters: `label` of shape (n,), at least two of each class; each of `scores`, of shape (n,), for the same images.
    Returns AUCs of shape (len(scores),) and the covariance of shape (len(scores), len(scores)).
    """
    placed = np.array([placements(label, score) for score in scores])
    of_malignant, of_benign = placed[:, label == 1], placed[:, label != 1]
    covariance = sum(np.atleast_2d(np.cov(part)) / part.shape[1] for part in (of_malignant, of_benign))
    return of_malignant.mean(axis=1), np.asarray(covariance)


def delong_interval(label: Labels, score: Scores, confidence: float = CONFIDENCE) -> Interval:
    """AUC -+ z standard errors by DeLong, cut to 0 and 1; where `ranks_suffice` says no, far too sure of itself."""
    (auc,), ((variance,),) = delong(label, score)
    half = norm.isf((1 - confidence) / 2) * np.sqrt(variance)
    return Interval(float(max(0.0, auc - half)), float(min(1.0, auc + half)))


def ranks_suffice(label: Labels, score: Scores, lesion: Lesions) -> bool:
    """Whether what was seen of a score's ranks says how far they would move with other lesions.

    At least FEWEST lesions of each class stand in a pair ranked wrongly, and as many in one ranked rightly (a tie is
    both), and not all images of a class stand alike. It is the rule by which a share has a normal approximation only
    from some number of hits and of misses on.

    Parameters: `label`, `score` and `lesion`, each of shape (n,).
    """
    placed = placements(label, score)
    differ = any(np.ptp(placed[label == one]) > 0 for one in (0, 1))
    return differ and all(differ_enough(label, lesion, pairs) for pairs in (placed < 1, placed > 0))


def differ_enough(label: Labels, lesion: Lesions, chosen: npt.NDArray[np.bool_]) -> bool:
    """Whether at least FEWEST lesions of each class have one of the `chosen` images; each of shape (n,)."""
    return _fewer(label, lesion, chosen) >= FEWEST


def _fewer(label: Labels, lesion: Lesions, chosen: npt.NDArray[np.bool_]) -> int:
    """How many lesions have one of the `chosen` images, in the class where they are fewer."""
    return min(len(np.unique(lesion[chosen & (label == one)])) for one in (0, 1))


def _pairs(label: Labels, lesion: Lesions) -> int:
    """Into how many pairs of a malignant and a benign lesion the images can be divided."""
    return _fewer(label, lesion, np.ones(len(label), dtype=bool))


def auc_interval(
    label: Labels, score: Scores, lesion: Lesions | None = None, confidence: float = CONFIDENCE
) -> tuple[str, Interval]:
    """The AUC's interval and the name of its method: `delong` where `ranks_suffice`, else `hoeffding`, which counts
    lesions. Both classes must occur.

    Parameters: `label`, `score` and `lesion`, each of shape (n,); without `lesion`, each image shows one of its own.
    """
    lesion = np.arange(len(label)) if lesion is None else lesion
    if ranks_suffice(label, score, lesion):
        return "delong", delong_interval(label, score, confidence)
    auc = float(placements(label, score)[label == 1].mean())
    return "hoeffding", hoeffding(auc, _pairs(label, lesion), confidence)


def compare_aucs(
    label: Labels, first: Scores, second: Scores, lesion: Lesions | None = None, confidence: float = CONFIDENCE
) -> AucComparison:
    """The AUCs of two scores of the same images, and their difference.

    Where at least FEWEST lesions of each class stand elsewhere by the one score than by the other, this is DeLong's
    test, two-sided. With fewer, its standard error knows too little: the interval is Hoeffding's bound of the share of
    pairs that the first ranks better, less that of those that the second does, each at half the risk (Bonferroni).
    Scores that are equal for every image differ by 0, and p is 1.

    Parameters: as for `auc_interval`.
    """
    placed = [placements(label, score) for score in (first, second)]
    ours, theirs = (float(one[label == 1].mean()) for one in placed)
    if np.array_equal(first, second):
        return AucComparison(ours, theirs, 0.0, 0.0, 0.0, 1.0)
    lesion, moved = np.arange(len(label)) if lesion is None else lesion, placed[0] - placed[1]
    alike = all(np.ptp(moved[label == one]) == 0 for one in (0, 1))  # as by a perfect score and by a constant one
    if alike or not differ_enough(label, lesion, moved != 0):
        better, worse = (
            hoeffding(pairs, _pairs(label, lesion), (1 + confidence) / 2)
            for pairs in _ranked_better(label, first, second)
        )
        return AucComparison(ours, theirs, ours - theirs, better.low - worse.high, better.high - worse.low, None)
    _, covariance = delong(label, first, second)
    difference, error = ours - theirs, float(np.sqrt(np.array([1, -1]) @ covariance @ np.array([1, -1])))
    half = float(norm.isf((1 - confidence) / 2)) * error
    p_value = float(2 * norm.sf(abs(difference) / error))
    return AucComparison(ours, theirs, difference, difference - half, difference + half, p_value)


def _ranked_better(label: Labels, first: Scores, second: Scores) -> tuple[float, float]:
    """The shares of pairs that `first` ranks better, and `second`; a tie on one side makes it half a pair."""
    malignant = label == 1
    gains = []
    for ours, theirs in zip(first[malignant], second[malignant], strict=True):
        gain = (np.sign(ours - first[~malignant]) - np.sign(theirs - second[~malignant])) / 2
        gains.append((np.maximum(gain, 0).mean(), np.maximum(-gain, 0).mean()))
    better, worse = np.mean(gains, axis=0).tolist()
    return better, worse


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
) -> dict[str, Intervals]:
    """Intervals of `metrics.classification_metrics` by measure and method, at threshold 0.5 where one is needed.

    A measure of which the images are too few to say anything has none: an average of fewer than FEWEST lesions of a
    class, and besides the AUC what rests on ranks where `ranks_suffice` says no.
    """
    measures: dict[str, Measure] = {}
    suffice = ranks_suffice(label, probability, lesion)
    if suffice:
        measures |= {
            "roc_auc": resampling.roc_auc,
            "partial_roc_auc": resampling.partial_roc_auc,
            "average_precision": resampling.average_precision,
        }
    if _pairs(label, lesion) >= FEWEST:
        measures["brier"] = resampling.brier
    drawn = cluster_bootstrap(measures, label, probability, lesion, draws=draws, seed=seed)
    redrawn: dict[str, Intervals] = {name: {} for name in ("roc_auc", "partial_roc_auc", "average_precision", "brier")}
    for name, interval in drawn.items():
        if not math.isclose(interval.low, interval.high, abs_tol=1e-9):  # draws that are all alike say nothing
            redrawn[name] = {"lesion_bootstrap": interval._asdict()}
    method, of_auc = auc_interval(label, probability, lesion)
    counts = confusion(label, probability >= 0.5)  # noqa: PLR2004
    tn, fp, fn, tp = (counts[name] for name in ("tn", "fp", "fn", "tp"))
    return {
        **redrawn,
        "roc_auc": {method: of_auc._asdict(), **redrawn["roc_auc"]},
        "accuracy": share_intervals(tn + tp, len(label)),
        "recall": share_intervals(tp, tp + fn),
        "specificity": share_intervals(tn, tn + fp),
        "precision": share_intervals(tp, tp + fp),
    }
