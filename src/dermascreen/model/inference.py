"""Images in, logits out, and the features that they come from.

A logit is computed from its image alone, never in a batch with others: 32-bit arithmetic rounds by the shape of the
batch, and where a threshold is one photograph's own score, the last bit decides. benchmarks/company.py measures it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from dermascreen.model.memory import keep_freed_memory
from dermascreen.model.network import Network, normalise

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Look(NamedTuple):
    """What a network makes of n images."""

    logits: Floats  # shape (n,)
    features: Floats  # what the backbone gives, which the head decides from; shape (n, FEATURES)


def prepare(network: Network) -> Network:
    """The network in evaluation mode, on the GPU if there is one, in the memory format that convolutions like best.

    From here on this process computes in 32 bits: a GPU would otherwise keep 10 of the 23 bits of a mantissa (TF32).
    """
    keep_freed_memory()
    torch.backends.cudnn.allow_tf32 = False  # torch's newer names are not for whoever exports: torch.export reads these
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
def look(network: Network, pixels: Pixels, tta: bool = False) -> Look:
    """Show images, uint8 (n, H, W, 3), to a network that is `prepare`d, one after the other, in 32 bits.

    With `tta` (test-time augmentation) logits are means over the eight symmetries, for which H must equal W; features
    are those of the images as they are.
    """
    seen = [_look_at_one(network, image, tta) for image in pixels]
    return Look(np.array([logit for logit, _ in seen], dtype=np.float32), np.array([features for _, features in seen]))


def _look_at_one(network: Network, image: Pixels, tta: bool) -> tuple[np.float32, Floats]:
    shown = as_input(network, image[np.newaxis].copy())  # since the rows of a map of a file cannot be written to
    views = torch.cat(list(symmetries(shown))) if tta else shown
    features = network.backbone(views.contiguous(memory_format=torch.channels_last))
    return np.float32(network.decide(features).mean().item()), np.asarray(features[0].cpu())


def predict_logits(network: Network, pixels: Pixels, rows: npt.NDArray[np.intp], tta: bool = False) -> Floats:
    """The logit of malignant for each of `rows` of `pixels`, uint8 (N, H, W, 3); shape (len(rows),); as `look`."""
    network = prepare(network)
    shown = tqdm(rows, "predict", unit="image", disable=None)
    return np.array([look(network, pixels[row : row + 1], tta).logits[0] for row in shown], dtype=np.float32)


def extract_features(network: Network, pixels: Pixels, rows: npt.NDArray[np.intp], batch_size: int) -> Floats:
    """What the backbone gives for each of `rows` of `pixels`, uint8 (N, H, W, 3); shape (len(rows), FEATURES).

    In batches, since no decision hangs on the last bit of a distance.
    """
    network, found = prepare(network), []
    with tqdm(total=len(rows), desc="features", unit="image", disable=None) as bar:
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
