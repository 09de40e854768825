"""Samples small enough to be counted by hand."""

import numpy as np

from dermascreen.evidence.clusters import Clusters
from dermascreen.evidence.sample import Sample

LABEL = np.array([0, 0, 0, 0, 1, 1, 1, 1])
PROBABILITY = np.array([0.1, 0.2, 0.5, 0.8, 0.4, 0.6, 0.7, 0.9])


def alone(n: int) -> Clusters:
    """The n photographs each show a lesion of their own."""
    return Clusters.of_lesions(np.arange(n))


def single(label, probability) -> Sample:
    """Every photograph shows a lesion of its own."""
    return Sample(np.asarray(label), np.asarray(probability), alone(len(label)))


def of_classes(benign, malignant) -> Sample:
    return single(np.repeat([0, 1], [len(benign), len(malignant)]), np.concatenate([benign, malignant]))


WORKED = single(LABEL, PROBABILITY)
