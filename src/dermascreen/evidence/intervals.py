"""How far a number can be trusted: confidence intervals, and the paired test of two AUCs.

Photographs of one lesion are not independent, nor are those of one patient, and all intervals here take that into
account: as a `cluster`, they depend on each other in any way, and clusters are independent. A cluster is a patient;
where patients are not known, a lesion. The interval of a share is the binomial one for its `effective_size`.

Standard errors and bootstrap samples reflect only the errors that occur in the data. If a score ranks no pair wrongly,
or only a few, they claim that its AUC is certain: 1.000 to 1.000. So an AUC has DeLong's interval only if at least
FEWEST clusters of each class are in a pair that is ranked wrongly, and as many in one that is ranked correctly
(`ranks_suffice`). Otherwise it has Hoeffding's bound, which assumes nothing about the scores and always has a width. A
measure for which there is no such bound has no interval.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import bisect
from scipy.special import expit, logit, rel_entr
from scipy.stats import beta, norm, rankdata

from dermascreen.evidence import resampling
from dermascreen.evidence.clusters import CONFIDENCE, FEWEST, Cluster, Clusters, Flags, effective_size, having
from dermascreen.evidence.metrics import Labels, Scores
from dermascreen.evidence.operating_points import HALF, called_malignant
from dermascreen.evidence.resampling import Measure, Values, cluster_draws
from dermascreen.evidence.sample import Sample

NOTHING = 1e-9  # of an AUC: a standard error below this is rounding
DELONG, HOEFFDING, CLUSTER_BOOTSTRAP = "delong", "hoeffding", "cluster_bootstrap"  # methods for an AUC's interval
CLOPPER_PEARSON, WILSON = "clopper_pearson", "wilson"  # methods for a share's interval; Wilson's, at other sites
BOX = "clopper_pearson_box"  # the method of intervals that rest on those of two rates


@dataclass(frozen=True)
class Interval:
    """The two ends of a range; it unpacks to them."""

    low: float
    high: float

    def __iter__(self) -> Iterator[float]:
        return iter((self.low, self.high))


@dataclass(frozen=True)
class Difference:
    """One measure minus another, with its interval.

    `value` is None where one of the two is undefined; `low` and `high` are None where one of them has no interval.
    """

    value: float | None
    low: float | None
    high: float | None

    @property
    def turned(self) -> "Difference":
        """The same with the opposite sign: a fall, as a change."""
        value, low, high = (None if one is None else -one for one in (self.value, self.high, self.low))
        return Difference(value, low, high)


Intervals = dict[str, Interval]  # by method; empty where nothing can be said


@dataclass(frozen=True)
class RateIntervals:
    """The intervals of the rates of a confusion."""

    recall: Intervals
    specificity: Intervals
    precision: Intervals


@dataclass(frozen=True)
class MetricIntervals:
    """The intervals of those of `metrics.Metrics` that have any; rates are at threshold 0.5."""

    roc_auc: Intervals
    partial_roc_auc: Intervals
    average_precision: Intervals
    brier: Intervals
    accuracy: Intervals
    recall: Intervals
    specificity: Intervals
    precision: Intervals


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


def clopper_pearson(count: float, n: float, confidence: float = CONFIDENCE) -> Interval:
    """The exact binomial interval of a share (Clopper and Pearson 1934); (0, 1) where `n` is 0.

    By the beta distribution, for which `count` and `n` need not be whole (Korn and Graubard 1998).
    """
    tail = (1 - confidence) / 2
    return Interval(
        low=float(beta.ppf(tail, count, n - count + 1)) if count > 0 else 0.0,
        high=float(beta.isf(tail, count + 1, n - count)) if count < n else 1.0,
    )


def wilson(count: float, n: float, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval of a share (Wilson 1927): shorter than the exact one, but not always conservative.

    (0, 1) where `n` is 0; `count` of `n` need not be whole.
    """
    if n == 0:
        return Interval(0.0, 1.0)
    squared = float(norm.isf((1 - confidence) / 2)) ** 2
    middle = (count + squared / 2) / (n + squared)
    half = math.sqrt(squared * (count * (1 - count / n) + squared / 4)) / (n + squared)
    return Interval(
        low=max(0.0, middle - half) if count > 0 else 0.0,
        high=min(1.0, middle + half) if count < n else 1.0,
    )


BINOMIAL: dict[str, Callable[[float, float, float], Interval]] = {CLOPPER_PEARSON: clopper_pearson, WILSON: wilson}


