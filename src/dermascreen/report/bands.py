"""How far a ROC or precision-recall curve would vary with other patients, or lesions where these are not known."""

from typing import NamedTuple

import numpy as np

from dermascreen.evidence.clusters import CONFIDENCE
from dermascreen.evidence.resampling import Values, cluster_draws, counts, precisions
from dermascreen.evidence.sample import Sample

AT = np.arange(1, 101) / 100  # at 0 nothing is called malignant, and precision is not defined


class CurveBand(NamedTuple):
    """The pointwise interval of a curve; each of shape (100,)."""

    at: Values  # false positive rate of a ROC curve, recall of a precision-recall curve
    low: Values
    high: Values


class Bands(NamedTuple):
    roc: CurveBand
    precision_recall: CurveBand


def curve_bands(sample: Sample, *, draws: int, seed: int, confidence: float = CONFIDENCE) -> Bands:
    """Pointwise percentile bands by the bootstrap of clusters: `resampling.cluster_draws`.

    For each draw: the highest sensitivity at a false positive rate of at most each of AT, and the precision at the
    highest threshold with a recall of at least each of AT.

    Parameters: `sample`, in which both classes must occur.
    """
    label, score, clusters = sample
    sensitivity, precision = [], []
    for weights in cluster_draws(label, clusters.patient, draws=draws, seed=seed):
        true, false = counts(label, score, weights)
        for tp, fp in zip(true, false, strict=True):
            sensitivity.append(tp[np.searchsorted(fp / fp[-1], AT, side="right") - 1] / tp[-1])
            precision.append(precisions(tp, fp)[np.searchsorted(tp / tp[-1], AT, side="left")])
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low_and_high = (np.quantile(values, tails, axis=0) for values in (sensitivity, precision))
    return Bands(*(CurveBand(AT, low, high) for low, high in low_and_high))
