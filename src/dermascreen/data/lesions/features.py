"""Local features of photographs: SIFT (Lowe 2004), of what is neither hair nor surround.

Coordinates are in pixels of the photograph's field of view, enlarged or reduced until its longer side is `SIDE`.
"""

import tempfile
from pathlib import Path
from typing import IO, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from dermascreen.artifacts.dataset.arrays import reserve
from dermascreen.core.tables import Names
from dermascreen.data.lesions.arithmetic import in_plain_threads
from dermascreen.data.photographs.framing import field_of_view
from dermascreen.data.photographs.photograph import read_photograph

SIDE = 224  # pixels of the longer side
KEYPOINTS = 300  # the strongest of an image
CONTRAST = 0.01  # of a keypoint: low, because skin is smooth
LENGTH = 512  # of a descriptor, its Euclidean norm: a product of two is about 2 ** 18, and 32 bits hold 2 ** 24 exactly

FRAME_BRIGHTNESS = 45  # of 255: what is darker and connected to a corner is the instrument's frame
FRAME_MARGIN = 8  # pixels around the frame that are masked with it
HAIR_WIDTH = 9  # pixels: the closing that hides a hair
HAIR_CONTRAST = 20  # of 255: how much darker than its surroundings a hair is
HAIR_LENGTH = 40  # pixels

# A flip permutes a descriptor's 4 x 4 histograms of 8 directions, so the image need not be read again.
FLIPPED = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()

Gray = npt.NDArray[np.uint8]  # shape (height, width)
Mask = npt.NDArray[np.bool_]
Descriptors = npt.NDArray[np.uint8]  # shape (n, 128)


class Features(NamedTuple):
    """Keypoints and descriptors of N images; for image i, the first `found[i]` of KEYPOINTS rows are filled."""

    found: npt.NDArray[np.intp]  # (N,)
    height: npt.NDArray[np.intp]  # (N,)
    position: npt.NDArray[np.float32]  # (N, KEYPOINTS, 2): x, y
    size: npt.NDArray[np.float32]  # (N, KEYPOINTS): pixels
    angle: npt.NDArray[np.float32]  # (N, KEYPOINTS): degrees
    descriptor: Descriptors  # (N, KEYPOINTS, 128); in a temporary file


def prepare(path: Path) -> tuple[Gray, Mask, Mask]:
    """Read an image's field of view as grey with its hairs covered, with masks of the hairs and of the frame."""
    photograph = read_photograph(path)
    view = photograph.crop(field_of_view(photograph)).convert("L")
    scale = SIDE / max(view.size)
    width, height = (max(1, round(scale * side)) for side in view.size)
    gray = np.asarray(view.resize((width, height), Image.Resampling.BICUBIC))
    hair, covered = _hair(gray)
    return np.where(hair, covered, gray), hair, _frame(gray)


def _hair(gray: Gray) -> tuple[Mask, Gray]:
    """Long dark lines, and the image with them covered; the idea of DullRazor (Lee and others 1997)."""
    covered = np.asarray(cv2.morphologyEx(gray, cv2.MORPH_CLOSE, np.ones((HAIR_WIDTH, HAIR_WIDTH), np.uint8)))
    dark = (covered - gray > HAIR_CONTRAST).astype(np.uint8)
    _, component, box, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
    long = box[:, cv2.CC_STAT_WIDTH] ** 2 + box[:, cv2.CC_STAT_HEIGHT] ** 2 > HAIR_LENGTH**2
    long[0] = False  # what is not dark
    mask = cv2.dilate(long[component].astype(np.uint8), np.ones((5, 5), np.uint8))
    return mask.astype(bool), covered.astype(np.uint8)


def _frame(gray: Gray) -> Mask:
    dark = (np.asarray(cv2.GaussianBlur(gray, (0, 0), 2)) < FRAME_BRIGHTNESS).astype(np.uint8)
    _, component = cv2.connectedComponents(dark)
    corners = set(component[[0, 0, -1, -1], [0, -1, 0, -1]].tolist()) - {0}
    side = 2 * FRAME_MARGIN + 1
    frame = np.isin(component, list(corners)).astype(np.uint8)
    return np.asarray(cv2.dilate(frame, np.ones((side, side), np.uint8))).astype(bool)


def extract(root: Path, paths: Names, file: IO[bytes]) -> Features:
    """Take the features of every image with all cores; the descriptors go to `file`, which is mapped into memory."""
    shape = (len(paths), KEYPOINTS)
    descriptors = np.memmap(file, dtype=np.uint8, mode="w+", shape=(*shape, 128))
    reserve(file, Path(tempfile.gettempdir()))
    features = Features(
        found=np.zeros(len(paths), dtype=np.intp),
        height=np.zeros(len(paths), dtype=np.intp),
        position=np.zeros((*shape, 2), dtype=np.float32),
        size=np.zeros(shape, dtype=np.float32),
        angle=np.zeros(shape, dtype=np.float32),
        descriptor=descriptors,
    )

    def one(row: int) -> None:
        gray, hair, frame = prepare(root / paths[row])
        features.height[row] = len(gray)
        sift = cv2.SIFT.create(nfeatures=KEYPOINTS, contrastThreshold=CONTRAST)
        points, found = sift.detectAndCompute(gray, np.where(hair | frame, 0, 255).astype(np.uint8))
        count = min(len(points), KEYPOINTS)  # SIFT returns a few more where strengths are equal
        if count:
            features.found[row] = count
            features.position[row, :count] = [point.pt for point in points[:count]]
            features.size[row, :count] = [point.size for point in points[:count]]
            features.angle[row, :count] = [point.angle for point in points[:count]]
            features.descriptor[row, :count] = roots(np.asarray(found[:count]))

    in_plain_threads(one, range(len(paths)), "features", "image")
    return features


def roots(descriptor: npt.NDArray[np.float32]) -> Descriptors:
    """RootSIFT (Arandjelovic and Zisserman 2012): Euclidean distance of roots is Hellinger's of histograms.

    In whole numbers; one above 255 would need a quarter of all gradients in one of the 128 directions and places.
    """
    sums = descriptor.sum(axis=1, keepdims=True)  # of whole numbers
    whole = np.rint(LENGTH * np.sqrt(descriptor / np.maximum(sums, 1)))
    return np.asarray(np.minimum(whole, 255), dtype=np.uint8)
