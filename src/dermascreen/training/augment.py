"""Augmentation of a batch in training: one warp and one affine map of colour for each image."""

import math
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import get_worker_info

from dermascreen.artifacts.dataset.images import Pixels
from dermascreen.core.params import AugmentParams
from dermascreen.core.threads import cores
from dermascreen.network.pixels import constant, scale

DRAWS = 10  # random numbers for one image
BEST_QUALITY = 100
GREY = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601


def recompress(pixels: Pixels, draws: npt.NDArray[np.float32], params: AugmentParams) -> Pixels:
    """Compress each image, uint8 (N, H, W, 3), as a JPEG of its own quality, from `params.jpeg` to 100.

    Works with all of the processor's cores, but with one in a process that reads ahead; takes about a millisecond of a
    core for an image of 224 pixels a side. See `augment` for `draws`.
    """
    qualities = (params.jpeg + draws[:, 7] * (BEST_QUALITY - params.jpeg)).round().astype(int).tolist()
    with ThreadPoolExecutor(1 if get_worker_info() else cores()) as pool:  # OpenCV works outside the interpreter lock
        return np.stack(list(pool.map(_saved_again, pixels, qualities)))


def _saved_again(image: Pixels, quality: int) -> Pixels:
    _, file = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])  # OpenCV's are BGR
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR_RGB))


def shrink(pixels: Tensor, size: int) -> Tensor:
    """Resize uint8 (N, H, W, 3) to (N, size, size, 3), each new pixel a weighted mean of those that it covers."""
    if pixels.shape[1] == size:
        return pixels
    images = pixels.permute(0, 3, 1, 2)
    if images.is_cuda:
        images = images.float()
    resized = functional.interpolate(images, (size, size), mode="bilinear", antialias=True)
    return resized.round().to(torch.uint8).permute(0, 2, 3, 1) if images.is_cuda else resized.permute(0, 2, 3, 1)


def augment(pixels: Tensor, draws: Tensor, params: AugmentParams) -> Tensor:
    """Flip, turn, zoom, recolour and blur each image by its row of `draws`, numbers in [0, 1) of shape (N, DRAWS).

    Takes uint8 (N, H, W, 3), gives floats in [0, 1], shape (N, 3, H, W). Flip, rotation and zoom are one bilinear warp
    about the centre that reflects at the border. Saturation, hue, contrast about the image's mean and brightness are
    one affine map of the colours.
    """
    images = scale(pixels)
    turn, across, down, brightness, contrast, saturation, hue, _, zoom, blurred = draws.to(images.device).unbind(1)
    if params.flip or params.rotation or params.zoom:
        flips = torch.stack([across, down]).lt(0.5) if params.flip else torch.zeros_like(torch.stack([across, down]))
        signs = 1 - 2 * flips.float()
        if params.zoom:
            signs = signs * torch.exp(_between(zoom, math.log1p(params.zoom)))
        images = warp(images, _between(turn, math.radians(params.rotation)), signs)
    images = recolour(
        images,
        brightness=_between(brightness, params.brightness),
        contrast=1 + _between(contrast, params.contrast),
        saturation=1 + _between(saturation, params.saturation) if params.saturation else None,
        hue=_between(hue, math.radians(params.hue)) if params.hue else None,
    )
    return blur(images, params.blur * blurred, params.blur) if params.blur else images


def warp(images: Tensor, angle: Tensor, flips: Tensor) -> Tensor:
    """Rotate by `angle` radians, shape (N,), after mirroring x and y where `flips`, shape (2, N), is -1.

    Where it is not 1 or -1, an image shows that many times as much of what is there: 2 halves the lesion.
    """
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    rows = [
        torch.stack([flips[0] * cos, flips[0] * -sin, zero], 1),
        torch.stack([flips[1] * sin, flips[1] * cos, zero], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def recolour(
    images: Tensor, *, brightness: Tensor, contrast: Tensor, saturation: Tensor | None, hue: Tensor | None
) -> Tensor:
    """Clamp contrast * (colour - mean) + mean + brightness to [0, 1], with each of shape (N,).

    First the colour is rotated by `hue` radians about the grey axis, which keeps the sum of the channels, and its
    distance from its own grey, the luma, is multiplied by `saturation`; None leaves it as it is. `mean` is the mean of
    the whole image.
    """
    if saturation is not None or hue is not None:
        images = torch.bmm(_mixing(images, saturation, hue), images.flatten(2)).view_as(images)
    mean = images.mean((1, 2, 3), keepdim=True)
    contrast, brightness = contrast.view(-1, 1, 1, 1), brightness.view(-1, 1, 1, 1)
    return torch.addcmul(mean * (1 - contrast) + brightness, images, contrast).clamp_(0, 1)


def blur(images: Tensor, sigma: Tensor, most: float) -> Tensor:
    """Blur each image, (N, C, H, W), by a Gaussian with its own standard deviation, shape (N,), of at most `most`.

    Borders are reflected; a deviation of 0 leaves an image as it is.
    """
    n, channels, height, width = images.shape
    radius = min(math.ceil(2.5 * most), min(height, width) - 1)
    apart = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    weights = torch.exp(-0.5 * (apart / sigma.clamp_min(1e-3).view(-1, 1)) ** 2)
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat = functional.pad(images, [radius] * 4, mode="reflect").reshape(1, n * channels, -1, width + 2 * radius)
    flat = functional.conv2d(flat, weights.view(n * channels, 1, -1, 1), groups=n * channels)
    flat = functional.conv2d(flat, weights.view(n * channels, 1, 1, -1), groups=n * channels)
    return flat.view_as(images)


def _mixing(images: Tensor, saturation: Tensor | None, hue: Tensor | None) -> Tensor:
    """Matrices, shape (N, 3, 3), to multiply a column of red, green and blue by."""
    mixing = torch.eye(3, device=images.device).expand(len(images), 3, 3)
    if hue is not None:  # Rodrigues' rotation about (1, 1, 1)
        cos, sin = hue.cos().view(-1, 1, 1), hue.sin().view(-1, 1, 1)
        cross = constant([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], mixing) / math.sqrt(3)
        mixing = cos * mixing + sin * cross + (1 - cos) / 3
    if saturation is not None:
        factor = saturation.view(-1, 1, 1)
        grey = constant(GREY, mixing).expand(3, 3)
        mixing = torch.bmm(factor * torch.eye(3, device=images.device) + (1 - factor) * grey, mixing)
    return mixing


def _between(draw: Tensor, limit: float) -> Tensor:
    return (2 * draw - 1) * limit
