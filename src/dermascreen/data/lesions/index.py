"""Which photographs may show one lesion: those with several similar features that agree on one rotation and zoom.

Features are assigned to words by product quantisation (Jegou and others 2011), and the features of a word are compared
by 64-bit signatures (Hamming embedding: Jegou and others 2008). As the number of words grows with the number of
features, the number of comparisons grows about linearly with the number of images. Two sets of words are used: what an
edge between words divides in one may be together in the other.

Words and signatures are of a descriptor's Walsh-Hadamard transform: whole numbers, the first of which hold most of what
differs, as principal components would, which could only be computed in fractions.
"""

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.linalg import hadamard
from sklearn.metrics import pairwise_distances_argmin

from dermascreen.data.lesions.arithmetic import in_plain_threads
from dermascreen.data.lesions.features import FLIPPED, KEYPOINTS, Descriptors, Features

POSTINGS = 60  # features in a word of the index, on average: with more features there are more words, not longer ones
MOST_POSTINGS = 2000  # what so many features share tells no lesion from another, and comparing them takes longest
SAMPLE = 60_000  # features from which the words are learnt
ROUNDS = 6  # of learning them
DIMENSIONS = 64  # of the transform, those that vary most; each is one bit of a signature
TABLES = (  # the dimensions of the two halves of a word
    (slice(0, 16), slice(16, 32)),
    (slice(0, 32, 2), slice(1, 32, 2)),
)
MAX_HAMMING = 13  # bits in which the signatures of features that vote may differ
TURN = 30  # degrees: the width of a vote's bins; of zoom it is one octave
MIN_VOTES = 3
BLOCK = 400  # images whose votes are counted together, so that memory need not hold all votes
MOST_CANDIDATES = 10  # of an image, so that a ruler in thousands of images does not propose every pair

PAIR = ["first", "second", "mirrored"]

Spectra = npt.NDArray[np.float64]  # whole numbers; shape (n, DIMENSIONS)


class Codes(NamedTuple):
    """The words of n features in each table, and their signatures."""

    words: npt.NDArray[np.int32]  # shape (tables, n)
    signature: npt.NDArray[np.uint64]  # shape (n,)


class Encoder(NamedTuple):
    """What turns descriptors into words and signatures."""

    axes: npt.NDArray[np.float32]  # 1 and -1; shape (128, DIMENSIONS)
    middle: npt.NDArray[np.float64]  # of each dimension, the median; shape (DIMENSIONS,)
    books: list[list[Spectra]]  # for each half of each table, the middles of its words

    @classmethod
    def learn(cls, sample: Descriptors, words: int) -> "Encoder":
        """From a sample of descriptors; `words` is the number for each half of a table."""
        transform = hadamard(sample.shape[1], dtype=np.float32)
        spectra = _spectra(sample, transform)
        middle = np.median(spectra, axis=0)
        spread = ((2 * (spectra - middle)) ** 2).sum(axis=0)  # whole, for a median may be half a number
        chosen = np.argsort(-spread, kind="stable")[:DIMENSIONS]
        books = [
            [_cluster(np.ascontiguousarray(spectra[:, chosen[half]]), words) for half in table] for table in TABLES
        ]
        return cls(transform[:, chosen], middle[chosen], books)

    def encode(self, descriptors: Descriptors) -> Codes:
        spectra = _spectra(descriptors, self.axes)
        words = []
        for table, books in zip(TABLES, self.books, strict=True):
            one, two = (
                pairwise_distances_argmin(np.ascontiguousarray(spectra[:, half]), book)
                for half, book in zip(table, books, strict=True)
            )
            words.append(one * len(books[1]) + two)
        bits = np.packbits(spectra > self.middle, axis=1)
        return Codes(np.array(words, dtype=np.int32), bits.view(np.uint64).ravel())


def _spectra(descriptors: Descriptors, axes: npt.NDArray[np.float32]) -> Spectra:
    return (descriptors.astype(np.float32) @ axes).astype(np.float64)


def _cluster(points: Spectra, count: int) -> Spectra:
    """The rounded means of `count` clusters of `points`, by Lloyd's algorithm; shape (count, dimensions)."""
    means = points[np.random.default_rng(0).choice(len(points), count, replace=False)]
    for _ in range(ROUNDS):
        nearest = pairwise_distances_argmin(points, means)
        size = np.bincount(nearest, minlength=count)[:, None]
        sums = np.stack([np.bincount(nearest, column, minlength=count) for column in points.T], axis=1)
        means = np.where(size > 0, np.rint(sums / np.maximum(size, 1)), means)
    return means


