"""How far a ROC or precision-recall curve would move with other lesions."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve, roc_curve

from dermascreen.evidence.intervals import CONFIDENCE
from dermascreen.evidence.metrics import Labels, Scores

AT = np.linspace(0.01, 1, 100)  # at 0 nothing is called malignant, and precision is not defined

Values = npt.NDArray[np.float64]


class Band(NamedTuple):
    """The pointwise interval of a curve; each of shape (100,)."""

    at: Values  # false positive rate of a ROC curve, recall of a precision-recall curve
    low: Values
    high: Values


class Bands(NamedTuple):
    roc: Band
    precision_recall: Band


def curve_bands(
    label: Labels,
    score: Scores,
    lesion: npt.NDArray[np.int64],
    *,
    draws: int,
    seed: int,
    confidence: float = CONFIDENCE,
) -> Bands:
    """Pointwise percentile bands over draws of whole lesions, benign and malignant ones apart.

    Of each draw: the sensitivity that can be had at a false positive rate of at most each of AT, and the precision at
    the highest threshold with a recall of at least each of AT.

    Parameters: `label`, `score` and `lesion`, each of shape (n,); both classes must occur.
    """
    sensitivity, precision = np.empty((draws, len(AT))), np.empty((draws, len(AT)))
    for number, rows in enumerate(lesion_draws(label, lesion, draws=draws, seed=seed)):
        fpr, tpr, _ = roc_curve(label[rows], score[rows])
        sensitivity[number] = tpr[np.searchsorted(fpr, AT, side="right") - 1]
        exact, recall, _ = precision_recall_curve(label[rows], score[rows])
        precision[number] = exact[::-1][np.searchsorted(recall[::-1], AT, side="left")]
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low_and_high = (np.quantile(values, tails, axis=0) for values in (sensitivity, precision))
    return Bands(*(Band(AT, low, high) for low, high in low_and_high))


def lesion_draws(
    label: Labels, lesion: npt.NDArray[np.int64], *, draws: int, seed: int
) -> Iterator[npt.NDArray[np.intp]]:
    """Yield the rows of each draw, as `evidence.intervals.cluster_bootstrap` draws them."""
    order = np.argsort(lesion, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(lesion[order])) + 1)
    malignant = np.array([label[rows].max() == 1 for rows in members])
    classes = [np.flatnonzero(malignant), np.flatnonzero(~malignant)]
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        lesions = np.concatenate([rng.choice(those, len(those)) for those in classes if len(those)])
        yield np.concatenate([members[number] for number in lesions])
