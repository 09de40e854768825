import numpy as np
import pytest
from networks import at
from PIL import Image

from dermascreen.artifacts.dataset.images import Images, write_pixels
from dermascreen.core.errors import BadTableError, MissingInputError
from dermascreen.data.photographs.decode import decode, decode_one


@pytest.fixture
def photographs(tmp_path):
    for number in range(5):
        Image.new("RGB", (40, 30), (number * 10, 20, 30)).save(tmp_path / f"{number}.png")
    return tmp_path


def test_decode_then_open_gives_the_pixels_by_path(photographs, monkeypatch) -> None:
    monkeypatch.setattr("dermascreen.artifacts.dataset.images.CHUNK", 2)
    paths = [f"{number}.png" for number in range(5)]
    decode(photographs, paths, at(16), photographs / "out")
    images = Images.open(photographs / "out")
    assert images.pixels.shape == (5, 16, 16, 3)
    assert images.pixels.dtype == np.uint8
    assert isinstance(images.pixels, np.memmap)
    rows = images.rows(["3.png", "0.png"])
    assert rows.tolist() == [3, 0]
    assert np.unique(images.pixels[rows][..., 0]).tolist() == [0, 30]
    assert images.pixels[3, 8, 8].tolist() == [30, 20, 30]


def test_grey_images_become_three_equal_channels(tmp_path) -> None:
    Image.new("L", (8, 8), 77).save(tmp_path / "grey.png")
    decode(tmp_path, ["grey.png"], at(32), tmp_path / "out")
    assert np.unique(Images.open(tmp_path / "out").pixels).tolist() == [77]


def test_a_path_that_was_not_decoded_is_named(photographs) -> None:
    decode(photographs, ["0.png"], at(16), photographs / "out")
    with pytest.raises(BadTableError, match=r"out/index\.csv lacks 7\.png;"):
        Images.open(photographs / "out").rows(["0.png", "7.png"])


@pytest.mark.parametrize("content", [b"", b"not an array"])
def test_a_broken_array_is_named(photographs, content: bytes) -> None:
    decode(photographs, ["0.png"], at(16), photographs / "out")
    (photographs / "out/images.npy").write_bytes(content)
    with pytest.raises(BadTableError, match=r"out/images\.npy is not an array; run"):
        Images.open(photographs / "out")


def test_rows_and_paths_must_be_as_many(photographs) -> None:
    decode(photographs, ["0.png"], at(16), photographs / "out")
    np.save(photographs / "out/images.npy", np.zeros((2, 16, 16, 3), np.uint8))
    with pytest.raises(BadTableError, match=r"images\.npy does not have a row for each path of .*index\.csv; run"):
        Images.open(photographs / "out")


def test_a_failure_leaves_what_was_there(photographs) -> None:
    decode(photographs, ["0.png"], at(16), photographs / "out")
    with pytest.raises(FileNotFoundError):
        decode(photographs, ["0.png", "absent.png"], at(16), photographs / "out")
    assert Images.open(photographs / "out").paths.tolist() == ["0.png"]
    assert not list(photographs.glob(".out*"))


def test_missing_arrays_say_what_to_run(tmp_path) -> None:
    with pytest.raises(MissingInputError, match=r"index.csv does not exist; check the path, or run"):
        Images.open(tmp_path)


def test_one_photograph_is_decoded_upright(tmp_path) -> None:
    exif, pixels = Image.Exif(), np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(decode_one(tmp_path / "a.png", at(16)), np.rot90(pixels, -1))


def test_written_pixels_are_whole_on_disk(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("dermascreen.artifacts.dataset.images.CHUNK", 2)
    pixels = write_pixels(tmp_path / "5.npy", list("01234"), 2, lambda path: np.full((2, 2, 3), int(path), np.uint8))
    assert pixels[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(np.load(tmp_path / "5.npy"), pixels)