def share_intervals(
    hit: Flags, clusters: Clusters, method: str = CLOPPER_PEARSON, confidence: float = CONFIDENCE
) -> Intervals:
    """The interval of the share of photographs that are a `hit`, under the name of its method: one of BINOMIAL.

    It is that of the same share of `effective_size` lesions. None where there are no photographs and the share is
    undefined. Parameters: `hit` and `clusters` of n photographs.
    """
    n = effective_size(hit, clusters, confidence)
    return {method: BINOMIAL[method](float(hit.mean()) * n, n, confidence)} if n else {}


def rate_intervals(label: Labels, called: Flags, clusters: Clusters, method: str = CLOPPER_PEARSON) -> RateIntervals:
    """95 % `share_intervals` of recall, specificity and precision.

    Parameters: `label`, what is `called` malignant, and `clusters`, of n photographs.
    """
    malignant = label == 1
    return RateIntervals(
        recall=share_intervals(called[malignant], clusters[malignant], method),
        specificity=share_intervals(~called[~malignant], clusters[~malignant], method),
        precision=share_intervals(malignant[called], clusters[called], method),
    )


def main_interval(intervals: Intervals) -> Interval:
    """The interval to quote: by the cluster bootstrap, as other measures have; where there is none, the only one."""
    return intervals[CLUSTER_BOOTSTRAP] if CLUSTER_BOOTSTRAP in intervals else next(iter(intervals.values()))


def hoeffding(mean: float, n: int, confidence: float = CONFIDENCE) -> Interval:
    """The interval of what a U-statistic with a kernel from 0 to 1, such as an AUC, estimates (Hoeffding 1963).

    Parameters: `mean`, the statistic; `n`, how many disjoint sets of its arguments there are: for an AUC, pairs of a
    malignant and a benign cluster, as `_disjoint_pairs` counts them. The chance that the statistic lies this far above,
    or this far below, the true value t is at most exp(-n KL(mean, t)) (theorem 1 with section 5a), whatever the
    distribution. At a mean of 0 or 1 this is the interval of Clopper and Pearson for 0 or n of n.
    """
    bound = np.log(2 / (1 - confidence)) / n

    def beyond(truth: float) -> float:
        return float(rel_entr(mean, truth) + rel_entr(1 - mean, 1 - truth) - bound)

    low = 0.0 if mean <= 0 else float(bisect(beyond, 0.0, mean))
    high = 1.0 if mean >= 1 else float(bisect(beyond, mean, 1.0))
    return Interval(low, high)


def placements(label: Labels, score: Scores) -> Values:
    """The placement of each image in the other class: for a malignant one, the share of benign ones below it; for a
    benign one, the share of malignant ones above it; a tie counts as half. Shape (n,).
    """
    malignant = label == 1
    m, n = int(malignant.sum()), int((~malignant).sum())
    ranks, placed = rankdata(score), np.empty(len(label))
    placed[malignant] = (ranks[malignant] - rankdata(score[malignant])) / n
    placed[~malignant] = 1 - (ranks[~malignant] - rankdata(score[~malignant])) / m
    return placed


def delong(label: Labels, cluster: Cluster, *scores: Scores) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """AUCs and their covariance where photographs of one cluster depend on each other (Obuchowski 1997).

    It takes no cluster to have many more photographs than the others, which `differ_enough` sees to.

    The deviations of the placements are added up within each cluster. With one photograph in each this is the
    covariance of DeLong, DeLong and Clarke-Pearson (1988).

    Parameters: `label` and `cluster` of shape (n,), at least two clusters of each class; each of `scores`, of shape
    (n,), for the same images. Returns AUCs of shape (len(scores),), and the covariance of shape (len(scores),
    len(scores)).
    """
    placed = np.array([placements(label, score) for score in scores])
    aucs = placed[:, label == 1].mean(axis=1)
    _, number = np.unique(cluster, return_inverse=True)
    covariance = np.zeros((len(scores), len(scores)))
    deviations = []
    for one in (1, 0):
        rows = label == one
        images = np.bincount(number[rows], minlength=number.max() + 1)
        summed = [
            np.bincount(number[rows], part[rows] - auc, len(images)) for part, auc in zip(placed, aucs, strict=True)
        ]
        deviations.append(np.array(summed) / rows.sum())
        clusters = np.count_nonzero(images)
        covariance += deviations[-1] @ deviations[-1].T * clusters / (clusters - 1)
    total = number.max() + 1
    both = deviations[0] @ deviations[1].T * total / (total - 1)  # of clusters with both labels; 0 where none has
    return aucs, covariance + both + both.T


