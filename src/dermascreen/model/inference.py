"""Images in, logits out."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from dermascreen.model.memory import keep_freed_memory
from dermascreen.model.network import Network, normalise


def predict_logits(
    network: Network, pixels: npt.NDArray[np.uint8], rows: npt.NDArray[np.intp], batch_size: int, tta: bool = False
) -> npt.NDArray[np.float32]:
    """The logit of malignant for each of `rows` of `pixels`, uint8 (N, H, W, 3); shape (len(rows),).

    With `tta` (test-time augmentation) the mean logit over the eight symmetries of the square; H must equal W.
    Computed in 32 bits in evaluation mode, on the GPU if there is one; holds one batch of pixels at a time.
    """
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    logits = np.empty(len(rows), dtype=np.float32)
    with torch.inference_mode(), tqdm(total=len(rows), desc="predict", unit="image", disable=None) as bar:
        for start in range(0, len(rows), batch_size):
            chosen = rows[start : start + batch_size]
            images = normalise(
                torch.from_numpy(pixels[chosen]).to(device), network.description.mean, network.description.std
            )
            views = symmetries(images) if tta else [images]
            logits[start : start + len(chosen)] = sum(network(view) for view in views).cpu().numpy() / (8 if tta else 1)
            bar.update(len(chosen))
    return logits


def symmetries(images: torch.Tensor) -> Iterator[torch.Tensor]:
    """The eight turns and flips of `images`, shape (N, C, S, S), beginning with themselves."""
    for turns in range(4):
        turned = images.rot90(turns, dims=(2, 3))
        yield turned
        yield turned.flip(3)


def sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """1 / (1 + exp(-logit)) in double precision, so that large logits keep their order."""
    return np.exp(-np.logaddexp(0.0, -logits.astype(np.float64)))
