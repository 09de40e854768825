"""Photographs of one lesion, found by local features: SIFT (Lowe 2004), an inverted index, and geometric verification.

Things that photographs of different lesions may share must not join them. Hair and a dark frame are masked before
features are extracted. A ruler or a watermark matches as well as a lesion does, but only in one place; so a pair must
also agree in its other parts.

Coordinates are in pixels of an image whose longer side is `SIDE`; mirrored means flipped upside down.
"""

import itertools
import math
import os
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from dermascreen.core.tables import Names
from dermascreen.data.photographs.photograph import read_photograph

SIDE = 224  # pixels of the longer side
KEYPOINTS = 300  # the strongest of an image
CONTRAST = 0.01  # of a keypoint: low, because skin is smooth

FRAME_BRIGHTNESS = 45  # of 255: what is darker and connected to a corner is the instrument's frame
FRAME_MARGIN = 8  # pixels around the frame that are masked with it
HAIR_WIDTH = 9  # pixels: the closing that hides a hair
HAIR_CONTRAST = 20  # of 255: how much darker than its surroundings a hair is
HAIR_LENGTH = 40  # pixels

POSTINGS = 60  # features in a word of the index, on average: with more features there are more words, not longer ones
SAMPLE = 60_000  # features from which the words are learnt
DIMENSIONS = 64  # principal components, each one bit of a signature
MAX_HAMMING = 16  # bits in which the signatures of features that vote may differ
TURN, ZOOM = 30, 1.0  # widths of a vote's bins, in degrees and octaves
MIN_VOTES = 3
BLOCK = 2000  # images whose votes are counted together, so that memory need not hold all votes
MOST_CANDIDATES = 30  # of an image, so that a ruler in thousands of images does not propose every pair

MIN_SIMILARITY = 0.75  # cosine of two descriptors
TOLERANCE = 4.0  # pixels between a matched keypoint and its transformed place
MAX_ZOOM = 4.0
FEWEST_INLIERS = 6
MIN_OVERLAP = 0.25  # of the smaller view
MIN_OVERLAP_MIRRORED = 0.5  # mirror images are made on purpose; and a text at one edge matches itself at the other
CELL = 28  # pixels a side of the cells that are compared
REACH = 6  # pixels by which a cell may have moved
TEXTURE = 2.0  # standard deviation below which a cell is plain skin and says nothing
CORRELATION = 0.7  # from which cells agree
MIN_AGREEMENT = 0.4  # share of the cells
MIN_ELSEWHERE = 0.5  # share of the cells without an inlier

# A flip permutes a descriptor's 4 x 4 histograms of 8 directions, so the image need not be read again.
_FLIPPED = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()

PAIR = ["first", "second", "mirrored"]

Gray = npt.NDArray[np.uint8]  # shape (height, width)
Mask = npt.NDArray[np.bool_]
Codes = tuple[npt.NDArray[np.int32], npt.NDArray[np.uint64]]  # words and signatures, each of shape (features,)
T = TypeVar("T")


class Features(NamedTuple):
    """Keypoints and descriptors of N images; for image i, the first `found[i]` of KEYPOINTS rows are filled."""

    found: npt.NDArray[np.intp]  # (N,)
    height: npt.NDArray[np.intp]  # (N,)
    position: npt.NDArray[np.float32]  # (N, KEYPOINTS, 2): x, y
    octave: npt.NDArray[np.float32]  # (N, KEYPOINTS): log2 of the size
    angle: npt.NDArray[np.float32]  # (N, KEYPOINTS): degrees
    descriptor: npt.NDArray[np.uint8]  # (N, KEYPOINTS, 128); in a temporary file


