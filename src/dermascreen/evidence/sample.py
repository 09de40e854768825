"""Images with their labels and predictions: what most numbers are made from."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dermascreen.evidence.clusters import Clusters, Flags
from dermascreen.evidence.metrics import Labels, Scores


class Sample(NamedTuple):
    """Images: label and calibrated probability, each of shape (n,), and which lesion and patient each shows."""

    label: Labels
    probability: Scores
    clusters: Clusters

    def part(self, rows: Flags | npt.NDArray[np.intp]) -> "Sample":
        """Some of the images: a mask of shape (n,), or places."""
        return Sample(self.label[rows], self.probability[rows], self.clusters[rows])
