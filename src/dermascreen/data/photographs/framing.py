"""How a photograph becomes the network's input: which part of it, and how that becomes a square."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from dermascreen.artifacts.dataset.images import Pixels
from dermascreen.core.params import PreprocessParams

Box: TypeAlias = tuple[int, int, int, int]  # left, upper, right, lower, in pixels

DARK = 32  # a pixel is dark if no channel is above this
COARSE = 128  # pixels of the longer side, at which the field of view is sought
CORNER = 0.06  # of each side: all four corners are dark where there is a surround
SURROUND = 0.9  # of a corner's pixels are dark
FEW = 0.03  # of a row or column: specks in the surround, such as a scale or a name, are no field
LEAST = 0.25  # of the photograph: a smaller bright region is not the field of view


def to_input(image: Image.Image, params: PreprocessParams) -> Pixels:
    """A photograph, in RGB, as the network's input: uint8, shape (image_size, image_size, 3).

    `field_of_view: crop` first cuts to the bright field where a black surround fills all four corners. Then `squash`
    resizes to a square, whatever the proportions; `crop` takes the square in the middle; `pad` adds bars to the shorter
    sides, in the mean colour of the photograph's edge, so that they are no sharp new border.
    """
    size = params.image_size
    left, upper, right, lower = field_of_view(image) if params.field_of_view == "crop" else (0, 0, *image.size)
    if params.fit == "crop":
        side = min(right - left, lower - upper)
        left, upper = left + (right - left - side) // 2, upper + (lower - upper - side) // 2
        right, lower = left + side, upper + side
    box, longer = (left, upper, right, lower), max(right - left, lower - upper)
    if params.fit != "pad" or right - left == lower - upper:
        return np.asarray(_resized(image, (size, size), box))
    inner = max(1, round(size * (right - left) / longer)), max(1, round(size * (lower - upper) / longer))
    small = _resized(image, inner, box)
    square = Image.new("RGB", (size, size), _edge_colour(small))
    square.paste(small, ((size - inner[0]) // 2, (size - inner[1]) // 2))
    return np.asarray(square)


def _resized(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    part = image if box == (0, 0, *image.size) else image.crop(box)  # else pixels beyond the box would blend in
    return part.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)


def _edge_colour(image: Image.Image) -> tuple[int, int, int]:
    pixels = np.asarray(image)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = edge.mean(axis=0).round().astype(int).tolist()
    return red, green, blue


def field_of_view(image: Image.Image) -> Box:
    """The box round the bright field of a photograph with a black surround; all of it where there is none.

    There is a surround if all four corners are dark. The box holds every row and column with more than a few bright
    pixels, so neither hair across the field nor a dark lesion at its border narrows it.
    """
    whole = (0, 0, *image.size)
    scale = max(1.0, max(image.size) / COARSE)
    small = image.resize(
        (max(1, round(image.width / scale)), max(1, round(image.height / scale))), Image.Resampling.BOX
    )
    bright = np.asarray(small).max(axis=2) > DARK
    rows, columns = (np.flatnonzero(bright.mean(axis=axis) > FEW) for axis in (1, 0))
    if not _has_surround(bright) or not len(rows) or not len(columns):
        return whole
    across, down = image.width / bright.shape[1], image.height / bright.shape[0]
    left, upper = round(columns[0] * across), round(rows[0] * down)
    right, lower = round((columns[-1] + 1) * across), round((rows[-1] + 1) * down)
    large = (right - left) * (lower - upper) >= LEAST * image.width * image.height
    return (left, upper, right, lower) if large else whole


def _has_surround(bright: npt.NDArray[np.bool_]) -> bool:
    height, width = (max(1, round(CORNER * side)) for side in bright.shape)
    corners = (
        bright[rows, columns]
        for rows in (np.s_[:height], np.s_[-height:])
        for columns in (np.s_[:width], np.s_[-width:])
    )
    return all(corner.mean() <= 1 - SURROUND for corner in corners)