class Match(NamedTuple):
    """A pair of images, first before second, and the evidence for it."""

    first: int
    second: int
    mirrored: bool
    inliers: int
    agreement: float  # share of the comparable cells that agree
    elsewhere: float  # the same among cells without an inlier, plus one agreeing cell

    @property
    def score(self) -> float:
        """The number of inliers times the share of the comparable cells that agree."""
        return self.inliers * self.agreement

    @property
    def agrees(self) -> bool:
        """Whether the two look alike in enough of what they have in common."""
        return self.agreement >= MIN_AGREEMENT and self.elsewhere >= MIN_ELSEWHERE


def find_matches(root: Path, paths: Names, min_score: float) -> list[Match]:
    """The pairs among images `paths` under `root` that show one lesion, with a score of at least `min_score`."""
    with threadpool_limits(1), tempfile.TemporaryFile() as file:  # our own threads keep every core busy
        features = extract(root, paths, file)
        return [match for match in verify(root, paths, features, candidates(features), min_score) if match.agrees]


def prepare(path: Path) -> tuple[Gray, Mask, Mask]:
    """Read an image as grey with its hairs covered, with masks of the hairs and of the instrument's frame."""
    gray = np.asarray(read_photograph(path).convert("L"))
    scale = SIDE / max(gray.shape)
    if scale != 1:
        shape = (max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale)))
        gray = np.asarray(cv2.resize(gray, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))
    hair, covered = _hair(gray)
    return np.where(hair, covered, gray), hair, _frame(gray)


def _hair(gray: Gray) -> tuple[Mask, Gray]:
    """Long dark lines, and the image with them covered; the idea of DullRazor (Lee and others 1997)."""
    covered = np.asarray(cv2.morphologyEx(gray, cv2.MORPH_CLOSE, np.ones((HAIR_WIDTH, HAIR_WIDTH), np.uint8)))
    dark = (covered - gray > HAIR_CONTRAST).astype(np.uint8)
    _, component, box, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
    long = np.hypot(box[:, cv2.CC_STAT_WIDTH], box[:, cv2.CC_STAT_HEIGHT]) > HAIR_LENGTH
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
    features = Features(
        found=np.zeros(len(paths), dtype=np.intp),
        height=np.zeros(len(paths), dtype=np.intp),
        position=np.zeros((*shape, 2), dtype=np.float32),
        octave=np.zeros(shape, dtype=np.float32),
        angle=np.zeros(shape, dtype=np.float32),
        descriptor=np.memmap(file, dtype=np.uint8, mode="w+", shape=(*shape, 128)),
    )

    def one(row: int) -> None:
        gray, hair, frame = prepare(root / paths[row])
        features.height[row] = len(gray)
        sift = cv2.SIFT.create(nfeatures=KEYPOINTS, contrastThreshold=CONTRAST)
        points, descriptors = sift.detectAndCompute(gray, np.where(hair | frame, 0, 255).astype(np.uint8))
        count = min(len(points), KEYPOINTS)  # SIFT returns a few more where strengths are equal
        if count:
            features.found[row] = count
            features.position[row, :count] = [point.pt for point in points[:count]]
            features.octave[row, :count] = np.log2([point.size for point in points[:count]])
            features.angle[row, :count] = [point.angle for point in points[:count]]
            features.descriptor[row, :count] = descriptors[:count]

    _run(one, range(len(paths)), "features", "image")
    return features


def candidates(features: Features) -> pd.DataFrame:
    """Pairs with several similar features that agree on one rotation and zoom; columns first, second, mirrored.

    Features are assigned to words by product quantisation (Jegou and others 2011), and the features of a word are
    compared by 64-bit signatures (Hamming embedding: Jegou and others 2008). As the number of words grows with the
    number of features, the number of comparisons grows about linearly with the number of images.
    """
    image, slot = np.nonzero(np.arange(KEYPOINTS) < features.found[:, None])
    if len(image) == 0:
        return _most_voted([])
    encode = _encoder(features.descriptor, image, slot)
    word, signature = encode(False)
    word_flipped, signature_flipped = encode(True)
    one, two = _alike(
        np.concatenate([word, word_flipped]), np.concatenate([signature, signature_flipped]), np.tile(image, 2)
    )

    first = np.minimum(image[one], image[two % len(image)])
    blocks = (
        _votes(features, image, slot, one[rows], two[rows])
        for start in range(0, len(features.found), BLOCK)
        if len(rows := np.flatnonzero((first >= start) & (first < start + BLOCK)))
    )
    return _most_voted(list(blocks))


