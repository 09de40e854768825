"""The bootstrap of clusters, and metrics of predictions for many draws at once.

A draw is a weight for each image: how often its cluster was drawn. Images are sorted by score once, and the counts of
all draws at each threshold are running sums of the weights; scikit-learn's functions with `sample_weight` give the
same numbers, one draw at a time.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from dermascreen.evidence.clusters import Cluster
from dermascreen.evidence.metrics import PARTIAL_FROM, Labels, Scores

BLOCK = 1_000_000  # weights that are processed at once, so that more draws need no more memory

Weights = npt.NDArray[np.intp]  # shape (draws, n)
Values = npt.NDArray[np.float64]  # of each draw; shape (draws,) or (draws, thresholds)
Measure = Callable[[Labels, Scores, Weights], Values]


def cluster_draws(label: Labels, cluster: Cluster, *, draws: int, seed: int) -> Iterator[Weights]:
    """Yield, in blocks, the weights of `draws` draws, each of as many clusters as there are of each kind.

    The kinds are clusters with malignant images alone, with benign ones alone, and with both. Drawing within each kind
    keeps both classes in every draw.

    Parameters: `label` and `cluster`, each of shape (n,).
    """
    _, number = np.unique(cluster, return_inverse=True)
    malignant, benign = (np.bincount(number, weights=label == one) > 0 for one in (1, 0))
    rng = np.random.default_rng(seed)
    size = max(1, BLOCK // len(label))
    for start in range(0, draws, size):
        drawn = np.empty((min(size, draws - start), len(malignant)), dtype=np.intp)
        for members in (malignant & ~benign, benign & ~malignant, malignant & benign):
            if count := int(members.sum()):
                drawn[:, members] = rng.multinomial(count, np.full(count, 1 / count), size=len(drawn))
        yield drawn[:, number]


def counts(label: Labels, score: Scores, weights: Weights) -> tuple[Values, Values]:
    """True and false positives of each draw at each distinct score, from none to all called malignant.

    Returns two arrays of shape (draws, distinct scores + 1).
    """
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    drawn, malignant = weights[:, order], label[order] == 1
    true, false = (np.cumsum(drawn * part, axis=1)[:, ends] for part in (malignant, ~malignant))
    return np.pad(true, ((0, 0), (1, 0))).astype(float), np.pad(false, ((0, 0), (1, 0))).astype(float)


def rates(label: Labels, score: Scores, weights: Weights) -> tuple[Values, Values]:
    """True and false positive rates: `counts`, over the malignant and the benign images of the draw."""
    true, false = counts(label, score, weights)
    return true / true[:, -1:], false / false[:, -1:]


def roc_auc(label: Labels, score: Scores, weights: Weights) -> Values:
    """The area under the ROC curve of each draw."""
    tpr, fpr = rates(label, score, weights)
    return np.asarray(np.trapezoid(tpr, fpr, axis=1))


def partial_roc_auc(label: Labels, score: Scores, weights: Weights) -> Values:
    """`metrics.partial_roc_auc` of each draw: the area above the sensitivity PARTIAL_FROM."""
    tpr, fpr = rates(label, score, weights)
    above = np.maximum(tpr - PARTIAL_FROM, 0)
    rise, run = np.diff(tpr, axis=1), np.diff(fpr, axis=1)
    crossing = (tpr[:, :-1] < PARTIAL_FROM) & (above[:, 1:] > 0)
    share = np.where(crossing, above[:, 1:] / np.where(crossing, rise, 1), 1)  # of the step that lies above
    return np.asarray((run * share * (above[:, :-1] + above[:, 1:]) / 2).sum(axis=1))


def precisions(true: Values, false: Values) -> Values:
    """The share of those called malignant that are; 1 where none is called malignant, as in scikit-learn's curve."""
    called = true + false
    return np.asarray(np.where(called > 0, true / np.maximum(called, 1), 1))


def average_precision(label: Labels, score: Scores, weights: Weights) -> Values:
    """Precision averaged over the steps of recall, of each draw."""
    true, false = counts(label, score, weights)
    steps = np.diff(true, axis=1) / true[:, -1:]
    return np.asarray((steps * precisions(true, false)[:, 1:]).sum(axis=1))


def brier(label: Labels, score: Scores, weights: Weights) -> Values:
    """The mean squared error of the probability, of each draw."""
    return np.asarray(weights @ (score - label) ** 2 / weights.sum(axis=1))
