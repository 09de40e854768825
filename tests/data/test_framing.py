"""Which part of a photograph the network sees, and how it becomes a square."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dermascreen.core.params import PreprocessParams
from dermascreen.data.photographs.framing import field_of_view, to_input


def preprocess(fit: str = "squash", view: str = "keep", size: int = 32) -> PreprocessParams:
    return PreprocessParams(image_size=size, fit=fit, field_of_view=view)


def skin(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(120, 220, (height, width, 3), dtype=np.uint8)


def disc(width: int, height: int, centre: tuple[float, float], radius: float) -> Image.Image:
    """Skin in a circle, and black around it."""
    y, x = np.mgrid[:height, :width] + 0.5
    inside = np.hypot(x - centre[0], y - centre[1]) <= radius
    return Image.fromarray(np.where(inside[..., None], skin(width, height), 8).astype(np.uint8))


def test_squash_is_a_plain_resize() -> None:
    image = Image.fromarray(skin(90, 60))
    expected = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR, reducing_gap=3.0))
    np.testing.assert_array_equal(to_input(image, preprocess()), expected)


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_a_square_photograph_is_the_same_in_all(fit) -> None:
    image = Image.fromarray(skin(70, 70))
    np.testing.assert_array_equal(to_input(image, preprocess(fit)), to_input(image, preprocess()))


@pytest.mark.parametrize("turned", [False, True])
def test_crop_takes_the_middle(turned) -> None:
    pixels = skin(96, 64)
    image, middle = Image.fromarray(pixels), Image.fromarray(pixels[:, 16:80])
    if turned:
        image, middle = (one.transpose(Image.Transpose.TRANSPOSE) for one in (image, middle))
    np.testing.assert_array_equal(to_input(image, preprocess("crop")), to_input(middle, preprocess()))


@pytest.mark.parametrize("turned", [False, True])
def test_pad_keeps_everything_and_its_proportions(turned) -> None:
    pixels = np.full((32, 64, 3), 100, dtype=np.uint8)
    pixels[8:24, 16:48] = 200
    image = Image.fromarray(pixels)
    found = to_input(image.transpose(Image.Transpose.TRANSPOSE) if turned else image, preprocess("pad", size=64))
    found = found.transpose(1, 0, 2) if turned else found
    np.testing.assert_array_equal(found[16:48], pixels)
    assert (found[:16] == 100).all()
    assert (found[48:] == 100).all(), "the bars have the colour of the edge"


@given(width=st.integers(1, 300), height=st.integers(1, 300), fit=st.sampled_from(["squash", "crop", "pad"]))
def test_any_photograph_becomes_a_square(width, height, fit) -> None:
    image = Image.fromarray(skin(width, height))
    assert to_input(image, preprocess(fit, "crop")).shape == (32, 32, 3)
    assert field_of_view(image) == (0, 0, width, height)


@pytest.mark.parametrize(
    ("size", "centre", "radius"),
    [((400, 300), (200, 150), 145), ((600, 450), (320, 220), 180), ((300, 400), (150, 200), 140)],
)
def test_the_field_of_view_is_found(size, centre, radius) -> None:
    image = disc(*size, centre, radius)
    expected = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
    assert np.abs(np.subtract(field_of_view(image), expected)).max() <= 0.02 * max(size)
    cut = to_input(image, preprocess(view="crop"))
    np.testing.assert_array_equal(cut, to_input(image.crop(field_of_view(image)), preprocess()))
    assert np.mean(cut.max(axis=2) < 32) < np.mean(to_input(image, preprocess()).max(axis=2) < 32)


def test_a_field_that_the_sensor_cuts_off_is_found() -> None:
    assert field_of_view(disc(400, 200, (200, 100), 150))[1::2] == (0, 200)


def test_a_dark_lesion_a_dark_corner_and_a_dark_photograph_are_no_surround() -> None:
    pixels = skin(200, 150)
    pixels[40:110, 50:150] = 5
    pixels[:30, :40] = 5
    assert field_of_view(Image.fromarray(pixels)) == (0, 0, 200, 150)
    assert field_of_view(Image.new("RGB", (80, 60))) == (0, 0, 80, 60)
    assert field_of_view(disc(200, 150, (100, 75), 12)) == (0, 0, 200, 150), "too small to be the field of view"


def test_hair_and_a_lesion_at_the_border_do_not_narrow_the_field() -> None:
    plain = disc(400, 300, (200, 150), 140)
    pixels = np.array(plain)
    pixels[100:200, 60:130] = 10
    pixels[150:154] = 8
    assert field_of_view(Image.fromarray(pixels)) == pytest.approx(field_of_view(plain), abs=12)
