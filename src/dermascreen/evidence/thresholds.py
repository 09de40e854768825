"""Operating points: thresholds on the calibrated probability, at or above which an image is called malignant.

They are chosen on val and applied once to test. Where two thresholds are equally good the lower one, which misses fewer
cancers, is taken.

A guarantee is for lesions like those of val and for the network as it is. It does not account for choosing the epoch on
val. The temperature is fitted on val as well, but keeps the order of the images, and the rule uses nothing else.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import binom
from sklearn.metrics import confusion_matrix_at_thresholds

from dermascreen.evidence.clusters import Cluster, EffectiveSizes
from dermascreen.evidence.metrics import Labels, Scores, confusion, rates
from dermascreen.evidence.operating_points import (
    HALF,
    Band,
    HighRecall,
    OperatingPoints,
    Point,
    called_malignant,
    counted_trials,
    trials,
)
from dermascreen.evidence.sample import Sample

Groups = npt.NDArray[np.object_]  # the name of the group of each image; shape (n,)
NO_GROUPS: Mapping[str, Groups] = MappingProxyType({})
EXACT_RULE = "exact binomial rule on {}s (Neyman-Pearson umbrella)"
EMPIRICAL_RULE = "share of the images themselves, without a guarantee"


class Limit(NamedTuple):
    """A threshold, and whether the share of lesions, or of patients, at or above it is guaranteed."""

    threshold: float
    rule: str
    guaranteed: bool
    misses_allowed: int | None  # None where even 0 are too many for a guarantee
    lesions_needed: int  # of different patients, for a guarantee


def choose_points(
    val: Sample,
    target_recall: float,
    confidence: float,
    target_specificity: float | None,
    groups: Mapping[str, Groups] = NO_GROUPS,
) -> OperatingPoints:
    """Choose the operating points.

    default: 0.5. f1_optimal: the greatest F1. youden: the greatest recall + specificity - 1 (Youden 1950).
    high_recall: see `choose_high_recall`. abstention: see `choose_band`; None without a target specificity.
    """
    high_recall = choose_high_recall(val, target_recall, confidence, groups)
    band = None
    if target_specificity is not None:
        band = choose_band(val, high_recall.threshold, target_specificity, confidence)
    best = best_points(val)
    return OperatingPoints(**best, high_recall=high_recall, abstention=band, network=None, sweep=None)


def choose_high_recall(
    val: Sample, target_recall: float, confidence: float, groups: Mapping[str, Groups] = NO_GROUPS
) -> HighRecall:
    """The highest threshold at which `target_recall` of all malignant lesions are found with `confidence`.

    With too few lesions for a guarantee it is the highest at which recall on these images reaches the target, and
    `guaranteed` is false. `reached` is false where this takes calling every benign image malignant as well.

    The rule requires independent trials, which neither the photographs of one lesion nor the lesions of one patient
    are. So a trial is a patient with malignant lesions, whose score is the lowest of their photographs': one is found
    if every lesion is, whichever photograph is used. Where patients are not known it is a lesion.

    With `groups`, the threshold is lowered until the same is guaranteed in each group that has trials enough for it.

    Parameters: `groups` of the images by the name of a column, each of shape (n,).
    """
    limit = _limit(val, 1, target_recall, confidence)
    rule, limits = f"highest that reaches the target recall: {limit.rule}", [limit.threshold]
    promised: dict[str, None] = {}  # the columns, in order
    for column, names in groups.items():
        for name in np.unique(names):
            within = by_patient(val.part(names == name), label=1).probability
            if (allowed := misses_allowed(len(within), target_recall, confidence)) is not None:
                limits.append(float(np.sort(within)[allowed]))
                promised[column] = None
    lesions, patients = _counts(val, 1)
    if promised:
        rule += f", and in each group of {' and of '.join(promised)} with {_unit(val, 1)}s enough for it"
    return HighRecall(
        min(limits), rule,
        target_recall, confidence, limit.guaranteed, spares_some(val, min(limits)),
        lesions, limit.misses_allowed, limit.lesions_needed, patients=patients,
    )  # fmt: skip


def choose_band(val: Sample, low: float, target_specificity: float, confidence: float) -> Band:
    """The band whose images, low <= probability < high, are referred.

    low: the threshold of high_recall, below which an image is decided benign. high: the lowest threshold at which
    `target_specificity` of all benign lesions are below it with `confidence`, by the same rule as high_recall's; the
    score of a patient, or lesion, is the highest of their benign photographs'. Where that is no higher than low, low
    reaches both targets: high is set to it, and nothing is referred.
    """
    limit, (lesions, patients) = _limit(val, 0, target_specificity, confidence), _counts(val, 0)
    high = float(np.nextafter(limit.threshold, np.inf))  # that score itself is still to be called benign
    return Band(
        low, max(low, high), f"high is the lowest that reaches the target specificity: {limit.rule}",
        target_specificity, confidence, limit.guaranteed, lesions, limit.misses_allowed, limit.lesions_needed,
        patients=patients,
    )  # fmt: skip


def shortfalls(points: OperatingPoints) -> list[str]:
    """A sentence for each target that is not guaranteed or is of no use, and one if no image is referred."""
    high_recall, band = points.high_recall, points.abstention
    sentences = []
    if not high_recall.guaranteed:
        sentences.append(_too_few("recall", high_recall.target_recall, "malignant", high_recall))
    if not high_recall.reached:
        target = high_recall.target_recall
        sentences.append(f"A recall of {target:g} is reached only by calling every benign val image malignant.")
    if band and not band.guaranteed:
        sentences.append(_too_few("specificity", band.target_specificity, "benign", band))
    if band and band.low == band.high:
        sentences.append("No image is referred: high_recall's threshold also reaches the target specificity.")
    return sentences


def _too_few(measure: str, target: float, lesion: str, point: HighRecall | Band) -> str:
    found = counted_trials(*trials(point), lesion)
    return (
        f"A {measure} of {target:g} cannot be guaranteed with confidence {point.confidence:g}: val has {found}, and "
        f"{point.lesions_needed} are needed; "
        f"the threshold is the one at which {measure} on val reaches the target."
    )


def by_lesion(images: Sample, label: int) -> Sample:
    """A row for each lesion, of its photographs of class `label`: the one with the least favourable probability, which
    is the lowest if malignant (1) and the highest if benign (0).
    """
    return _worst(images, label, images.clusters.lesion)


def by_patient(images: Sample, label: int) -> Sample:
    """As `by_lesion`, a row for each patient: for each lesion, where patients are not known."""
    return _worst(images, label, images.clusters.patient)


def _worst(images: Sample, label: int, cluster: Cluster) -> Sample:
    worst_first = np.argsort(images.probability if label == 1 else -images.probability, kind="stable")
    those = worst_first[images.label[worst_first] == label]
    _, first = np.unique(cluster[those], return_index=True)
    return images.part(those[first])


def _counts(images: Sample, label: int) -> tuple[int, int]:
    """How many lesions there are of class `label`, and of how many patients."""
    clusters = images.clusters[images.label == label]
    return len(np.unique(clusters.lesion)), len(np.unique(clusters.patient))


def _unit(images: Sample, label: int) -> str:
    """What a trial is, for class `label`: a lesion, or a patient if any has several."""
    return images.clusters[images.label == label].unit


def misses_allowed(trials: int, target: float, confidence: float) -> int | None:
    """The largest k with P(Binomial(trials, 1 - target) <= k) <= 1 - confidence; None where there is none.

    The threshold at the (k+1)-th lowest of the trials' scores then finds less than `target` of all such trials with
    probability 1 - confidence at most (the umbrella algorithm: Tong, Feng and Li 2018, Science Advances 4, eaao1659).
    """
    tail = binom.cdf(np.arange(trials), trials, 1 - target)
    return _last(tail <= _risk(confidence))


def lesions_needed(target: float, confidence: float) -> int:
    """The fewest lesions with which `misses_allowed` is a number: 59 for 0.95 with confidence 0.95."""
    return math.ceil(math.log(_risk(confidence)) / math.log(target))


def _risk(confidence: float) -> float:
    return (1 - confidence) * (1 + 1e-9)  # equal on paper is equal here despite rounding: 0.5 x 0.5 and 1 - 0.75


def _misses_in_share(images: int, target: float) -> int:
    """The largest k with (images - k) / images >= target."""
    last = _last(np.arange(images, 0, -1) / images >= target)
    return 0 if last is None else last


def _last(holds: npt.NDArray[np.bool_]) -> int | None:
    """The last index at which `holds` is true; it is true up to there and false after."""
    return int(holds.sum()) - 1 if holds.any() else None


def _limit(val: Sample, label: int, target: float, confidence: float) -> Limit:
    """The highest threshold with a share `target` of class 1 at or above it, or the lowest with that of class 0 at or
    below it: of all patients if these suffice, else of the images.

    With k misses allowed that is the (k+1)-th least favourable score: at most k are beyond it, fewer with ties.
    """
    sign = 1 if label == 1 else -1  # negated, benign scores take the place that malignant ones have
    scores, images = sign * by_patient(val, label).probability, sign * val.probability[val.label == label]
    allowed, needed = misses_allowed(len(scores), target, confidence), lesions_needed(target, confidence)
    if allowed is None:
        return Limit(sign * empirical_threshold(images, target), EMPIRICAL_RULE, False, None, needed)
    return Limit(sign * float(np.sort(scores)[allowed]), EXACT_RULE.format(_unit(val, label)), True, allowed, needed)


def empirical_threshold(images: Scores, target: float) -> float:
    """The highest threshold with the share `target` of these scores at or above it."""
    return float(np.sort(images)[_misses_in_share(len(images), target)])


def spares_some(predictions: Sample, threshold: float) -> bool:
    """Whether at least one benign image is not called malignant."""
    return not called_malignant(predictions.probability[predictions.label == 0], threshold).all()


def candidates(label: Labels, probability: Scores) -> pd.DataFrame:
    """Each distinct probability as a threshold, highest first, with its tp and fp; both classes must occur."""
    _, fp, _, tp, threshold = confusion_matrix_at_thresholds(label, probability)
    return pd.DataFrame({"threshold": threshold, "tp": tp.astype(int), "fp": fp.astype(int)})


def best_points(predictions: Sample) -> dict[str, Point]:
    """The points without a guarantee: default, f1_optimal and youden."""
    table = candidates(predictions.label, predictions.probability)
    positives = int(predictions.label.sum())
    negatives = len(predictions.label) - positives
    f1 = 2 * table["tp"] / (table["tp"] + table["fp"] + positives)
    youden = table["tp"] * negatives - table["fp"] * positives  # times positives * negatives, to stay exact
    return {
        "default": Point(HALF, "a probability of one half"),
        "f1_optimal": Point(float(table["threshold"][f1.eq(f1.max())].min()), "greatest F1"),
        "youden": Point(float(table["threshold"][youden.eq(youden.max())].min()), "greatest recall + specificity - 1"),
    }


def sweep(sample: Sample) -> pd.DataFrame:
    """Recall and specificity at thresholds 0, 0.01, ..., 1, and what is behind them: tn, fp, fn, tp, and the effective
    sample sizes recall_n and specificity_n.
    """
    rows = []
    for threshold in np.linspace(0, 1, 101).round(2):
        called = called_malignant(sample.probability, threshold)
        at, sizes = rates(confusion(sample.label, called)), EffectiveSizes.of(sample.label, called, sample.clusters)
        of_rates = {"recall": at.recall, "specificity": at.specificity}
        effective = {"recall_n": sizes.recall, "specificity_n": sizes.specificity}
        rows.append({"threshold": threshold, **of_rates, **vars(at.confusion), **effective})
    return pd.DataFrame(rows)
