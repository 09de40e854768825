import math

import numpy as np
import pytest
import torch
from small_training import SHIPPED
from torchvision.transforms.functional import adjust_contrast, adjust_saturation, rotate

from dermascreen.core.params import AugmentParams
from dermascreen.network.pixels import normalise, scale
from dermascreen.training.augment import DRAWS, augment, blur, recolour, recompress, shrink, warp

STILL = AugmentParams(flip=False, rotation=0, brightness=0, contrast=0, saturation=0, hue=0, jpeg=100, zoom=0, blur=0)
ALL = AugmentParams(
    flip=True, rotation=180, brightness=0.2, contrast=0.2, saturation=0.2, hue=20, jpeg=50, zoom=0.3, blur=2
)
IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
PIXELS = torch.randint(0, 256, (3, 8, 8, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
NEUTRAL = {"brightness": torch.zeros(3), "contrast": torch.ones(3), "saturation": None, "hue": None}


def draw(count: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, DRAWS, generator=torch.Generator().manual_seed(seed))


def grey_pixels(value: int, count: int) -> torch.Tensor:
    return torch.full((count, 2, 2, 3), value, dtype=torch.uint8)


def flips(x: float, y: float) -> torch.Tensor:
    return torch.tensor([[x] * 3, [y] * 3])


def test_normalise_is_the_formula() -> None:
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    found = normalise(pixels, (0.5, 0.2, 0.0), (0.5, 0.1, 2.0))
    assert found.shape == (1, 3, 1, 1)
    torch.testing.assert_close(found.flatten(), torch.tensor([-1.0, 0.0, 0.5]))


def test_nothing_asked_changes_nothing() -> None:
    torch.testing.assert_close(augment(PIXELS, draw(), STILL), scale(PIXELS))
    assert shrink(PIXELS, 8) is PIXELS


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


def test_each_image_is_changed_by_its_own_row_of_draws_alone() -> None:
    same = PIXELS[:1].expand(3, -1, -1, -1)
    draws = draw()
    found = augment(same, draws, ALL)
    assert torch.equal(found, augment(same, draws, ALL))
    assert not torch.equal(found[0], found[1])
    torch.testing.assert_close(found[1:2], augment(same[1:2], draws[1:2], ALL))
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("name", ["flip", "rotation", "brightness", "contrast", "saturation", "hue", "zoom", "blur"])
def test_each_parameter_does_something_alone(name: str) -> None:
    alone = STILL.model_copy(update={name: getattr(ALL, name)})
    assert not torch.allclose(augment(PIXELS, draw(), alone), scale(PIXELS), atol=1e-3)


def test_a_flip_happens_to_half_in_each_direction() -> None:
    pixels = torch.arange(12, dtype=torch.uint8).view(1, 2, 2, 3).expand(400, -1, -1, -1)
    found = augment(pixels, draw(400), STILL.model_copy(update={"flip": True}))
    corners = (found[:, 0, 0, 0] * 255).round().long()
    counts = [int((corners == value).sum()) for value in (0, 3, 6, 9)]
    assert sum(counts) == 400
    assert min(counts) > 70


def test_brightness_adds_and_contrast_multiplies_about_the_mean() -> None:
    brighter = augment(grey_pixels(102, 200), draw(200), STILL.model_copy(update={"brightness": 0.2})) - 0.4
    assert brighter.flatten(1).std(1).max() < 1e-6
    assert 0.19 < brighter.max() <= 0.2001
    assert -0.2001 <= brighter.min() < -0.19
    halves = torch.tensor([102, 153], dtype=torch.uint8).view(1, 1, 2, 1).expand(200, 2, 2, 3)
    spread = augment(halves, draw(200), STILL.model_copy(update={"contrast": 0.5}))
    torch.testing.assert_close(spread.mean((1, 2, 3)), torch.full((200,), 0.5))
    width = spread[..., 1] - spread[..., 0]
    assert 0.29 < width.max() <= 0.3001
    assert 0.0999 <= width.min() < 0.11


@pytest.mark.parametrize("factor", [0.6, 1.3])
def test_saturation_agrees_with_torchvision(factor: float) -> None:
    ours = recolour(IMAGES, **NEUTRAL | {"saturation": torch.full((3,), factor)})
    # Its luma has another last digit than ITU-R BT.601's.
    torch.testing.assert_close(ours, adjust_saturation(IMAGES, factor), atol=2e-3, rtol=0)


def test_contrast_of_grey_images_agrees_with_torchvision() -> None:
    grey = IMAGES[:, :1].expand(-1, 3, -1, -1)
    ours = recolour(grey, **NEUTRAL | {"contrast": torch.full((3,), 1.2)})
    torch.testing.assert_close(ours, adjust_contrast(grey, 1.2), atol=1e-3, rtol=0)


def test_a_third_of_a_turn_of_hue_moves_the_channels_on_and_grey_stays() -> None:
    third = {"hue": torch.full((3,), 2 * math.pi / 3)}
    torch.testing.assert_close(recolour(IMAGES, **NEUTRAL | third), IMAGES[:, [2, 0, 1]])
    grey = torch.full((3, 3, 2, 2), 0.3)
    torch.testing.assert_close(recolour(grey, **NEUTRAL | {"hue": torch.full((3,), 1.0)}), grey)


def test_all_of_colour_at_once_is_one_after_the_other() -> None:
    images = 0.4 + 0.2 * IMAGES  # so that nothing is clamped
    some = {"saturation": torch.full((3,), 0.7), "hue": torch.full((3,), 0.3)}
    last = {"brightness": torch.full((3,), 0.05), "contrast": torch.full((3,), 1.2)}
    turned = recolour(images, **NEUTRAL | {"hue": some["hue"]})
    paler = recolour(turned, **NEUTRAL | {"saturation": some["saturation"]})
    torch.testing.assert_close(recolour(images, **some, **last), recolour(paler, **NEUTRAL | last))


def test_recompression_loses_detail_by_the_quality_drawn() -> None:
    draws = draw()
    draws[:, 7] = torch.tensor([0.0, 0.5, 1.0])
    pixels = PIXELS[:1].expand(3, -1, -1, -1).numpy()
    found = recompress(pixels, draws.numpy(), STILL.model_copy(update={"jpeg": 10}))
    assert (found.shape, found.dtype) == ((3, 8, 8, 3), np.uint8)
    lost = np.abs(found.astype(float) - pixels).mean((1, 2, 3))
    assert lost[0] > lost[1] > lost[2]


def test_shrinking_averages_what_it_covers() -> None:
    pixels = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    pixels[:, ::2] = 200  # stripes that plain bilinear sampling would take for one colour
    found = shrink(pixels, 2)
    assert found.shape == (1, 2, 2, 3)
    assert np.abs(found.numpy().astype(int) - 100).max() <= 30
    flat = torch.full((2, 8, 8, 3), 77, dtype=torch.uint8)
    assert torch.equal(shrink(flat, 4), flat[:, :4, :4])


def test_zoom_enlarges_and_reduces_a_centred_square_as_much_as_is_drawn() -> None:
    square = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    square[:, 12:20, 12:20] = 255  # 8 pixels a side
    twice = STILL.model_copy(update={"zoom": 1})
    draws = torch.full((3, DRAWS), 0.5)
    draws[:, 8] = torch.tensor([0.0, 0.5, 1.0])
    larger, same, smaller = augment(square.expand(3, -1, -1, -1), draws, twice)
    torch.testing.assert_close(same, scale(square)[0], atol=1e-5, rtol=0)
    for found, side in ((larger, 16), (smaller, 4)):
        start = 16 - side // 2
        inner, outer, wider = (slice(start - by, start + side + by) for by in (-1, 1, 4))
        torch.testing.assert_close(found[:, inner, inner], torch.ones(3, side - 2, side - 2), atol=1e-5, rtol=0)
        assert found[:, outer, outer].sum().item() == pytest.approx(3 * side**2, rel=0.02)
        assert found[:, wider, wider].sum().item() == pytest.approx(3 * side**2, rel=0.02)
    # Half of the whole scene again to each side: the square in the middle, and what is reflected of it at the border.
    assert smaller.sum().item() == pytest.approx(4 * 3 * 4**2, rel=0.02)


def test_zoom_enlarges_as_often_as_it_reduces_and_by_no_more_than_asked() -> None:
    square = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    square[:, 16:48, 16:48] = 255
    sizes = augment(square.expand(400, -1, -1, -1), draw(400), STILL.model_copy(update={"zoom": 0.25}))
    sides = sizes[:, 0].sum((1, 2)).sqrt() / 32
    assert 1 / 1.25 - 0.01 < sides.min() < 0.82
    assert 1.22 < sides.max() < 1.25 + 0.01
    assert sides.log().mean().abs() < 0.02


def test_zoom_does_not_change_what_a_flip_and_a_turn_do() -> None:
    flip = STILL.model_copy(update={"flip": True})
    draws = draw(8)
    draws[:, 8] = 0.5  # between enlarged and reduced
    pixels = torch.randint(0, 256, (8, 8, 8, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    torch.testing.assert_close(
        augment(pixels, draws, flip.model_copy(update={"zoom": 1})), augment(pixels, draws, flip)
    )


def test_blur_is_a_gaussian_of_each_images_own_width() -> None:
    point = torch.zeros(3, 2, 33, 33)
    point[:, :, 16, 16] = 1
    found = blur(point, torch.tensor([0.0, 1.0, 2.0]), 2.0)
    torch.testing.assert_close(found[0], point[0])
    apart = torch.arange(-16.0, 17.0)
    for sigma, image in zip((1.0, 2.0), found[1:], strict=True):
        profile = torch.exp(-0.5 * (apart / sigma) ** 2) * (apart.abs() <= 5)  # the kernel ends at 2.5 * 2 pixels
        profile /= profile.sum()
        torch.testing.assert_close(image, profile.outer(profile).expand(2, -1, -1))
        assert image.sum().item() == pytest.approx(2)


def test_blur_of_one_colour_is_that_colour_and_borders_are_reflected() -> None:
    flat = torch.full((2, 3, 8, 8), 0.3)
    torch.testing.assert_close(blur(flat, torch.tensor([0.5, 3.0]), 3.0), flat)
    edge = torch.zeros(1, 1, 9, 9)
    edge[..., 0] = 1
    # The border itself is not repeated: it is in the window of each pixel once.
    weights = torch.exp(-0.5 * torch.tensor([0.0, 1.0, 2.0]) ** 2)
    weights /= weights[0] + 2 * weights[1:].sum()
    torch.testing.assert_close(blur(edge, torch.ones(1), 0.8)[0, 0, 4, :3], weights)
    assert blur(torch.rand(1, 3, 4, 4), torch.tensor([9.0]), 10.0).shape == (1, 3, 4, 4)  # wider than the image


def test_blur_is_drawn_for_each_image_from_none_to_the_most_that_is_asked() -> None:
    most = STILL.model_copy(update={"blur": 2})
    draws = draw()
    draws[:, 9] = torch.tensor([0.0, 0.25, 1.0])
    found = augment(PIXELS, draws, most)
    torch.testing.assert_close(found, blur(scale(PIXELS), torch.tensor([0.0, 0.5, 2.0]), 2.0))
    torch.testing.assert_close(found[0], scale(PIXELS)[0])


def test_the_shipped_recipe_augments() -> None:
    assert not torch.allclose(augment(PIXELS, draw(), SHIPPED.augment), scale(PIXELS), atol=1e-3)


def test_scale_moves_channels_first() -> None:
    pixels = torch.arange(24, dtype=torch.uint8).view(1, 2, 4, 3)
    assert torch.equal(scale(pixels)[0, :, 1, 2] * 255, torch.tensor([18.0, 19.0, 20.0]))
