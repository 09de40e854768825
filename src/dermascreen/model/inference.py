"""Images in, logits out, and the features that they come from."""

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
    """The network in evaluation mode, on the GPU if there is one, in the memory format that convolutions like best."""
    keep_freed_memory()
    return network.eval().to(_device(), memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def as_input(network: Network, pixels: Pixels) -> torch.Tensor:
    """Images, uint8 (n, H, W, 3), as a network that is `prepare`d takes them: normalised, (n, 3, H, W)."""
    about = network.description
    return normalise(torch.from_numpy(pixels).to(_device()), about.mean, about.std)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@torch.inference_mode()
def look(network: Network, pixels: Pixels, tta: bool = False) -> Look:
    """Show images, uint8 (n, H, W, 3), to a network that is `prepare`d, all at once, in 32 bits.

    With `tta` (test-time augmentation) logits are means over the eight symmetries, for which H must equal W; features
    are those of the images as they are.
    """
    images = as_input(network, pixels)
    features = network.backbone(images)
    logits = network.decide(features)
    if tta:
        _, *others = symmetries(images)
        logits = torch.stack([logits, *map(network, others)]).mean(0)
    return Look(logits.cpu().numpy(), features.cpu().numpy())


def look_at(network: Network, pixels: Pixels, rows: npt.NDArray[np.intp], batch_size: int, tta: bool) -> Iterator[Look]:
    """`look` at `rows` of `pixels`, a batch at a time, and show progress."""
    network = prepare(network)
    with tqdm(total=len(rows), desc="predict", unit="image", disable=None) as bar:
        for start in range(0, len(rows), batch_size):
            chosen = rows[start : start + batch_size]
            yield look(network, pixels[chosen], tta)
            bar.update(len(chosen))


def predict_logits(
    network: Network, pixels: Pixels, rows: npt.NDArray[np.intp], batch_size: int, tta: bool = False
) -> Floats:
    """The logit of malignant for each of `rows` of `pixels`, uint8 (N, H, W, 3); shape (len(rows),); as `look`."""
    seen = look_at(network, pixels, rows, batch_size, tta)
    return np.concatenate([np.empty(0, dtype=np.float32), *(part.logits for part in seen)])


def extract_features(network: Network, pixels: Pixels, rows: npt.NDArray[np.intp], batch_size: int) -> Floats:
    """What the backbone gives for each of `rows` of `pixels`, uint8 (N, H, W, 3); shape (len(rows), FEATURES)."""
    return np.concatenate([seen.features for seen in look_at(network, pixels, rows, batch_size, tta=False)])


def symmetries(images: torch.Tensor) -> Iterator[torch.Tensor]:
    """The eight turns and flips of `images`, shape (N, C, S, S), beginning with themselves."""
    for turns in range(4):
        turned = images.rot90(turns, dims=(2, 3))
        yield turned
        yield turned.flip(3)


def sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """1 / (1 + exp(-logit)) in double precision, so that large logits keep their order."""
    return np.exp(-np.logaddexp(0.0, -logits.astype(np.float64)))
