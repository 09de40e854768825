"""The frame of an image: its outer eighth on each side, where a lesion seldom is."""

import numpy as np
import numpy.typing as npt

FRAME = 8  # the frame is 1/8 of a side, rounded down to whole pixels


def frame_mask(height: int, width: int) -> npt.NDArray[np.bool_]:
    """Which pixels lie in the frame; shape (height, width)."""
    mask = np.ones((height, width), dtype=np.bool_)
    top, left = height // FRAME, width // FRAME
    mask[top : height - top, left : width - left] = False
    return mask


def frame_share(height: int, width: int) -> float:
    """The share of an image's pixels that lie in the frame."""
    return float(frame_mask(height, width).mean())
