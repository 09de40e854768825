"""From pixels to the network's input."""

from collections.abc import Sequence

from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def scale(pixels: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) to floats in [0, 1], shape (N, 3, H, W)."""
    return pixels.permute(0, 3, 1, 2).float() / 255


def standardise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(images - mean) / std by channel; images in [0, 1], shape (N, 3, H, W)."""
    shift, spread = images.new_tensor([mean, std]).view(2, 1, 3, 1, 1)
    standard: Tensor = (images - shift) / spread
    return standard


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 (N, H, W, 3) to the network's input: (value / 255 - mean) / std by channel, shape (N, 3, H, W)."""
    return standardise(scale(pixels), mean, std)
