"""What a batch of pixels goes through before the network: one warp and one affine map of colour an image."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from dermascreen.params import AugmentParams


def scale(pixels: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) to floats in [0, 1], shape (N, 3, H, W)."""
    return pixels.permute(0, 3, 1, 2).float() / 255


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 (N, H, W, 3) to what the network takes: (value / 255 - mean) / std by channel, shape (N, 3, H, W)."""
    return standardise(scale(pixels), mean, std)


def standardise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(images - mean) / std by channel; images in [0, 1], shape (N, 3, H, W)."""
    shift, spread = images.new_tensor([mean, std]).view(2, 1, 3, 1, 1)
    standard: Tensor = (images - shift) / spread
    return standard


def augment(images: Tensor, params: AugmentParams) -> Tensor:
    """Draw a flip, a rotation, a brightness and a contrast for each image, from torch's global generator.

    Takes and gives images in [0, 1], shape (N, 3, H, W). Flip and rotation are one bilinear warp about the centre that
    reflects at the border; brightness adds, contrast multiplies about the image's mean.
    """
    count = len(images)
    angle = _uniform(count, math.radians(params.rotation))
    flips = torch.where(torch.rand(2, count) < 0.5, -1.0, 1.0) if params.flip else torch.ones(2, count)  # noqa: PLR2004
    if params.flip or params.rotation:
        images = warp(images, angle.to(images.device), flips.to(images.device))
    brightness = _uniform(count, params.brightness).to(images.device).view(-1, 1, 1, 1)
    contrast = 1 + _uniform(count, params.contrast).to(images.device).view(-1, 1, 1, 1)
    mean = images.mean((1, 2, 3), keepdim=True)
    return ((images - mean) * contrast + mean + brightness).clamp(0, 1)


def warp(images: Tensor, angle: Tensor, flips: Tensor) -> Tensor:
    """Rotate by `angle` radians, shape (N,), after mirroring x and y where `flips`, shape (2, N), is -1."""
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    rows = [
        torch.stack([flips[0] * cos, flips[0] * -sin, zero], 1),
        torch.stack([flips[1] * sin, flips[1] * cos, zero], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _uniform(count: int, limit: float) -> Tensor:
    return (2 * torch.rand(count) - 1) * limit
