"""A map of nothing leaves its image alone, and a page gets each image whole."""

import base64
import io

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermascreen.artifacts.results.pictures import Pictures
from dermascreen.core.errors import BadTableError, ImageError, MissingInputError
from dermascreen.core.tables import write_table
from dermascreen.evidence.operating_points import Point
from dermascreen.explanation.drawing import overlay, save_image
from dermascreen.report.pictures import LARGEST, Picture, data_uri, read_pictures


def smooth(height, width):
    """An image that JPEG keeps almost as it is."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 255 / height, columns * 255 / width, np.full_like(rows, 90)], axis=2).astype(np.uint8)


def decoded(uri):
    start, content = uri.split(",")
    assert start == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_a_map_of_zeros_leaves_the_image_unchanged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    coloured = overlay(image, np.zeros((5, 7), dtype=np.float32))
    assert coloured.dtype == np.uint8
    np.testing.assert_array_equal(coloured, image)


def test_the_colour_is_as_strong_as_the_map() -> None:
    image = np.full((1, 3, 3), 200, dtype=np.uint8)
    coloured = overlay(image, np.array([[0, 0.5, 1]], dtype=np.float32))
    middle, end = (np.array(mpl.colormaps["viridis"](value)[:3]) * 255 for value in (0.5, 1.0))
    expected = [[200] * 3, 200 * 0.675 + middle * 0.325, 200 * 0.35 + end * 0.65]
    np.testing.assert_array_equal(coloured[0], np.rint(expected))


def test_an_image_is_saved_as_it_is(tmp_path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    save_image(image, tmp_path / "image.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "image.png")), image)


def test_a_data_uri_holds_the_image(tmp_path) -> None:
    image = smooth(64, 48)
    save_image(image, tmp_path / "image.png")
    assert np.abs(decoded(data_uri(tmp_path / "image.png")).astype(int) - image).mean() < 2
    assert data_uri(tmp_path / "image.png") == data_uri(tmp_path / "image.png")


def test_a_large_image_is_made_smaller_for_the_page(tmp_path) -> None:
    save_image(smooth(900, 600), tmp_path / "image.png")
    assert decoded(data_uri(tmp_path / "image.png")).shape == (LARGEST, LARGEST * 2 // 3, 3)


@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda _: b"no picture", lambda _: b""])
def test_a_picture_that_is_not_whole_is_named(tmp_path, damage) -> None:
    save_image(smooth(64, 48), tmp_path / "image.png")
    (tmp_path / "image.png").write_bytes(damage((tmp_path / "image.png").read_bytes()))
    with pytest.raises(ImageError, match=r"image\.png "):
        data_uri(tmp_path / "image.png")


def test_pictures_are_read_with_their_images(tmp_path) -> None:
    names = ["000.png", "000-map.png", "000-near_benign.png", "000-near_malignant.png"]
    for size, name in enumerate(names, start=8):
        save_image(smooth(size, size), tmp_path / name)
    record = ["test/benign/1,5.jpg", 0, 0.625, 0.5, 0.75, "fp", *names, True]
    write_table(pd.DataFrame([record], columns=[*Pictures.meanings()]), tmp_path / "pictures.csv")
    (picture,) = read_pictures(tmp_path)
    uris = [data_uri(tmp_path / name) for name in names]
    assert len(set(uris)) == len(uris)
    assert picture == Picture("test/benign/1,5.jpg", 0, 0.625, 0.5, 0.75, "fp", *uris, flat=True)
    assert (picture.actual, *(picture.called(Point(at, "a rule")) for at in (0.625, 0.626))) == (
        "benign", "malignant", "benign",
    )  # fmt: skip


def test_pictures_that_are_not_there_are_named(tmp_path) -> None:
    with pytest.raises(MissingInputError, match=r"pictures\.csv"):
        read_pictures(tmp_path)
    write_table(pd.DataFrame({"path": []}), tmp_path / "pictures.csv")
    with pytest.raises(BadTableError, match="'label'"):
        read_pictures(tmp_path)
