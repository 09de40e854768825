"""Photographs that are not independent, those of one lesion and those of one patient: as how many they count."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.stats import t

CONFIDENCE = 0.95  # of every interval, unless stated otherwise
FEWEST = 10  # clusters that an estimate of how much results vary between them needs
NOTHING = 1e-15  # a variance below this is rounding

Cluster = npt.NDArray[np.integer]  # equal for photographs that depend on each other; shape (n,)
Flags = npt.NDArray[np.bool_]  # shape (n,)


@dataclass(frozen=True)
class Clusters:
    """Which lesion and which patient each photograph shows, as numbers; each of shape (n,).

    Photographs of one lesion are of one patient. Where patients are not known, each lesion is of a patient of its own.
    """

    lesion: Cluster
    patient: Cluster

    @classmethod
    def of_lesions(cls, lesion: Cluster) -> Self:
        """Those of patients who have one lesion each, or are not known."""
        return cls(lesion, lesion)

    @property
    def unit(self) -> str:
        """What is independent of another one: a patient, where any has several lesions, or a lesion."""
        return "patient" if len(np.unique(self.patient)) < len(np.unique(self.lesion)) else "lesion"

    def __len__(self) -> int:
        return len(self.lesion)

    def __getitem__(self, rows: Flags | npt.NDArray[np.intp]) -> Self:
        """Those of some photographs: a mask of shape (n,), or places."""
        return type(self)(self.lesion[rows], self.patient[rows])


def kish_size(cluster: Cluster) -> float:
    """The effective sample size of a mean over photographs if those of one cluster are alike (Kish 1965).

    (sum of each cluster's photographs)^2 / sum of their squares: as many clusters of equal weight give a mean that
    varies as much. With one photograph in each it is n. Parameters: `cluster`, of shape (n,).
    """
    _, photographs = np.unique(cluster, return_counts=True)
    return float(photographs.sum() ** 2 / (photographs**2).sum()) if len(photographs) else 0.0


def having(cluster: Cluster, chosen: Flags) -> float:
    """The `kish_size` of the clusters that have one of the `chosen` photographs; each of shape (n,)."""
    return kish_size(cluster[np.isin(cluster, cluster[chosen])])


def effective_size(hit: Flags, clusters: Clusters, confidence: float = CONFIDENCE) -> float:
    """The effective sample size of the share of photographs that are a `hit`: of so many lesions it would vary as much.

    p (1 - p) over the variance of the share p, which is estimated from the sums of each patient's photographs (Korn and
    Graubard 1998). Since that rests on fewer patients than there are lesions, it is taken times (t of one less than
    lesions / t of one less than patients)^2, where t are the quantiles for an interval's `confidence`, and both
    variances have their usual corrections for a mean that is estimated too.

    It is at most the `kish_size` of the lesions, whose photographs are alike; and at most that of the patients where
    fewer than FEWEST of them have a hit, or a miss: the estimate then knows too little of how alike a patient's lesions
    are. Where patients are not known, lesions take their place, and there is nothing to correct.

    Parameters: `hit` and `clusters` of n photographs.
    """
    if not len(hit):
        return 0.0
    lesions, patients = kish_size(clusters.lesion), kish_size(clusters.patient)
    enough = min(having(clusters.patient, one) for one in (hit, ~hit)) >= FEWEST
    most = lesions if enough else patients
    share, (_, number) = hit.mean(), np.unique(clusters.patient, return_inverse=True)
    variance = (np.bincount(number, weights=hit - share) ** 2).sum() / len(hit) ** 2
    if variance <= NOTHING or min(patients, lesions) <= 1:
        return most
    fewer = (1 - 1 / patients) / (1 - 1 / lesions)
    students = t.isf((1 - confidence) / 2, lesions - 1) / t.isf((1 - confidence) / 2, patients - 1)
    return min(most, float(share * (1 - share) / variance * fewer * students**2))


@dataclass(frozen=True)
class EffectiveSizes:
    """The `effective_size` of a recall and of a specificity."""

    recall: float
    specificity: float

    @classmethod
    def of(cls, label: npt.NDArray[np.int64], called: Flags, clusters: Clusters) -> Self:
        """Parameters: `label`, what is `called` malignant, and `clusters`, of n photographs."""
        malignant = label == 1
        return cls(
            recall=effective_size(called[malignant], clusters[malignant]),
            specificity=effective_size(~called[~malignant], clusters[~malignant]),
        )
