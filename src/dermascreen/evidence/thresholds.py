"""Operating points: thresholds on the calibrated probability, at or above which an image is called malignant.

They are chosen on val and applied once to test. Where two thresholds are equally good the lower one, which misses fewer
cancers, is taken.

What is promised with a confidence is promised of lesions like val's and of the network as it stands. Val also chose the
network's epoch, which the promise does not know of. The temperature is fitted on val as well, but keeps the order of
the images, and the rule looks at nothing else.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import binom
from sklearn.metrics import roc_auc_score, roc_curve

from dermascreen.evidence.intervals import share_intervals
from dermascreen.evidence.metrics import Labels, Scores, at_threshold, confusion, rates, ratio
from dermascreen.evidence.screening import rate_intervals, screening

SCALE = "calibrated_probability"  # the column of the predictions that every threshold is on

Points = dict[str, dict[str, Any]]

OPTIMISTIC = "Optimistic: these thresholds were chosen on the very test images that they are scored on."

EXACT_RULE = "exact binomial rule on lesions (Neyman-Pearson umbrella)"
EMPIRICAL_RULE = "share of the images themselves, without a guarantee"


class Predictions(NamedTuple):
    """What is known of a split's images; each of shape (n,). Both classes must occur."""

    label: Labels
    probability: Scores
    lesion: npt.NDArray[np.int64]  # equal for photographs of one lesion


class Limit(NamedTuple):
    """A threshold, and what is promised of the share of lesions at or above it."""

    threshold: float
    rule: str
    guaranteed: bool
    lesions: int
    misses_allowed: int | None  # none where even 0 are too many to promise anything
    lesions_needed: int  # for a promise


def choose_points(val: Predictions, target_recall: float, confidence: float) -> Points:
    """Choose the operating points.

    default: 0.5. f1_optimal: the greatest F1. youden: the greatest recall + specificity - 1 (Youden 1950).
    high_recall: see `choose_high_recall`.
    """
    return {**_best_points(val), "high_recall": choose_high_recall(val, target_recall, confidence)}


def choose_high_recall(val: Predictions, target_recall: float, confidence: float) -> dict[str, Any]:
    """The highest threshold at which `target_recall` of all malignant lesions are found with `confidence`.

    With too few lesions for that it is the highest whose recall on these images reaches it, and `guaranteed` is false.
    `reached` is false where only calling every benign image malignant as well gets there.

    A lesion counts with the lowest of its malignant photographs, so that it is found whichever of them is shown. The
    photographs are not independent, as the rule's trials must be; lesions are.
    """
    limit = _limit(lesion_scores(val, label=1), val.probability[val.label == 1], target_recall, confidence)
    return {
        "threshold": limit.threshold,
        "rule": f"highest that reaches the target recall: {limit.rule}",
        "target_recall": target_recall,
        "confidence": confidence,
        "guaranteed": limit.guaranteed,
        "reached": _spares_some(val, limit.threshold),
        "lesions": limit.lesions,
        "misses_allowed": limit.misses_allowed,
        "lesions_needed": limit.lesions_needed,
    }


def choose_band(val: Predictions, points: Points, target_specificity: float | None, confidence: float) -> Points:
    """The point `abstention`, whose images with low <= probability < high are referred; no point without a target.

    low: the threshold of high_recall, below which an image is decided benign. high: the lowest threshold at which
    `target_specificity` of all benign lesions are spared with `confidence`, by the same rule as high_recall's; a lesion
    counts with the highest of its benign photographs. Where that is no higher than low, low keeps both promises: high
    is set to it, and nothing is referred.
    """
    if target_specificity is None:
        return {}
    low = points["high_recall"]["threshold"]
    # Upside down, benign lesions are what malignant ones are to high_recall.
    limit = _limit(-lesion_scores(val, label=0), -val.probability[val.label == 0], target_specificity, confidence)
    high = float(np.nextafter(-limit.threshold, np.inf))  # that score itself is still to be called benign
    return {
        "abstention": {
            "low": low,
            "high": max(low, high),
            "rule": f"high is the lowest that reaches the target specificity: {limit.rule}",
            "target_specificity": target_specificity,
            "confidence": confidence,
            "guaranteed": limit.guaranteed,
            "lesions": limit.lesions,
            "false_alarms_allowed": limit.misses_allowed,
            "lesions_needed": limit.lesions_needed,
        }
    }