def delong_interval(label: Labels, score: Scores, cluster: Cluster, confidence: float = CONFIDENCE) -> Interval:
    """logit(AUC) -+ z standard errors by `delong`, back on the scale of the AUC (Pepe 2003).

    Without that scale the interval of an AUC near 1 covers too seldom, and may end above 1. Far too narrow where
    `ranks_suffice` is false.
    """
    (auc,), ((variance,),) = delong(label, cluster, score)
    if not 0 < auc < 1:
        return Interval(float(auc), float(auc))
    half = norm.isf((1 - confidence) / 2) * math.sqrt(max(0.0, variance)) / (auc * (1 - auc))
    return Interval(*expit(logit(auc) + np.array([-half, half])).tolist())


def ranks_suffice(label: Labels, score: Scores, cluster: Cluster) -> bool:
    """Whether the ranks of a score suffice to estimate how they would vary with other clusters.

    They do if at least FEWEST clusters of each class are in a pair ranked wrongly, and as many in one ranked correctly
    (a tie is both), counted by `differ_enough`, and the placements in at least one class differ. Likewise, the normal
    approximation of a share needs some number of hits and of misses.

    Parameters: `label`, `score` and `cluster`, each of shape (n,).
    """
    placed = placements(label, score)
    differ = any(np.ptp(placed[label == one]) > 0 for one in (0, 1))
    return differ and all(differ_enough(label, cluster, pairs) for pairs in (placed < 1, placed > 0))


def differ_enough(label: Labels, cluster: Cluster, chosen: Flags) -> bool:
    """Whether at least FEWEST clusters of each class have one of the `chosen` images; each of shape (n,).

    Where one of them has many more photographs than the others, they count as their `kish_size`.
    """
    return all(having(cluster[label == one], chosen[label == one]) >= FEWEST for one in (0, 1))


def errors_suffice(label: Labels, probability: Scores, cluster: Cluster) -> bool:
    """Whether at least FEWEST clusters have a photograph on the wrong side of 1/2, counted as their `kish_size`.

    With fewer, draws of clusters know too little of the large errors that make most of a Brier score.

    Parameters: each of shape (n,).
    """
    wrong = called_malignant(probability, HALF) != (label == 1)
    return having(cluster, wrong) >= FEWEST


