"""The training images as the network sees them: which of them are near a photograph, and whether any is."""

import hashlib
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as serialise

from dermascreen.errors import BadTableError, MissingInputError
from dermascreen.files import read_json, replacing, write_json
from dermascreen.images.arrays import Images, Pixels
from dermascreen.model.inference import Floats
from dermascreen.tables import read_table, write_table

NEIGHBOUR = 10  # the distance to how manieth nearest training image says how unusual an image is
QUANTILE = 0.99  # of val's images are nearer than the limit
LARGEST = 20_000  # training images that are kept; more are drawn from

Distances = npt.NDArray[np.float64]


class Neighbour(NamedTuple):
    """A training image, and its distance."""

    path: str
    label: int
    distance: float
    digest: str  # of its pixels, as `digest_of` names them; empty for a model of a version that kept none


@dataclass(frozen=True)
class Reference:
    """Training images by their features; distances are 1 - cosine of the angle between two images' features.

    The distance to the k-th nearest training image tells images of another kind from those like val's (Sun and others
    2022, "Out-of-distribution detection with deep nearest neighbors", arXiv 2204.06507).
    """

    images: pd.DataFrame  # path, label and digest
    features: Floats  # of length 1; shape (len(images), FEATURES)
    limit: float  # beyond which the distance to the NEIGHBOUR-th nearest is unusual

    @classmethod
    def build(cls, images: pd.DataFrame, features: Floats, val: Floats, seed: int) -> Self:
        """The reference of training images (path, label, digest) with these `features`, shape (len(images), FEATURES).

        The limit is the distance that QUANTILE of the features of `val` keep within.
        """
        if len(images) > LARGEST:
            kept = np.sort(np.random.default_rng(seed).choice(len(images), LARGEST, replace=False))
            images, features = images.iloc[kept], features[kept]
        # As they are kept: in 16 bits.
        reference = cls(images.reset_index(drop=True), _unit(_unit(features).astype(np.float16)), np.inf)
        unusual = reference.unusualness(reference.distances(val))
        return cls(reference.images, reference.features, float(np.quantile(unusual, QUANTILE)))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what `write` wrote; what is missing or broken raises a DermascreenError."""
        file, table = folder / "features.safetensors", folder / "images.csv"
        images = read_table(table, ["path", "label"])
        images = images if "digest" in images else images.assign(digest="")
        try:
            features = load_file(file)["features"]
        except FileNotFoundError:
            raise MissingInputError(file) from None
        except (SafetensorError, KeyError):
            raise BadTableError(file, "does not hold the features of training images") from None
        if features.ndim != 2 or len(features) != len(images):  # noqa: PLR2004
            raise BadTableError(file, f"does not have a row for each image of {table}")
        return cls(images, _unit(features), read_json(folder / "limit.json").number("limit"))

    def write(self, folder: Path) -> None:
        with replacing(folder) as temporary:
            temporary.mkdir()
            content = serialise({"features": self.features.astype(np.float16)})
            (temporary / "features.safetensors").write_bytes(content)
            write_table(self.images[["path", "label", "digest"]], temporary / "images.csv")
            limit = {"limit": self.limit, "neighbour": self._neighbour, "quantile": QUANTILE}
            write_json(limit, temporary / "limit.json")

    @property
    def _neighbour(self) -> int:
        return min(NEIGHBOUR, len(self.images))

    def distances(self, features: Floats) -> Distances:
        """The distance of each of n images to each training image; shape (n, len(images)), from 0 to 2."""
        return np.clip(1.0 - (_unit(features) @ self.features.T).astype(np.float64), 0.0, 2.0)

    def unusualness(self, distances: Distances) -> Distances:
        """The distance to the NEIGHBOUR-th nearest training image; shape (n,)."""
        return np.asarray(np.partition(distances, self._neighbour - 1, axis=1)[:, self._neighbour - 1])

    def nearest(self, distances: Distances, label: int, count: int) -> list[Neighbour]:
        """The `count` training images of class `label` that are nearest by `distances`, shape (len(images),)."""
        of_class = np.flatnonzero(self.images["label"].eq(label))
        order = of_class[np.argsort(distances[of_class], kind="stable")[:count]]
        paths, digests = (self.images[column].iloc[order] for column in ("path", "digest"))
        return list(map(Neighbour, paths, itertools.repeat(label), distances[order].tolist(), digests))


def digest_of(pixels: Pixels) -> str:
    """A name for an image's pixels, uint8 (size, size, 3): other pixels, another name."""
    return hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest()


def find_pixels(near: Neighbour, images: Images) -> Pixels | None:
    """The pixels of a training image, if `images` hold one of the same path and of the very same pixels."""
    if near.path not in images.paths:
        return None
    pixels = images.pixels[images.rows([near.path])[0]]
    return pixels if digest_of(pixels) == near.digest else None


def _unit(features: npt.NDArray[np.floating]) -> Floats:
    """Each row divided by its length; zeros stay zeros."""
    wide = features.astype(np.float32)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), np.finfo(np.float32).tiny))
