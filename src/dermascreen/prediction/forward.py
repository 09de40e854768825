"""The forward pass: images in, logits out, and the embeddings that they come from.

A logit is computed from its image alone, never in a batch with others: 32-bit rounding depends on the shape of the
batch, and where a threshold equals a photograph's score, the last bit decides. benchmarks/company.py measures it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from dermascreen.artifacts.dataset.images import Pixels
from dermascreen.network.memory import keep_freed_memory
from dermascreen.network.model import Network
from dermascreen.network.pixels import normalise

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]


class Outputs(NamedTuple):
    """What a network gives for n images."""

    logits: Floats  # shape (n,)
    embeddings: Floats  # outputs of the backbone, from which the head computes the logit; shape (n, d)


def prepare(network: Network) -> Network:
    """The network in evaluation mode, on the GPU if there is one, in the memory format that suits convolutions best.

    From here on this process computes in 32 bits: a GPU would otherwise keep 10 of the 23 bits of a mantissa (TF32).
    """
    keep_freed_memory()
    torch.backends.cudnn.allow_tf32 = False  # not by torch's newer names, as torch.export reads these
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    return network.eval().to(_device(), memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def as_input(network: Network, pixels: Pixels) -> torch.Tensor:
    """Images, uint8 (n, H, W, 3), as a network that is `prepare`d takes them: normalised, (n, 3, H, W)."""
    about = network.description
    return normalise(torch.from_numpy(pixels).to(_device()), about.mean, about.std)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@torch.inference_mode()
def forward(network: Network, pixels: Pixels, tta: bool = False) -> Outputs:
    """The outputs of a `prepare`d network for images, uint8 (n, H, W, 3), one image at a time, in 32 bits.

    With `tta` (test-time augmentation) logits are means over the eight symmetries, for which H must equal W;
    embeddings are those of the images as they are.
    """
    seen = [_forward_one(network, image, tta) for image in pixels]
    return Outputs(
        np.array([logit for logit, _ in seen], dtype=np.float32), np.array([features for _, features in seen])
    )


def _forward_one(network: Network, image: Pixels, tta: bool) -> tuple[np.float32, Floats]:
    shown = as_input(network, image[np.newaxis].copy())  # a copy, since rows of a memory-mapped file are read-only
    views = torch.cat(list(symmetries(shown))) if tta else shown
    features = network.backbone(views.contiguous(memory_format=torch.channels_last))
    return np.float32(network.decide(features).mean().item()), np.asarray(features[0].cpu())


def predict_logits(network: Network, pixels: Pixels, rows: Rows, tta: bool = False) -> Floats:
    """The logit of malignant for each of `rows` of `pixels`, uint8 (N, H, W, 3); shape (len(rows),); as `forward`."""
    network = prepare(network)
    shown = tqdm(rows, "predict", unit="image", disable=None)
    return np.array([forward(network, pixels[row : row + 1], tta).logits[0] for row in shown], dtype=np.float32)


def embed(network: Network, pixels: Pixels, rows: Rows, batch_size: int) -> Floats:
    """The embedding of each of `rows` of `pixels`, uint8 (N, H, W, 3); shape (len(rows), d).

    In batches, since no decision depends on the last bit of a distance.
    """
    network, found = prepare(network), []
    with tqdm(total=len(rows), desc="embed", unit="image", disable=None) as bar:
        for start in range(0, len(rows), batch_size):
            chosen = rows[start : start + batch_size]
            with torch.inference_mode():
                found.append(network.backbone(as_input(network, pixels[chosen])).cpu().numpy())
            bar.update(len(chosen))
    return np.concatenate(found)


def symmetries(images: torch.Tensor) -> Iterator[torch.Tensor]:
    """The eight turns and flips of `images`, shape (N, C, S, S), beginning with themselves."""
    for turns in range(4):
        turned = images.rot90(turns, dims=(2, 3))
        yield turned
        yield turned.flip(3)


def sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """1 / (1 + exp(-logit)) in double precision, so that large logits keep their order."""
    return np.exp(-np.logaddexp(0.0, -logits.astype(np.float64)))
