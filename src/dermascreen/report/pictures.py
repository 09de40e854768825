"""Photographs and their maps: coloured, saved by one stage, and put on the page by another."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image

from dermascreen.images.photograph import read_photograph
from dermascreen.tables import read_table

MAP_COLOURS = "viridis"  # even in lightness, and unlike skin
STRONGEST = 0.65  # opacity of the colour where a map is 1
REGION = 0.5  # of a map's maximum, from which on it is the strongest region
SMALLEST = 224  # pixels a side of a picture with a line in it

IMAGES = ["image", "overlay", "near_benign", "near_malignant"]
COLUMNS = ["path", "label", "probability", "probability_low", "probability_high", "outcome", *IMAGES, "flat"]
LARGEST = 288  # pixels a side on the page
QUALITY = 85  # of their JPEG


@dataclass(frozen=True)
class Picture:
    """A test image and its map; what IMAGES names are addresses for a page."""

    path: str
    label: int
    probability: float  # calibrated
    probability_low: float  # ends of its interval
    probability_high: float
    outcome: str  # at the high_recall point: tp, fn, fp or tn
    image: str
    overlay: str
    near_benign: str  # the nearest training image of that class, as the network sees it
    near_malignant: str
    flat: bool

    def called(self, threshold: float) -> str:
        return "malignant" if self.probability >= threshold else "benign"

    @property
    def interval(self) -> dict[str, float]:
        return {"low": self.probability_low, "high": self.probability_high}

    @property
    def actual(self) -> str:
        return "malignant" if self.label else "benign"


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
    for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):  # seen on any ground
        cv2.drawContours(coloured, lines, -1, colour, width)
    return coloured


def save_image(image: npt.NDArray[np.uint8], path: Path) -> None:
    """Write `image`, shape (H, W, 3)."""
    Image.fromarray(image).save(path)


def read_pictures(folder: Path) -> list[Picture]:
    """What stage explain wrote to `folder`, each image as a data URI, so that a page needs no other file.

    Raises a DermascreenError if pictures.csv is missing or lacks a column.
    """
    records: list[Any] = read_table(folder / "pictures.csv", COLUMNS)[COLUMNS].to_dict("records")
    return [Picture(**record | {key: data_uri(folder / record[key]) for key in IMAGES}) for record in records]


def data_uri(path: Path) -> str:
    """An image file as a data URI: a JPEG, a tenth of the PNG's size, with at most LARGEST pixels a side."""
    content = io.BytesIO()
    image = read_photograph(path)
    image.thumbnail((LARGEST, LARGEST))
    image.save(content, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
