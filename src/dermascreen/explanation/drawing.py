"""A photograph coloured by its map."""

from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image

MAP_COLOURS = "viridis"  # even in lightness, and unlike skin
STRONGEST = 0.65  # opacity of the colour where a map is 1
REGION = 0.5  # of a map's maximum: from here on it is the strongest region
SMALLEST = 224  # pixels a side, at least, of a picture with an outline


def overlay(image: npt.NDArray[np.uint8], values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Colour `image`, shape (H, W, 3), by a map in [0, 1], shape (H, W), as strongly as the map is high.

    Where the map is 0 the image stays as it is.
    """
    colour = mpl.colormaps[MAP_COLOURS](values)[..., :3] * 255
    opacity = STRONGEST * values[..., None].astype(np.float64)
    return np.rint(image * (1 - opacity) + colour * opacity).astype(np.uint8)


def enlarge(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """`image`, shape (H, W, 3), with each pixel repeated until no side is shorter than SMALLEST."""
    factor = -(-SMALLEST // min(image.shape[:2]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def marked(image: npt.NDArray[np.uint8], values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The `overlay` of an image, enlarged, with a line round the strongest region: where the map is at least REGION.

    A flat map, which is all zero, colours nothing and has no line.
    """
    large = enlarge(image)
    smooth = np.asarray(cv2.resize(values, large.shape[1::-1], interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    coloured = np.ascontiguousarray(overlay(large, smooth))
    lines, _ = cv2.findContours((smooth >= REGION).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):  # visible on any background
        cv2.drawContours(coloured, lines, -1, colour, width)
    return coloured


def save_image(image: npt.NDArray[np.uint8], path: Path) -> None:
    """Write `image`, shape (H, W, 3)."""
    Image.fromarray(image).save(path)
