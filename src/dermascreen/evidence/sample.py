"""Images with their labels and predictions: what most numbers are made from."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dermascreen.evidence.metrics import Labels, Scores


class Sample(NamedTuple):
    """Images: label, calibrated probability, and a number that is equal for photographs of one lesion; each (n,)."""

    label: Labels
    probability: Scores
    lesion: npt.NDArray[np.int64]