def _disjoint_pairs(label: Labels, cluster: Cluster) -> int:
    """As how many independent pairs of a malignant and a benign cluster the images count in an AUC, at least.

    A cluster weighs as much as its share of the malignant images and of the benign ones together, and the AUC is the
    mean of its pairs by weight. Where each cluster is of one class, it is the mean of means over k disjoint pairs if
    none weighs more than 1 / k (the matchings of a bipartite graph). Where one has images of both, a cluster that
    weighs 2 / (3 k) at most is needed for it: then no odd set of clusters holds more pairs than fit into it (Edmonds
    1965). One pair there always is.
    """
    _, number = np.unique(cluster, return_inverse=True)
    images = [np.bincount(number[label == one], minlength=number.max() + 1) for one in (0, 1)]
    if not (images[0] * images[1]).any():
        return min(int(of_class.sum() // of_class.max()) for of_class in images)
    heaviest = sum(of_class / of_class.sum() for of_class in images).max()
    return max(1, int(2 / (3 * heaviest) * (1 + 1e-9)))


def auc_interval(
    label: Labels, score: Scores, cluster: Cluster | None = None, confidence: float = CONFIDENCE
) -> tuple[str, Interval]:
    """The AUC's interval and the name of its method: `delong` where `ranks_suffice`, else `hoeffding`, which counts
    clusters. Both classes must occur.

    Parameters: `label`, `score` and `cluster`, each of shape (n,); without `cluster`, each image is one of its own.
    """
    cluster = np.arange(len(label)) if cluster is None else cluster
    if ranks_suffice(label, score, cluster):
        found = delong_interval(label, score, cluster, confidence)
        if found.high - found.low > NOTHING:  # placements may differ within clusters, and add up to the same in each
            return DELONG, found
    auc = float(placements(label, score)[label == 1].mean())
    return HOEFFDING, hoeffding(auc, _disjoint_pairs(label, cluster), confidence)


def compare_aucs(
    label: Labels, first: Scores, second: Scores, cluster: Cluster | None = None, confidence: float = CONFIDENCE
) -> AucComparison:
    """The AUCs of two scores of the same images, and their difference.

    If at least FEWEST clusters of each class have different placements by the two scores, this is DeLong's test,
    two-sided, by the covariance of `delong`. With fewer, its standard error rests on too little: the interval is then
    Hoeffding's bound of the share of pairs that the first score ranks better minus that of those that the second does,
    each at half the risk (Bonferroni). If the scores are equal for every image, the difference is 0 and p is 1.

    Parameters: as for `auc_interval`.
    """
    placed = [placements(label, score) for score in (first, second)]
    ours, theirs = (float(one[label == 1].mean()) for one in placed)
    if np.array_equal(first, second):
        return AucComparison(ours, theirs, 0.0, 0.0, 0.0, 1.0)
    cluster, moved = np.arange(len(label)) if cluster is None else cluster, placed[0] - placed[1]
    difference = ours - theirs
    if differ_enough(label, cluster, moved != 0):
        _, covariance = delong(label, cluster, first, second)
        error = math.sqrt(max(0.0, float(np.array([1, -1]) @ covariance @ np.array([1, -1]))))
        if error > NOTHING:  # unlike that of a perfect and a constant score
            half = float(norm.isf((1 - confidence) / 2)) * error
            p_value = float(2 * norm.sf(abs(difference) / error))
            return AucComparison(ours, theirs, difference, difference - half, difference + half, p_value)
    better, worse = (
        hoeffding(pairs, _disjoint_pairs(label, cluster), (1 + confidence) / 2)
        for pairs in _ranked_better(label, first, second)
    )
    return AucComparison(ours, theirs, difference, better.low - worse.high, better.high - worse.low, None)


def _ranked_better(label: Labels, first: Scores, second: Scores) -> tuple[float, float]:
    """The shares of pairs that `first` ranks better, and `second`; a tie by one of them counts as half a pair."""
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
    cluster: Cluster,
    *,
    draws: int,
    seed: int,
    confidence: float = CONFIDENCE,
) -> dict[str, Interval]:
    """Percentile intervals of `measures` by the bootstrap of clusters: `resampling.cluster_draws`.

    Parameters: `label` and `cluster` of shape (n,); `score`, passed to each measure unchanged; `draws`, `seed`.
    """
    drawn: dict[str, list[Values]] = {name: [] for name in measures}
    for weights in cluster_draws(label, cluster, draws=draws, seed=seed) if measures else ():
        for name, measure in measures.items():
            drawn[name].append(measure(label, score, weights))
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    return {name: Interval(*np.quantile(np.concatenate(blocks), tails).tolist()) for name, blocks in drawn.items()}


def metric_intervals(sample: Sample, *, draws: int, seed: int) -> MetricIntervals:
    """Intervals of `metrics.classification_metrics`; patients are drawn `draws` times, with `seed`.

    Measures of ranks other than the AUC have none where `ranks_suffice` is false. The Brier score has Hoeffding's where
    `errors_suffice` is.
    """
    label, probability, clusters = sample
    cluster = clusters.patient
    measures: dict[str, Measure] = {}
    suffice = ranks_suffice(label, probability, cluster)
    if suffice:
        measures |= {
            "roc_auc": resampling.roc_auc,
            "partial_roc_auc": resampling.partial_roc_auc,
            "average_precision": resampling.average_precision,
        }
    if errors_suffice(label, probability, cluster):
        measures["brier"] = resampling.brier
    drawn = cluster_bootstrap(measures, label, probability, cluster, draws=draws, seed=seed)
    redrawn: dict[str, Intervals] = {name: {} for name in ("roc_auc", "partial_roc_auc", "average_precision", "brier")}
    for name, interval in drawn.items():
        if not math.isclose(interval.low, interval.high, abs_tol=1e-9):  # identical draws tell nothing
            redrawn[name] = {CLUSTER_BOOTSTRAP: interval}
    if not redrawn["brier"]:
        most = np.unique(cluster, return_counts=True)[1].max()
        redrawn["brier"] = {HOEFFDING: hoeffding(float(((probability - label) ** 2).mean()), len(label) // most)}
    method, of_auc = auc_interval(label, probability, cluster)
    called = called_malignant(probability, HALF)
    return MetricIntervals(
        roc_auc={method: of_auc, **redrawn["roc_auc"]},
        partial_roc_auc=redrawn["partial_roc_auc"],
        average_precision=redrawn["average_precision"],
        brier=redrawn["brier"],
        accuracy=share_intervals(called == (label == 1), clusters),
        **vars(rate_intervals(label, called, clusters)),
    )
