"""From pixels to the network's input."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def constant(values: Sequence[float] | Sequence[Sequence[float]] | float, like: Tensor) -> Tensor:
    """`values` with the type and on the device of `like`, copied so that the processor need not wait for a GPU."""
    made = torch.tensor(values, dtype=like.dtype)
    return made.pin_memory().to(like.device, non_blocking=True) if like.is_cuda else made


def symmetries(images: Tensor, sides: tuple[int, int] = (2, 3)) -> Iterator[Tensor]:
    """The eight turns and flips of square `images`, such as (N, C, S, S), beginning with themselves; `sides` are S."""
    for turns in range(4):
        turned = images.rot90(turns, dims=sides)
        yield turned
        yield turned.flip(sides[1])


def scale(pixels: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) to floats in [0, 1], shape (N, 3, H, W)."""
    return pixels.permute(0, 3, 1, 2).float() / 255


def standardise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(images - mean) / std by channel; images in [0, 1], shape (N, 3, H, W)."""
    shift, spread = constant([mean, std], images).view(2, 1, 3, 1, 1)
    standard: Tensor = (images - shift) / spread
    return standard


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 (N, H, W, 3) to the network's input: (value / 255 - mean) / std by channel, shape (N, 3, H, W)."""
    return standardise(scale(pixels), mean, std)
