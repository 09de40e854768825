"""A map of what a decision rests on, and how it is made."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dermascreen.evidence.frame import frame_mask


class Map(NamedTuple):
    values: npt.NDArray[np.float32]  # (H, W), in [0, 1] with maximum 1; all zero if flat
    flat: bool


class MapKind(NamedTuple):
    """How maps are made: at which layer, by its dotted name, and by which of gradcam.VARIANTS."""

    layer: str
    variant: str = "grad_cam"


def frame_energy(values: npt.NDArray[np.float32]) -> float:
    """The share of a map's sum that lies in the frame, where a lesion seldom is; `values` (H, W), not all zero."""
    return float(values[frame_mask(*values.shape)].sum(dtype=np.float64) / values.sum(dtype=np.float64))