def shortfalls(points: Points) -> list[str]:
    """A sentence for each promise that cannot be kept, or only for nothing."""
    high_recall, band = points["high_recall"], points.get("abstention")
    sentences = []
    if not high_recall["guaranteed"]:
        sentences.append(_too_few("recall", high_recall["target_recall"], "malignant", high_recall))
    if not high_recall["reached"]:
        target = high_recall["target_recall"]
        sentences.append(f"A recall of {target:g} is reached only by calling every benign val image malignant.")
    if band and not band["guaranteed"]:
        sentences.append(_too_few("specificity", band["target_specificity"], "benign", band))
    if band and band["low"] == band["high"]:
        sentences.append("No image is referred: high_recall's threshold also reaches the target specificity.")
    return sentences


def _too_few(measure: str, target: float, lesion: str, point: Mapping[str, Any]) -> str:
    found = f"{point['lesions']} {lesion} lesion{'s' * (point['lesions'] != 1)}"
    return (
        f"A {measure} of {target:g} cannot be promised with confidence {point['confidence']:g}: val has {found}, and "
        f"{point['lesions_needed']} are needed; "
        f"the threshold is the one at which val's own {measure} reaches it."
    )


def lesion_scores(predictions: Predictions, label: int) -> Scores:
    """One score a lesion, from its photographs of class `label`: the least favourable, lowest if malignant (1), highest
    if benign (0). Shape (lesions of that class,).
    """
    those = predictions.label == label
    by_lesion = pd.Series(predictions.probability[those]).groupby(predictions.lesion[those])
    return (by_lesion.min() if label == 1 else by_lesion.max()).to_numpy()


def misses_allowed(lesions: int, target: float, confidence: float) -> int | None:
    """The largest k with P(Binomial(lesions, 1 - target) <= k) <= 1 - confidence; None where there is none.

    The threshold at the (k+1)-th lowest of the lesions' scores then finds less than `target` of all such lesions with
    probability 1 - confidence at most (the umbrella algorithm: Tong, Feng and Li 2018, Science Advances 4, eaao1659).
    """
    tail = binom.cdf(np.arange(lesions), lesions, 1 - target)
    return _last(tail <= _risk(confidence))


def lesions_needed(target: float, confidence: float) -> int:
    """The fewest lesions with which `misses_allowed` is a number: 59 for 0.95 with confidence 0.95."""
    return math.ceil(math.log(_risk(confidence)) / math.log(target))


def _risk(confidence: float) -> float:
    return (1 - confidence) * (1 + 1e-9)  # so that what is equal on paper, as 0.5 x 0.5 and 1 - 0.75, is equal here


def _misses_in_share(images: int, target: float) -> int:
    """The largest k with (images - k) / images >= target."""
    last = _last(np.arange(images, 0, -1) / images >= target)
    return 0 if last is None else last


def _last(holds: npt.NDArray[np.bool_]) -> int | None:
    """The last index of those at which `holds`, which is true up to there, is true."""
    return int(holds.sum()) - 1 if holds.any() else None


def _limit(lesions: Scores, images: Scores, target: float, confidence: float) -> Limit:
    """The highest threshold with the share `target` at or above it: of all lesions if they suffice, else of `images`.

    With k misses allowed that is the (k+1)-th lowest score: at most k are below it, fewer where some tie with it.
    """
    allowed = misses_allowed(len(lesions), target, confidence)
    needed = lesions_needed(target, confidence)
    if allowed is None:
        return Limit(_empirical(images, target), EMPIRICAL_RULE, False, len(lesions), None, needed)
    return Limit(float(np.sort(lesions)[allowed]), EXACT_RULE, True, len(lesions), allowed, needed)


def _empirical(images: Scores, target: float) -> float:
    return float(np.sort(images)[_misses_in_share(len(images), target)])


def _spares_some(predictions: Predictions, threshold: float) -> bool:
    return bool((predictions.probability[predictions.label == 0] < threshold).any())


def candidates(label: Labels, probability: Scores) -> pd.DataFrame:
    """Each distinct probability as a threshold, highest first, with its tp and fp; both classes must occur."""
    fpr, tpr, threshold = roc_curve(label, probability, drop_intermediate=False)
    positives = int(label.sum())
    tp = np.rint(tpr * positives).astype(int)
    fp = np.rint(fpr * (len(label) - positives)).astype(int)
    return pd.DataFrame({"threshold": threshold, "tp": tp, "fp": fp}).iloc[1:]  # the first calls nothing malignant


def _best_points(predictions: Predictions) -> Points:
    """The points that promise nothing: default, f1_optimal and youden."""
    table = candidates(predictions.label, predictions.probability)
    positives = int(predictions.label.sum())
    negatives = len(predictions.label) - positives
    f1 = 2 * table["tp"] / (table["tp"] + table["fp"] + positives)
    youden = table["tp"] * negatives - table["fp"] * positives  # times positives * negatives, to stay exact
    return {
        "default": {"threshold": 0.5, "rule": "a probability of one half"},
        "f1_optimal": {"threshold": float(table["threshold"][f1.eq(f1.max())].min()), "rule": "greatest F1"},
        "youden": {
            "threshold": float(table["threshold"][youden.eq(youden.max())].min()),
            "rule": "greatest recall + specificity - 1",
        },
    }


