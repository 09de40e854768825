"""The training images by their embeddings: which of them are near a photograph, and how novel it is."""

import hashlib
import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as deserialise
from safetensors.numpy import save as serialise

from dermascreen.artifacts.dataset.images import Images, Pixels
from dermascreen.artifacts.model.exported import AGAIN
from dermascreen.artifacts.model.reference import EMBEDDINGS, REFERENCE, NoveltyLimit, ReferenceImages
from dermascreen.core.errors import BadTableError, MissingInputError
from dermascreen.core.files import replacing
from dermascreen.core.hashes import sha256_of
from dermascreen.prediction.forward import Floats

K = 10  # the distance to the k-th nearest training image is the novelty score
QUANTILE = 0.99  # the share of val's images with a lower score than the limit
LARGEST = 20_000  # training images that are kept, at most: of more, some are drawn
CHUNK = 64  # images whose distances are computed together

Distances = npt.NDArray[np.float64]


class Neighbour(NamedTuple):
    """A training image, and its distance."""

    path: str
    label: int
    distance: float
    digest: str  # of its pixels


@dataclass(frozen=True)
class Reference:
    """Training images by their embeddings; distances are 1 - cosine of the angle between two embeddings.

    The distance to the k-th nearest training image, the k-nearest-neighbour novelty score, distinguishes images of
    another kind from those like val's (Sun and others 2022, "Out-of-distribution detection with deep nearest
    neighbors", arXiv 2204.06507).
    """

    images: ReferenceImages
    embeddings: Floats  # of length 1; shape (len(images), d)
    limit: float  # of the novelty score, above which an image is unlike those trained on
    network: str | None = None  # sha256 of the exported network that made the embeddings, where it is known

    @classmethod
    def build(cls, images: ReferenceImages, embeddings: Floats, val: Floats, network: str | None = None) -> Self:
        """The reference of training images with these `embeddings`, shape (len(images), d), by that `network`.

        The limit is the QUANTILE quantile of the novelty scores of the embeddings of `val`.
        """
        # Rounded to 16 bits, as they are stored.
        reference = cls(images, _unit(_unit(embeddings).astype(np.float16)), np.inf, network)
        return replace(reference, limit=float(np.quantile(reference.novelty_of(val), QUANTILE)))

    @classmethod
    def read(cls, folder: Path = REFERENCE) -> Self:
        """Read what `write` wrote; what is missing or broken raises a DermascreenError."""
        file, table = folder / EMBEDDINGS, folder / ReferenceImages.PATH.name
        images = ReferenceImages.read(table)
        try:
            embeddings = deserialise(file.read_bytes())["features"]
        except FileNotFoundError:
            raise MissingInputError(file) from None
        except (SafetensorError, KeyError):
            raise BadTableError(file, "does not hold the embeddings of training images") from None
        if embeddings.ndim != 2 or len(embeddings) != len(images):  # noqa: PLR2004
            raise BadTableError(file, f"does not have a row for each image of {table}")
        about = NoveltyLimit.read(folder / NoveltyLimit.PATH.name)
        for part, noted in ((file, about.embeddings), (table, about.images)):
            if noted not in (None, sha256_of(part)):
                raise BadTableError(part, f"does not belong to {folder / NoveltyLimit.PATH.name}", AGAIN)
        return cls(images, _unit(embeddings), about.limit, about.network)

    def write(self, folder: Path = REFERENCE) -> None:
        with replacing(folder) as temporary:
            temporary.mkdir()
            (temporary / EMBEDDINGS).write_bytes(serialise({"features": self.embeddings.astype(np.float16)}))
            self.images.write(temporary / ReferenceImages.PATH.name)
            limit = NoveltyLimit(
                limit=self.limit, k=self._k, quantile=QUANTILE, network=self.network,
                embeddings=sha256_of(temporary / EMBEDDINGS),
                images=sha256_of(temporary / ReferenceImages.PATH.name),
            )  # fmt: skip
            limit.write(temporary / NoveltyLimit.PATH.name)

    @property
    def _k(self) -> int:
        return min(K, len(self.images))

    def distances(self, embeddings: Floats) -> Distances:
        """The distance of each of n images to each training image; shape (n, len(images)), from 0 to 2."""
        return np.clip(1.0 - (_unit(embeddings) @ self.embeddings.T).astype(np.float64), 0.0, 2.0)

    def novelty(self, distances: Distances) -> Distances:
        """The k-nearest-neighbour novelty score: the distance to the K-th nearest training image; shape (n,)."""
        return np.asarray(np.partition(distances, self._k - 1, axis=1)[:, self._k - 1])

    def novelty_of(self, embeddings: Floats) -> Distances:
        """The novelty score of each of n images; the distances of only CHUNK of them are in memory at a time."""
        parts = np.split(embeddings, range(CHUNK, len(embeddings), CHUNK))
        return np.concatenate([self.novelty(self.distances(part)) for part in parts])

    def nearest(self, distances: Distances, label: int, count: int) -> list[Neighbour]:
        """The `count` training images of class `label` that are nearest by `distances`, shape (len(images),)."""
        of_class = np.flatnonzero(self.images.label == label)
        order = of_class[np.argsort(distances[of_class], kind="stable")[:count]]
        found = self.images[order]
        return list(map(Neighbour, found.path, itertools.repeat(label), distances[order].tolist(), found.digest))


def draw(label: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.intp]:
    """The places of the training images to keep, in order: all, or LARGEST of them that are drawn.

    Half of those are of each class, or all of the rarer one and the more of the other: the nearest image is shown of
    each. Parameters: `label`, of shape (n,).
    """
    if len(label) <= LARGEST:
        return np.arange(len(label))
    random, of_class = np.random.default_rng(seed), [np.flatnonzero(label == one) for one in (0, 1)]
    rare, other = sorted(of_class, key=len)
    few = min(len(rare), LARGEST // 2)
    kept = [random.choice(part, count, replace=False) for part, count in ((rare, few), (other, LARGEST - few))]
    return np.sort(np.concatenate(kept))


def digest_of(pixels: Pixels) -> str:
    """A digest of an image's pixels, uint8 (size, size, 3); different pixels have different digests."""
    return hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest()


def find_pixels(near: Neighbour, images: Images) -> Pixels | None:
    """The pixels of a training image, if `images` hold one of the same path and of the very same pixels."""
    if near.path not in images.paths:
        return None
    pixels = images.pixels[images.rows([near.path])[0]]
    return pixels if digest_of(pixels) == near.digest else None


def _unit(embeddings: npt.NDArray[np.floating]) -> Floats:
    """Each row divided by its length; zeros stay zeros."""
    wide = embeddings.astype(np.float32)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), np.finfo(np.float32).tiny))
