"""The forward pass: images in, logits out, and the embeddings that they come from.

ONNX Runtime does it, on the processor whatever else a machine has, an image at a time on one thread, and several images
on as many threads. So a logit depends on its image alone, not on others or on the number of cores: 32-bit rounding
depends on the shape of a batch, and where a threshold equals a photograph's score, the last bit decides.
benchmarks/company.py measures that, and benchmarks/runtimes.py the speed.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dermascreen.artifacts.dataset.images import Pixels
from dermascreen.artifacts.model.exported import DESCRIPTION_KEY, EXPORTED, OUTPUTS, PIXELS, WEIGHTS_KEY, read_exported
from dermascreen.core.threads import cores, in_threads

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

    @property
    def weights_sha256(self) -> str | None:
        """The sha256 of the file of weights that the network was made from, if that is known."""
        return self._noted(WEIGHTS_KEY)

    @property
    def description_sha256(self) -> str | None:
        """The sha256 of the description of the network, if that is known."""
        return self._noted(DESCRIPTION_KEY)

    def _noted(self, key: str) -> str | None:
        found: str | None = self._session.get_modelmeta().custom_metadata_map.get(key)
        return found

    @property
    def size(self) -> int:
        """Pixels a side of an image."""
        return int(self._session.get_inputs()[0].shape[1])

    @property
    def features(self) -> int:
        """The length of an embedding."""
        return int(self._session.get_outputs()[1].shape[1])

    def __call__(self, image: Pixels, tta: bool = False) -> tuple[np.float32, Floats]:
        """The logit of malignant and the embedding, shape (d,), of an image, uint8 (size, size, 3).

        With `tta` (test-time augmentation) the logit is the mean over the eight symmetries of the square; the embedding
        is that of the image as it is.
        """
        seen = [self._run(view) for view in (symmetries(image) if tta else [image])]
        return np.mean([logit for logit, _ in seen], dtype=np.float32), seen[0][1]

    def _run(self, image: Pixels) -> tuple[np.float32, Floats]:
        logit, embedding = self._session.run(OUTPUTS, {PIXELS: np.ascontiguousarray(image[np.newaxis])})
        return logit[0], embedding[0]


def forward(network: ForwardPass, pixels: Pixels, tta: bool = False) -> Outputs:
    """The outputs for images, uint8 (n, size, size, 3)."""
    with ThreadPoolExecutor(cores()) as pool:
        seen = list(pool.map(lambda image: network(image, tta), pixels))
    logits, embeddings = [logit for logit, _ in seen], [embedding for _, embedding in seen]
    return Outputs(
        np.array(logits, dtype=np.float32),
        np.array(embeddings, dtype=np.float32).reshape(len(seen), network.features),
    )


def predict_logits(network: ForwardPass, pixels: Pixels, rows: Rows, tta: bool = False) -> Floats:
    """The logit of malignant for each of `rows` of `pixels`, uint8 (N, size, size, 3); shape (len(rows),)."""
    return np.array(in_threads(lambda row: network(pixels[row], tta)[0], rows, "predict"), dtype=np.float32)


def embed(network: ForwardPass, pixels: Pixels, rows: Rows) -> Floats:
    """The embedding of each of `rows` of `pixels`, uint8 (N, size, size, 3); shape (len(rows), d)."""
    found = in_threads(lambda row: network(pixels[row])[1], rows, "embed")
    return np.array(found, dtype=np.float32).reshape(len(rows), network.features)


def symmetries(image: Pixels) -> Iterator[Pixels]:
    """The eight turns and flips of a square image, (S, S, 3), beginning with itself."""
    for turns in range(4):
        turned = np.rot90(image, turns)
        yield turned
        yield turned[:, ::-1]


def sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """1 / (1 + exp(-logit)) in double precision, so that large logits keep their order."""
    return np.exp(-np.logaddexp(0.0, -logits.astype(np.float64)))