def candidates(features: Features) -> pd.DataFrame:
    """Pairs of images that may show one lesion; columns first, second, mirrored (of first, flipped upside down)."""
    image, slot = np.nonzero(np.arange(KEYPOINTS) < features.found[:, None])
    if len(image) == 0:
        return _most_voted([])
    codes = _encode(features.descriptor, image, slot)
    both = np.tile(image, 2)
    length = np.stack([np.bincount(words)[words] for words in codes.words])
    pairs = np.concatenate([_alike(codes, length, table, both) for table in range(len(TABLES))], axis=1)
    owner = image.astype(np.int32)
    first = np.minimum(owner[pairs[0]], owner[pairs[1] % len(image)])
    order = np.argsort(first, kind="stable")
    first, pairs = first[order], pairs[:, order]
    ends = np.searchsorted(first, np.arange(0, len(features.found) + BLOCK, BLOCK))
    keypoints = _Keypoints(image, features.angle[image, slot], features.size[image, slot])
    return _most_voted(
        [_votes(keypoints, *pairs[:, start:end]) for start, end in itertools.pairwise(ends) if end > start]
    )


def _encode(descriptor: Descriptors, image: npt.NDArray[np.intp], slot: npt.NDArray[np.intp]) -> Codes:
    """The codes of all features, and after them those of all features flipped."""
    sample = np.sort(np.random.default_rng(0).choice(len(image), min(SAMPLE, len(image)), replace=False))
    words = min(max(2, round((len(image) / POSTINGS) ** 0.5)), len(sample))
    encoder = Encoder.learn(descriptor[image[sample], slot[sample]], words)

    def part(start: int) -> tuple[Codes, Codes]:
        rows = descriptor[image[start : start + SAMPLE], slot[start : start + SAMPLE]]
        return encoder.encode(rows), encoder.encode(rows[:, FLIPPED])

    plain, flipped = zip(*in_plain_threads(part, range(0, len(image), SAMPLE), "words", "part"), strict=True)
    codes = [*plain, *flipped]
    return Codes(
        np.concatenate([code.words for code in codes], axis=1), np.concatenate([code.signature for code in codes])
    )


def _alike(
    codes: Codes, length: npt.NDArray[np.intp], table: int, image: npt.NDArray[np.intp]
) -> npt.NDArray[np.int32]:
    """Index pairs (one < two) of features of one word with similar signatures; shape (2, pairs).

    The second half of the rows are the flipped features of the first half. A flipped feature is paired with unflipped
    ones of later images; the other way round would count the same similarity twice. Pairs that were compared in a table
    before this one are left out.

    Parameters: how many features the word of each has in each table, `length`, shape (tables, features).
    """
    order = np.lexsort((codes.words[table], -length[table]))  # longest first: fewer and fewer rows have to be read
    order = order[length[table, order] <= MOST_POSTINGS]
    words, signature, short = codes.words[:, order], codes.signature[order], length[:, order] <= MOST_POSTINGS
    shorter = -length[table, order]  # ascending

    half = len(image) // 2

    def apart(step: int) -> npt.NDArray[np.int32]:
        """Pairs of a feature and the one that is this many places later in its word; shape (2, pairs)."""
        count = min(int(np.searchsorted(shorter, -step)), len(order) - step)
        near = np.bitwise_count(signature[:count] ^ signature[step : step + count]) <= MAX_HAMMING
        rows = np.flatnonzero(near & (words[table, :count] == words[table, step : step + count]))
        met = (words[:table, rows] == words[:table, rows + step]) & short[:table, rows]
        rows = rows[~met.any(axis=0)]
        one, two = np.sort([order[rows], order[rows + step]], axis=0)
        kept = (one < half) & np.where(two < half, image[one] != image[two], image[one] > image[two])
        return np.stack([one[kept], two[kept]]).astype(np.int32)

    pairs = in_plain_threads(apart, range(1, -int(shorter[0]) if len(shorter) else 0), "index", "step")
    return np.concatenate([np.empty((2, 0), dtype=np.int32), *pairs], axis=1)


class _Keypoints(NamedTuple):
    image: npt.NDArray[np.intp]
    angle: npt.NDArray[np.float32]
    size: npt.NDArray[np.float32]


def _votes(keypoints: _Keypoints, one: npt.NDArray[np.int32], two: npt.NDArray[np.int32]) -> pd.DataFrame:
    """Pairs of images whose fullest bin of rotation and zoom has MIN_VOTES; columns first, second, mirrored and votes.

    Bins overlap by half, so that similar votes are never divided by an edge.
    """
    image, angle, size = keypoints
    flipped, two = two >= len(image), two % len(image)
    forward = image[one] < image[two]
    one, two = np.where(forward, one, two), np.where(forward, two, one)
    votes = pd.DataFrame(
        {
            "first": image[one],
            "second": image[two],
            "mirrored": flipped,
            "turn": (angle[two] - np.where(flipped, -angle[one], angle[one])) % 360,  # a flip changes an angle's sign
            "zoom": size[two] / size[one],
        }
    )
    votes = votes[votes.groupby(PAIR, sort=False)["turn"].transform("size") >= MIN_VOTES]
    counted = []
    for turned, zoomed in itertools.product((0.0, 0.5), (1.0, 2**0.5)):
        turn = np.floor(votes["turn"] / TURN + turned).astype(int) % (360 // TURN)
        _, octave = np.frexp(votes["zoom"].to_numpy() * zoomed)  # a logarithm would be rounded as a library likes
        counted.append(votes.groupby([*PAIR, turn, octave], sort=False).size())
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
