"""Photographs of one lesion, which are not independent: as how many lesions they count."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Lesions = npt.NDArray[np.integer]  # equal for photographs of one lesion; shape (n,)


@dataclass(frozen=True)
class Worth:
    """As how many lesions the photographs of each class count; see `worth`."""

    malignant: float
    benign: float

    @classmethod
    def of(cls, label: npt.NDArray[np.int64], lesion: Lesions) -> Self:
        """Parameters: `label` and `lesion`, each of shape (n,)."""
        return cls(malignant=worth(lesion[label == 1]), benign=worth(lesion[label == 0]))


def worth(lesion: Lesions) -> float:
    """As how many lesions of equal weight photographs count (Kish 1965): n^2 over the sum of squares of each lesion's.

    A mean over photographs varies as one over so many lesions does where those of one lesion are alike, and less where
    they are not. With one photograph of each lesion it is n. Parameters: `lesion`, of shape (n,).
    """
    _, photographs = np.unique(lesion, return_counts=True)
    return float(photographs.sum() ** 2 / (photographs**2).sum()) if len(photographs) else 0.0