def report_thresholds(
    points: Points, band: Points, splits: Mapping[str, Predictions], target_recall: float
) -> dict[str, Any]:
    """All of metrics/threshold.json: what was chosen on val, applied to the `splits`, and the source project's way."""
    return {
        "scale": SCALE,
        **report_points(points, splits),
        **report_band(band, splits),
        "source_protocol": report_source_protocol(splits["test"], target_recall),
    }


def report_points(points: Points, splits: Mapping[str, Predictions]) -> dict[str, Any]:
    """Apply `points` to each split: rates, intervals and what they mean in screening; and `fn_reduction` on test."""
    report: dict[str, Any] = {
        name: {**point, **{split: _measured(part, point["threshold"]) for split, part in splits.items()}}
        for name, point in points.items()
    }
    return {**report, "fn_reduction": fn_reduction(report["default"]["test"], report["high_recall"]["test"])}


def _measured(predictions: Predictions, threshold: float) -> dict[str, Any]:
    at = at_threshold(predictions.label, predictions.probability, threshold)
    counts = at["confusion"]
    return {**at, "intervals": rate_intervals(counts), "screening": screening(counts)}


def report_band(band: Points, splits: Mapping[str, Predictions]) -> dict[str, Any]:
    """Apply what `choose_band` chose to each split; nothing where it chose nothing."""
    return {
        name: {**point, **{split: _decided(part, point["low"], point["high"]) for split, part in splits.items()}}
        for name, point in band.items()
    }


def _decided(predictions: Predictions, low: float, high: float) -> dict[str, Any]:
    """How many images a band decides, and how well: every rate is of the decided ones, `error` the share of wrong.

    Of classes of which none is decided there is no rate, as in `metrics.rates`.
    """
    label, probability, _ = predictions
    at_low, at_high = confusion(label, probability >= low), confusion(label, probability >= high)
    counts = {"tn": at_low["tn"], "fp": at_high["fp"], "fn": at_low["fn"], "tp": at_high["tp"]}
    at = rates(counts)
    total, wrong = sum(counts.values()), counts["fp"] + counts["fn"]
    of_rates = rate_intervals(counts)
    return {
        "coverage": total / len(label),
        "referred": len(label) - total,
        "decided": total,
        **{name: at[name] for name in ("recall", "specificity", "precision")},
        "error": ratio(wrong, total),
        "confusion": counts,
        "intervals": {
            "coverage": share_intervals(total, len(label)),
            "recall": of_rates["recall"],
            "specificity": of_rates["specificity"],
            "error": share_intervals(wrong, total),
        },
    }


def report_source_protocol(test: Predictions, target_recall: float) -> dict[str, Any]:
    """What the source project's protocol says: thresholds chosen on the test images themselves, by their shares."""
    threshold = _empirical(test.probability[test.label == 1], target_recall)
    points: Points = {
        **_best_points(test),
        "high_recall": {
            "threshold": threshold,
            "rule": f"highest that reaches the target recall: {EMPIRICAL_RULE}",
            "target_recall": target_recall,
            "reached": _spares_some(test, threshold),
        },
    }
    report: dict[str, Any] = {
        name: {**point, **at_threshold(test.label, test.probability, point["threshold"])}
        for name, point in points.items()
    }
    auc = float(roc_auc_score(test.label, test.probability))
    missed = fn_reduction(report["default"], report["high_recall"])
    return {"note": OPTIMISTIC, "test": {"roc_auc": auc, **report, "fn_reduction": missed}}


def fn_reduction(default: Mapping[str, Any], high_recall: Mapping[str, Any]) -> dict[str, Any]:
    """How many fewer cancers high_recall misses than default, as a count and as a share of what default misses."""
    before, after = default["confusion"]["fn"], high_recall["confusion"]["fn"]
    fewer = before - after
    return {"default_fn": before, "high_recall_fn": after, "fewer_missed": fewer, "relative": ratio(fewer, before)}


def sweep(label: Labels, probability: Scores) -> pd.DataFrame:
    """Recall and specificity at thresholds 0, 0.01, ..., 1, and the counts behind them: tn, fp, fn, tp."""
    rows = []
    for threshold in np.linspace(0, 1, 101).round(2):
        at = at_threshold(label, probability, threshold)
        rates_of = {name: at[name] for name in ("recall", "specificity")}
        rows.append({"threshold": threshold, **rates_of, **at["confusion"]})
    return pd.DataFrame(rows)
