"""The network in torch as maps need it: in evaluation mode, and in full 32 bits."""

import numpy as np
import numpy.typing as npt
import torch

from dermascreen.network.memory import keep_freed_memory
from dermascreen.network.model import Network
from dermascreen.network.pixels import normalise


def prepare(network: Network) -> Network:
    """The network in evaluation mode, on the GPU if there is one, in the memory format that suits convolutions best.

    From here on this process computes in 32 bits: a GPU would otherwise keep 10 of the 23 bits of a mantissa (TF32).
    """
    keep_freed_memory()
    torch.backends.cudnn.allow_tf32 = False  # not by torch's newer names, as torch.export reads these
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    return network.eval().to(_device(), memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def as_input(network: Network, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Images, uint8 (n, H, W, 3), as a network that is `prepare`d takes them: normalised, (n, 3, H, W)."""
    about = network.description
    return normalise(torch.from_numpy(pixels).to(_device()), about.mean, about.std)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
