"""What is near, and what is far, among features that can be drawn on paper."""

import numpy as np
import pandas as pd
import pytest

from dermascreen.artifacts.dataset.images import Images
from dermascreen.artifacts.model.reference import ReferenceImages
from dermascreen.core.errors import BadTableError, DermascreenError
from dermascreen.prediction import reference
from dermascreen.prediction.reference import QUANTILE, Neighbour, Reference, digest_of, draw, find_pixels


def directions(*degrees: float, length: float = 1.0) -> np.ndarray:
    angles = np.radians(degrees)
    return (length * np.stack([np.cos(angles), np.sin(angles)], axis=1)).astype(np.float32)


def images(labels: list[int]) -> ReferenceImages:
    paths, digests = (
        np.array([form.format(n) for n in range(len(labels))], dtype=object) for form in ("{}.jpg", "d{}")
    )
    return ReferenceImages(paths, np.array(labels), digests)


@pytest.fixture
def known() -> Reference:
    return Reference.build(images([0, 1, 0, 1]), directions(0, 30, 60, 180, length=7.0), directions(10, 20))


def test_distances_are_one_minus_the_cosine_whatever_the_length(known) -> None:
    found = known.distances(directions(0, 90, length=3.0))
    expected = [[0, 1 - np.sqrt(3) / 2, 1 / 2, 2], [1, 1 / 2, 1 - np.sqrt(3) / 2, 1]]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_nearest_of_a_class_come_in_order(known) -> None:
    near = known.nearest(known.distances(directions(40))[0], label=0, count=5)
    assert [(one.path, one.label, one.digest) for one in near] == [("2.jpg", 0, "d2"), ("0.jpg", 0, "d0")]
    assert [one.distance for one in near] == pytest.approx(1 - np.cos(np.radians([20, 40])), abs=1e-3)


def test_the_limit_is_a_quantile_of_val(monkeypatch) -> None:
    monkeypatch.setattr(reference, "K", 2)
    val = directions(0, 10, 20, 25)
    known = Reference.build(images([0, 1, 0]), directions(0, 30, 120), val)
    second = 1 - np.cos(np.radians([30, 20, 20, 25]))
    np.testing.assert_allclose(known.novelty(known.distances(val)), second, atol=1e-3)
    assert known.limit == pytest.approx(np.quantile(second, QUANTILE), abs=1e-3)


def test_a_large_training_set_is_drawn_from(monkeypatch) -> None:
    monkeypatch.setattr(reference, "LARGEST", 50)
    label = np.array([0, 1] * 100)
    kept = draw(label, seed=0)
    assert kept.tolist() == draw(label, seed=0).tolist() == sorted(set(kept.tolist()))
    assert kept.tolist() != draw(label, seed=1).tolist()
    assert np.bincount(label[kept]).tolist() == [25, 25]
    assert draw(label[:50], seed=0).tolist() == list(range(50))


@pytest.mark.parametrize("rare", [0, 1])
def test_the_rarer_class_is_kept_whole(monkeypatch, rare: int) -> None:
    monkeypatch.setattr(reference, "LARGEST", 50)
    label = np.where(np.arange(2000) % 500 == 7, rare, 1 - rare)  # four of the rare one
    kept = draw(label, seed=0)
    assert len(kept) == 50
    assert (label[kept] == rare).sum() == 4


def test_novelty_is_that_of_all_distances_at_once(known, monkeypatch) -> None:
    shown = directions(*range(0, 150, 7))
    at_once = known.novelty(known.distances(shown))
    for chunk in (1, 4, 64):
        monkeypatch.setattr(reference, "CHUNK", chunk)
        np.testing.assert_allclose(known.novelty_of(shown), at_once, atol=1e-6)


def test_what_is_written_is_read_back(known, tmp_path) -> None:
    known.write(tmp_path / "reference")
    again = Reference.read(tmp_path / "reference")
    assert again.images.to_frame().equals(known.images.to_frame())
    np.testing.assert_array_equal(again.embeddings, known.embeddings)
    assert again.limit == known.limit


@pytest.mark.parametrize("name", ["features.safetensors", "images.csv", "limit.json"])
def test_a_missing_or_broken_file_is_named(known, tmp_path, name) -> None:
    folder = tmp_path / "reference"
    known.write(folder)
    file = folder / name
    file.write_bytes(b"broken")
    with pytest.raises(DermascreenError, match=name):
        Reference.read(folder)
    file.unlink()
    with pytest.raises(DermascreenError, match=f"{name} does not exist"):
        Reference.read(folder)


def test_features_of_other_images_are_refused(known, tmp_path) -> None:
    known.write(tmp_path / "reference")
    (tmp_path / "reference/images.csv").write_text("path,label,digest\n0.jpg,0,d0\n")
    with pytest.raises(BadTableError, match="does not have a row for each image"):
        Reference.read(tmp_path / "reference")


def test_a_training_image_is_known_by_its_pixels_and_not_by_its_name(tmp_path) -> None:
    paths = ["0.jpg", "1.jpg"]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    own = Images(tmp_path, pd.Index(paths), pixels)
    near = Neighbour("1.jpg", 0, 0.1, digest_of(pixels[1]))
    assert np.array_equal(find_pixels(near, own), pixels[1])
    assert find_pixels(near, Images(tmp_path, pd.Index(paths), pixels[::-1])) is None
    assert find_pixels(near, Images(tmp_path, pd.Index(paths[:1]), pixels[:1])) is None
