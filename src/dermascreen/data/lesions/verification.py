"""Whether two photographs show one lesion: their features must fit one map, under which the pixels must agree.

Things that photographs of different lesions may share must not join them. A ruler or a watermark matches as well as a
lesion does, but only in one place; so a pair must also agree away from there.
"""

import itertools
import math
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from dermascreen.core.tables import Names
from dermascreen.data.lesions.arithmetic import Affine, Places, affine_between, determinant, in_plain_threads, varies
from dermascreen.data.lesions.features import FLIPPED, LENGTH, Features, Mask, prepare

MIN_SIMILARITY = 0.85  # product of two descriptors, of LENGTH squared: their cosine, unless one was cut off at 255
TOLERANCE = 4.0  # pixels between a matched keypoint and its transformed place
MAX_ZOOM = 4.0
FEWEST_INLIERS = 6
MIN_OVERLAP = 0.25  # of the smaller view
MIN_OVERLAP_MIRRORED = 0.5  # mirror images are made on purpose; and a text at one edge matches itself at the other
CELL = 28  # pixels a side of the cells that are compared
REACH = 6  # pixels by which a cell may have moved
TEXTURE = 2.0  # standard deviation below which a cell is plain skin and says nothing
CORRELATION = 0.7  # from which cells agree
MIN_AGREEMENT = 0.5  # share of the cells
MIN_ELSEWHERE = 0.5  # share of the cells away from every inlier


class Match(NamedTuple):
    """A pair of images, first before second, and the evidence for it."""

    first: int
    second: int
    mirrored: bool  # one of them is flipped
    inliers: int
    agreement: float  # share of the comparable cells that agree
    elsewhere: float  # the same among cells with no inlier in them or beside them, plus one agreeing cell

    @property
    def score(self) -> float:
        """The number of inliers times the share of the comparable cells that agree."""
        return self.inliers * self.agreement

    @property
    def agrees(self) -> bool:
        """Whether the two look alike in enough of what they have in common."""
        return self.agreement >= MIN_AGREEMENT and self.elsewhere >= MIN_ELSEWHERE


def verify(root: Path, paths: Names, features: Features, pairs: pd.DataFrame, min_score: float) -> Iterable[Match]:
    """Match the features of each pair, fit a map, and see whether the images agree under it.

    Drops pairs with a score below `min_score`; with too few inliers to reach it, the pixels are not even compared.
    """
    load = lru_cache(maxsize=256)(lambda row: _Appearance.of(root / paths[row]))
    fewest = max(FEWEST_INLIERS, math.ceil(min_score))

    def one(pair: tuple[int, int, bool]) -> Match | None:
        first, second, mirrored = pair
        fitted = _fit(features, first, second, mirrored, fewest)
        if fitted is None:
            return None
        transform, here, there = fitted
        appearance = load(first).flipped() if mirrored else load(first)
        overlap = MIN_OVERLAP_MIRRORED if mirrored else MIN_OVERLAP
        if determinant(transform) > 1:  # compare where both have detail: in the smaller of the two views
            inverse = cv2.invertAffineTransform(transform).astype(np.float64)
            agreement, elsewhere = _compare(load(second), appearance, inverse, here, overlap)
        else:
            agreement, elsewhere = _compare(appearance, load(second), transform, there, overlap)
        match = Match(int(first), int(second), bool(mirrored), len(here), agreement, elsewhere)
        return match if match.score >= min_score else None

    return filter(None, in_plain_threads(one, pairs.itertuples(index=False, name=None), "verify", "pair"))


def _fit(
    features: Features, first: int, second: int, mirrored: bool, fewest: int
) -> tuple[Affine, Places, Places] | None:
    """The transformation from the first image to the second, and the places of its inliers in both.

    None if no similarity has at least `fewest` inliers, or if it zooms by more than MAX_ZOOM.
    """
    a, b = (features.descriptor[row, : features.found[row]] for row in (first, second))
    here, there = (features.position[row, : features.found[row]] for row in (first, second))
    if mirrored:
        a, here = a[:, FLIPPED], here * [1, -1] + [0, features.height[first] - 1]
    similar = a.astype(np.float32) @ b.astype(np.float32).T
    nearest = similar.argmax(axis=1)
    rows = np.arange(len(a))
    kept = (similar.argmax(axis=0)[nearest] == rows) & (similar[rows, nearest] > MIN_SIMILARITY * LENGTH**2)
    here, there = here[kept].astype(np.float32), there[nearest[kept]]
    if len(here) < fewest:
        return None
    similarity, inlier = cv2.estimateAffinePartial2D(
        here, there, method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE, maxIters=1000, confidence=0.99
    )
    if similarity is None or inlier.sum() < fewest:
        return None
    here, there = here[inlier.ravel() > 0], there[inlier.ravel() > 0]
    zoom = determinant(similarity)  # of areas
    if not 1 / MAX_ZOOM**2 < zoom < MAX_ZOOM**2:
        return None
    affine = affine_between(here, there)
    plausible = affine is not None and 1 / 4 < abs(determinant(affine)) / zoom < 4  # noqa: PLR2004
    return (affine if affine is not None and plausible else similarity.astype(np.float64)), here, there


class _Appearance(NamedTuple):
    band: npt.NDArray[np.float32]  # the image without its finest and its coarsest detail
    frame: Mask

    @classmethod
    def of(cls, path: Path) -> "_Appearance":
        gray, _, frame = prepare(path)
        fine, coarse = (cv2.GaussianBlur(gray.astype(np.float32), (0, 0), sigma) for sigma in (1.5, 14))
        return cls(np.asarray(fine - coarse, dtype=np.float32), frame)

    def flipped(self) -> "_Appearance":
        return _Appearance(np.ascontiguousarray(self.band[::-1]), self.frame[::-1])


def _compare(
    first: _Appearance, second: _Appearance, transform: Affine, inliers: Places, min_overlap: float
) -> tuple[float, float]:
    """The share of cells of `second` in which `first` looks the same, overall and away from inliers; see `Match`.

    Both are 0 if less than `min_overlap` of the smaller view is within the other.

    Parameters: `transform` from the first to the second; `inliers` in the second.
    """
    height, width = second.band.shape
    moved = cv2.warpAffine(first.band, transform, (width, height))
    seen = cv2.warpAffine((~first.frame).astype(np.uint8), transform, (width, height)).astype(bool) & ~second.frame
    smaller = min(seen.size, first.frame.size * abs(determinant(transform)))
    if seen.sum() < min_overlap * smaller:
        return 0.0, 0.0
    near = {  # cells with an inlier, and those beside them
        (row + down, column + right)
        for column, row in (inliers // CELL).astype(int).tolist()
        for down, right in itertools.product((-1, 0, 1), repeat=2)
    }

    agree = {True: 0, False: 0}  # by whether the cell is near an inlier
    cells = {True: 0, False: 0}
    for top in range(0, height - CELL + 1, CELL):
        for left in range(0, width - CELL + 1, CELL):
            cell = slice(top, top + CELL), slice(left, left + CELL)
            reach = tuple(slice(max(part.start - REACH, 0), part.stop + REACH) for part in cell)
            if seen[reach].all() and varies(second.band[cell], TEXTURE) and varies(moved[cell], TEXTURE):
                correlation = cv2.matchTemplate(moved[reach], second.band[cell], cv2.TM_CCOEFF_NORMED)
                within = (top // CELL, left // CELL) in near
                cells[within] += 1
                agree[within] += int(correlation.max() > CORRELATION)
    total = cells[True] + cells[False]
    return (agree[True] + agree[False]) / max(total, 1), (agree[False] + 1) / (cells[False] + 1)