def _votes(
    features: Features,
    image: npt.NDArray[np.intp],
    slot: npt.NDArray[np.intp],
    one: npt.NDArray[np.int32],
    two: npt.NDArray[np.int32],
) -> pd.DataFrame:
    """Pairs of images whose fullest bin of rotation and zoom has MIN_VOTES; columns first, second, mirrored and votes.

    Bins overlap by half, so that similar votes are never divided by an edge.
    """
    flipped, two = two >= len(image), two % len(image)
    forward = image[one] < image[two]
    one, two = np.where(forward, one, two), np.where(forward, two, one)
    angle, octave = features.angle[image, slot], features.octave[image, slot]
    votes = pd.DataFrame(
        {
            "first": image[one],
            "second": image[two],
            "mirrored": flipped,
            "turn": (angle[two] - np.where(flipped, -angle[one], angle[one])) % 360,  # a flip changes an angle's sign
            "zoom": octave[two] - octave[one],
        }
    )
    votes = votes[votes.groupby(PAIR, sort=False)["turn"].transform("size") >= MIN_VOTES]
    counted = []
    for turned, zoomed in itertools.product((0.0, 0.5), repeat=2):
        turn = np.floor(votes["turn"] / TURN + turned).astype(int) % (360 // TURN)
        zoom = np.floor(votes["zoom"] / ZOOM + zoomed).astype(int)
        counted.append(votes.groupby([*PAIR, turn, zoom], sort=False).size())
    best = pd.concat(counted).groupby(PAIR).max().rename("votes").reset_index()
    return best[best["votes"] >= MIN_VOTES]


def _most_voted(blocks: list[pd.DataFrame]) -> pd.DataFrame:
    """For each image the MOST_CANDIDATES pairs with most votes; columns first, second, mirrored."""
    if not blocks:
        return pd.DataFrame({name: [] for name in PAIR}).astype(int)
    best = pd.concat(blocks)
    ends = pd.concat([best.assign(image=best[end]) for end in ("first", "second")], ignore_index=True)
    rank = ends.sort_values("votes", ascending=False, kind="stable").groupby("image").cumcount()
    return ends.loc[rank[rank < MOST_CANDIDATES].index, PAIR].drop_duplicates().sort_values(PAIR, ignore_index=True)


def _encoder(
    descriptor: npt.NDArray[np.uint8], image: npt.NDArray[np.intp], slot: npt.NDArray[np.intp]
) -> Callable[[bool], Codes]:
    """Learn words and signatures from a sample of the features; return the function that computes them for any."""
    chosen = np.sort(np.random.default_rng(0).choice(len(image), min(SAMPLE, len(image)), replace=False))
    sample = _roots(descriptor[image[chosen], slot[chosen]])
    mean = sample.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov(sample, rowvar=False))
    axes = axes[:, : -DIMENSIONS - 1 : -1].astype(np.float32)  # the strongest first
    reduced = (sample - mean) @ axes
    middle = np.median(reduced, axis=0)
    count = min(max(2, round((len(image) / POSTINGS) ** 0.5)), len(reduced))  # for each of the two halves of a word
    halves = [slice(0, DIMENSIONS // 4), slice(DIMENSIONS // 4, DIMENSIONS // 2)]
    books = [MiniBatchKMeans(count, batch_size=4096, n_init=1, random_state=0).fit(reduced[:, half]) for half in halves]

    def encode(flipped: bool) -> Codes:
        word = np.empty(len(image), dtype=np.int32)
        signature = np.empty(len(image), dtype=np.uint64)
        for start in range(0, len(image), SAMPLE):
            part = slice(start, start + SAMPLE)
            rows = descriptor[image[part], slot[part]]
            reduced = (_roots(rows[:, _FLIPPED] if flipped else rows) - mean) @ axes
            first, second = (book.predict(reduced[:, half]) for book, half in zip(books, halves, strict=True))
            word[part] = first * count + second
            signature[part] = np.packbits(reduced > middle, axis=1).view(np.uint64).ravel()
        return word, signature

    return encode


def _roots(descriptor: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """RootSIFT (Arandjelovic and Zisserman 2012): Euclidean distance of roots is Hellinger's of histograms."""
    sums = descriptor.sum(axis=1, dtype=np.float32, keepdims=True)
    return np.asarray(np.sqrt(descriptor / np.maximum(sums, 1)), dtype=np.float32)


def _alike(
    word: npt.NDArray[np.int32], signature: npt.NDArray[np.uint64], image: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Index pairs (one < two) of features of one word with similar signatures.

    The second half of the rows are the flipped features of the first half. A flipped feature is paired with unflipped
    ones of later images; the other way round would count the same similarity twice.
    """
    length = np.bincount(word)[word]
    order = np.lexsort((word, -length))  # the longest words first, so that fewer and fewer rows have to be read
    word, signature, length = word[order], signature[order], length[order]

    half = len(order) // 2

    def apart(step: int) -> npt.NDArray[np.int32]:
        """Pairs of a feature and the one that is this many places later in its word; shape (2, pairs)."""
        count = min(int(np.searchsorted(-length, -step)), len(word) - step)
        near = np.bitwise_count(signature[:count] ^ signature[step : step + count]) <= MAX_HAMMING
        rows = np.flatnonzero(near & (word[:count] == word[step : step + count]))
        one, two = np.sort([order[rows], order[rows + step]], axis=0)
        kept = (one < half) & np.where(two < half, image[one] != image[two], image[one] > image[two])
        return np.stack([one[kept], two[kept]]).astype(np.int32)

    pairs = _run(apart, range(1, int(length[0])), "index", "step")
    one, two = np.concatenate([np.empty((2, 0), dtype=np.int32), *pairs], axis=1)
    return one, two


def verify(root: Path, paths: Names, features: Features, pairs: pd.DataFrame, min_score: float) -> Iterable[Match]:
    """Match the features of each pair, fit a map, and see whether the images agree under it.

    Drops pairs with a score below `min_score`; with too few inliers to reach it, the pixels are not even compared.
    """
    load = lru_cache(maxsize=256)(lambda row: _Appearance.of(root / paths[row]))
    fewest = max(FEWEST_INLIERS, math.ceil(min_score))
    rows = list(pairs.itertuples(index=False))

    def one(number: int) -> Match | None:
        first, second, mirrored = rows[number]
        fitted = _fit(features, first, second, mirrored, fewest)
        if fitted is None:
            return None
        transform, here, there = fitted
        appearance = load(first).flipped() if mirrored else load(first)
        overlap = MIN_OVERLAP_MIRRORED if mirrored else MIN_OVERLAP
        if np.linalg.det(transform[:, :2]) > 1:  # compare where both have detail: in the smaller of the two views
            inverse = cv2.invertAffineTransform(transform).astype(np.float64)
            agreement, elsewhere = _compare(load(second), appearance, inverse, here, overlap)
        else:
            agreement, elsewhere = _compare(appearance, load(second), transform, there, overlap)
        match = Match(int(first), int(second), bool(mirrored), len(fitted[1]), agreement, elsewhere)
        return match if match.score >= min_score else None

    return filter(None, _run(one, range(len(pairs)), "verify", "pair"))


def _fit(
    features: Features, first: int, second: int, mirrored: bool, fewest: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
    """The transformation from the first image to the second, shape (2, 3), and the places of its inliers in both.

    None if no similarity has at least `fewest` inliers, or if it zooms by more than MAX_ZOOM.
    """
    a, b = (features.descriptor[row, : features.found[row]] for row in (first, second))
    here, there = (features.position[row, : features.found[row]] for row in (first, second))
    if mirrored:
        a, here = a[:, _FLIPPED], here * [1, -1] + [0, features.height[first] - 1]
    similar = _unit(a) @ _unit(b).T
    nearest = similar.argmax(axis=1)
    rows = np.arange(len(a))
    kept = (similar.argmax(axis=0)[nearest] == rows) & (similar[rows, nearest] > MIN_SIMILARITY)
    here, there = here[kept].astype(np.float32), there[nearest[kept]]
    if len(here) < fewest:
        return None
    similarity, inlier = cv2.estimateAffinePartial2D(
        here, there, method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE, maxIters=1000, confidence=0.99
    )
    if similarity is None or inlier.sum() < fewest:
        return None
    here, there = here[inlier.ravel() > 0], there[inlier.ravel() > 0]
    zoom = np.hypot(similarity[0, 0], similarity[1, 0])
    if not 1 / MAX_ZOOM < zoom < MAX_ZOOM:
        return None
    affine = np.linalg.lstsq(np.c_[here, np.ones(len(here))], there, rcond=None)[0].T.astype(np.float64)
    area = abs(np.linalg.det(affine[:, :2])) / zoom**2
    return (affine if 1 / 4 < area < 4 else similarity), here, there  # noqa: PLR2004


def _unit(descriptor: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    vectors = descriptor.astype(np.float32)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1))


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
    first: _Appearance,
    second: _Appearance,
    transform: npt.NDArray[np.float64],
    inliers: npt.NDArray[np.float32],
    min_overlap: float,
) -> tuple[float, float]:
    """The share of cells of `second` in which `first` looks the same, overall and without inliers; see `Match`.

    Both are 0 if less than `min_overlap` of the smaller view is within the other.

    Parameters: `transform` from the first to the second, shape (2, 3); `inliers` in the second, shape (inliers, 2).
    """
    height, width = second.band.shape
    moved = cv2.warpAffine(first.band, transform, (width, height))
    seen = cv2.warpAffine((~first.frame).astype(np.uint8), transform, (width, height)).astype(bool) & ~second.frame
    smaller = min(seen.size, first.frame.size * abs(np.linalg.det(transform[:, :2])))
    if seen.sum() < min_overlap * smaller:
        return 0.0, 0.0
    occupied = set(map(tuple, (inliers // CELL).astype(int)[:, ::-1].tolist()))

    agree = {True: 0, False: 0}  # by whether the cell holds an inlier
    cells = {True: 0, False: 0}
    for top in range(0, height - CELL + 1, CELL):
        for left in range(0, width - CELL + 1, CELL):
            cell = slice(top, top + CELL), slice(left, left + CELL)
            reach = tuple(slice(max(part.start - REACH, 0), part.stop + REACH) for part in cell)
            if seen[reach].all() and min(second.band[cell].std(), moved[cell].std()) >= TEXTURE:
                correlation = cv2.matchTemplate(moved[reach], second.band[cell], cv2.TM_CCOEFF_NORMED)
                holds = (top // CELL, left // CELL) in occupied
                cells[holds] += 1
                agree[holds] += int(correlation.max() > CORRELATION)
    total = cells[True] + cells[False]
    return (agree[True] + agree[False]) / max(total, 1), (agree[False] + 1) / (cells[False] + 1)


def _run(function: Callable[[int], T], rows: range, name: str, unit: str) -> list[T]:
    """Call `function` for each of `rows` on all cores; OpenCV, Pillow and numpy work outside the interpreter lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(tqdm(pool.map(function, rows), name, len(rows), unit=unit, disable=None))
