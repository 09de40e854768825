import math

import pytest
import torch
from torchvision.transforms.functional import rotate

from dermascreen.model.augment import augment, normalise, scale, warp
from dermascreen.params import AugmentParams

STILL = AugmentParams(flip=False, rotation=0, brightness=0, contrast=0)
IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def flips(x: float, y: float) -> torch.Tensor:
    return torch.tensor([[x] * 3, [y] * 3])


def test_normalise_is_the_formula() -> None:
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    found = normalise(pixels, (0.5, 0.2, 0.0), (0.5, 0.1, 2.0))
    assert found.shape == (1, 3, 1, 1)
    torch.testing.assert_close(found.flatten(), torch.tensor([-1.0, 0.0, 0.5]))


def test_nothing_asked_changes_nothing() -> None:
    torch.testing.assert_close(augment(IMAGES, STILL), IMAGES)


@pytest.mark.parametrize(("x", "y", "axes"), [(-1, 1, [3]), (1, -1, [2]), (-1, -1, [2, 3])])
def test_flips_are_exact(x: float, y: float, axes: list[int]) -> None:
    torch.testing.assert_close(warp(IMAGES, torch.zeros(3), flips(x, y)), IMAGES.flip(axes), atol=1e-5, rtol=0)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_exact(quarters: int) -> None:
    turned = warp(IMAGES, torch.full((3,), quarters * math.pi / 2), flips(1, 1))
    torch.testing.assert_close(turned, IMAGES.rot90(quarters, (2, 3)), atol=1e-5, rtol=0)


def test_a_turn_agrees_with_torchvision_away_from_the_border() -> None:
    smooth = torch.nn.functional.interpolate(IMAGES, size=64, mode="bicubic").clamp(0, 1)
    angle = math.radians(30)
    ours = warp(smooth, torch.full((3,), angle), flips(1, 1))[..., 20:44, 20:44]
    theirs = rotate(smooth, 30, interpolation=2)[..., 20:44, 20:44]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_each_image_has_its_own_draw_and_a_seed_repeats_it() -> None:
    params = AugmentParams(flip=True, rotation=180, brightness=0.2, contrast=0.2)
    same = IMAGES[:1].expand(3, -1, -1, -1)
    torch.manual_seed(3)
    first = augment(same, params)
    torch.manual_seed(3)
    assert torch.equal(first, augment(same, params))
    assert not torch.equal(first, augment(same, params))
    assert not torch.equal(first[0], first[1])
    assert first.min() >= 0
    assert first.max() <= 1


def test_brightness_adds_and_contrast_multiplies_about_the_mean() -> None:
    torch.manual_seed(0)
    grey = torch.full((200, 3, 2, 2), 0.5)
    brighter = augment(grey, STILL.model_copy(update={"brightness": 0.2})) - 0.5
    assert brighter.flatten(1).std(1).max() < 1e-6
    assert 0.19 < brighter.max() <= 0.2
    assert -0.2 <= brighter.min() < -0.19
    halves = torch.tensor([0.4, 0.6]).expand(200, 3, 2, 2)
    spread = augment(halves, STILL.model_copy(update={"contrast": 0.5}))
    torch.testing.assert_close(spread.mean((1, 2, 3)), torch.full((200,), 0.5))
    width = spread[..., 1] - spread[..., 0]
    assert 0.29 < width.max() <= 0.3001
    assert 0.0999 <= width.min() < 0.11


def test_scale_moves_channels_first() -> None:
    pixels = torch.arange(24, dtype=torch.uint8).view(1, 2, 4, 3)
    assert torch.equal(scale(pixels)[0, :, 1, 2] * 255, torch.tensor([18.0, 19.0, 20.0]))
