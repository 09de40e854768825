"""The forward pass: images in, logits out, and the embeddings that they come from.

ONNX Runtime does it, on the processor whatever else a machine has, an image at a time on one thread, and several images
on as many threads. So a logit depends on its image alone, not on others or on the number of cores: 32-bit rounding
depends on the shape of a batch, and where a threshold equals a photograph's score, the last bit decides.
benchmarks/company.py measures that, and benchmarks/runtimes.py the speed.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dermascreen.artifacts.dataset.images import Pixels
from dermascreen.artifacts.model.exported import EXPORTED, OUTPUTS, PIXELS, read_exported
from dermascreen.core.threads import in_threads

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]


class Outputs(NamedTuple):
    """What a network gives for n images."""

    logits: Floats  # shape (n,)
    embeddings: Floats  # outputs of the backbone, from which the head computes the logit; shape (n, d)


class ForwardPass:
    """A trained network, for inference alone; safe to call from several threads.

    Raises a DermascreenError if the file is missing or broken.
    """

    def __init__(self, file: Path = EXPORTED) -> None:
        self._session = read_exported(file)

    def __call__(self, image: Pixels) -> tuple[np.float32, Floats]:
        """The logit of malignant and the embedding, shape (d,), of an image, uint8 (size, size, 3)."""
        logit, embedding = self._session.run(OUTPUTS, {PIXELS: np.ascontiguousarray(image[np.newaxis])})
        return logit[0], embedding[0]

    def logit(self, image: Pixels, tta: bool) -> np.float32:
        """The logit; with `tta` (test-time augmentation) the mean over the eight symmetries of the square."""
        views = symmetries(image) if tta else [image]
        return np.mean([self(view)[0] for view in views], dtype=np.float32)


def forward(network: ForwardPass, pixels: Pixels, tta: bool = False) -> Outputs:
    """The outputs for images, uint8 (n, size, size, 3); embeddings are those of the images as they are."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        seen = list(pool.map(network, pixels))
        logits = list(pool.map(lambda image: network.logit(image, tta), pixels)) if tta else [one for one, _ in seen]
    return Outputs(np.array(logits, dtype=np.float32), np.array([embedding for _, embedding in seen]))


def predict_logits(network: ForwardPass, pixels: Pixels, rows: Rows, tta: bool = False) -> Floats:
    """The logit of malignant for each of `rows` of `pixels`, uint8 (N, size, size, 3); shape (len(rows),)."""
    return np.array(in_threads(lambda row: network.logit(pixels[row], tta), rows, "predict"), dtype=np.float32)


def embed(network: ForwardPass, pixels: Pixels, rows: Rows) -> Floats:
    """The embedding of each of `rows` of `pixels`, uint8 (N, size, size, 3); shape (len(rows), d)."""
    return np.array(in_threads(lambda row: network(pixels[row])[1], rows, "embed"))


def symmetries(image: Pixels) -> Iterator[Pixels]:
    """The eight turns and flips of a square image, (S, S, 3), beginning with itself."""
    for turns in range(4):
        turned = np.rot90(image, turns)
        yield turned
        yield turned[:, ::-1]


def sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """1 / (1 + exp(-logit)) in double precision, so that large logits keep their order."""
    return np.exp(-np.logaddexp(0.0, -logits.astype(np.float64)))
