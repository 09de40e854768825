"""Whether two models, each at its own threshold, differ in their errors on the same images."""

from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from dermascreen.evidence.clusters import Clusters, Flags
from dermascreen.evidence.intervals import Intervals, share_intervals


class Errors(NamedTuple):
    """How many of `n` images each of two models gets wrong, how many only that one, p-values of no difference, and the
    intervals of the share that each gets wrong.
    """

    n: int
    first: int
    second: int
    first_alone: int
    second_alone: int
    p_value: float
    first_clusters: int  # of which the first gets more photographs wrong than the second
    second_clusters: int
    p_by_cluster: float
    around_first: Intervals
    around_second: Intervals


def compare_errors(first: Flags, second: Flags, clusters: Clusters) -> Errors:
    """McNemar's exact test (1947) of what `first` and `second` get wrong, and the same test of clusters.

    Images that both get right, or both wrong, carry no information; if there is no difference, each model is expected
    to be wrong on half of the others.
    Photographs of one patient are not independent, so the second test counts a patient once, for the model that gets
    more of the photographs wrong, or not at all where both get as many. Where patients are not known it counts lesions,
    and where each of these has one photograph the two tests are the same.

    Parameters: of n photographs.
    """
    first_alone, second_alone = int((first & ~second).sum()), int((second & ~first).sum())
    _, number = np.unique(clusters.patient, return_inverse=True)
    more = np.bincount(number, weights=first.astype(float) - second)
    by_cluster = int((more > 0).sum()), int((more < 0).sum())
    return Errors(
        len(first),
        int(first.sum()),
        int(second.sum()),
        first_alone,
        second_alone,
        _of_a_coin(first_alone, second_alone),
        *by_cluster,
        _of_a_coin(*by_cluster),
        share_intervals(first, clusters),
        share_intervals(second, clusters),
    )


def _of_a_coin(heads: int, tails: int) -> float:
    return float(binomtest(heads, heads + tails).pvalue) if heads + tails else 1.0
