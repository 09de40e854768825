"""Photographs of one lesion, which are not independent: as how many lesions they count."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Lesions = npt.NDArray[np.integer]  # equal for photographs of one lesion; shape (n,)
Flags = npt.NDArray[np.bool_]  # shape (n,)

NOTHING = 1e-15  # a variance below this is rounding


def kish_size(lesion: Lesions) -> float:
    """The effective sample size of a mean over photographs if those of one lesion are alike (Kish 1965).

    (sum of each lesion's photographs)^2 / sum of their squares: as many lesions of equal weight give a mean that varies
    as much. With one photograph of each lesion it is n. Parameters: `lesion`, of shape (n,).
    """
    _, photographs = np.unique(lesion, return_counts=True)
    return float(photographs.sum() ** 2 / (photographs**2).sum()) if len(photographs) else 0.0


def effective_size(hit: Flags, lesion: Lesions) -> float:
    """The effective sample size of the share of photographs that are a `hit`: of so many lesions it would vary as much.

    p (1 - p) over the variance of the share p, which is estimated from the sums of each lesion's photographs (Korn and
    Graubard 1998); or `kish_size` where that is less, since an estimate knows too little where few lesions differ. The
    estimate is the lesser one where lesions with more photographs are hit more often, or less often, than others.

    Parameters: each of shape (n,).
    """
    most = kish_size(lesion)
    if not most:
        return most
    share, (_, number) = hit.mean(), np.unique(lesion, return_inverse=True)
    variance = (np.bincount(number, weights=hit - share) ** 2).sum() / len(hit) ** 2
    return min(most, float(share * (1 - share) / variance)) if variance > NOTHING else most


@dataclass(frozen=True)
class EffectiveSizes:
    """The `effective_size` of a recall and of a specificity."""

    recall: float
    specificity: float

    @classmethod
    def of(cls, label: npt.NDArray[np.int64], called: Flags, lesion: Lesions) -> Self:
        """Parameters: `label`, what is `called` malignant, and `lesion`, each of shape (n,)."""
        malignant = label == 1
        return cls(
            recall=effective_size(called[malignant], lesion[malignant]),
            specificity=effective_size(~called[~malignant], lesion[~malignant]),
        )
