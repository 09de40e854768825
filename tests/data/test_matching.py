"""What one lesion keeps when it is photographed again must join two images, and what two lesions share must not."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from dermascreen.data.lesions import index
from dermascreen.data.lesions.features import SIDE, prepare
from dermascreen.data.lesions.matching import find_matches

MIN_SCORE = 9.0


def lesion(seed: int) -> np.ndarray:
    """A dark patterned blot on patterned skin, uint8 (SIDE, SIDE, 3)."""
    rng = np.random.default_rng(seed)
    skin = cv2.resize(rng.normal(0, 1, (40, 40)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    spots = cv2.resize(rng.normal(0, 1, (28, 28)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    angle = np.arctan2(y, x)
    radius = 62 + sum(rng.normal(0, 9) * np.cos(k * angle + rng.uniform(0, 6)) for k in range(2, 6))
    inside = cv2.GaussianBlur((np.hypot(x, y) < radius).astype(np.float32), (0, 0), 2)
    gray = 175 + 6 * skin - inside * (70 + 14 * spots)
    return np.clip(gray[..., None] * np.array([0.8, 0.85, 1.1]), 0, 255).astype(np.uint8)


def ruler(image: np.ndarray) -> np.ndarray:
    image = image.copy()
    cv2.rectangle(image, (0, 196), (223, 223), (235, 235, 235), -1)
    for x in range(4, 224, 8):
        cv2.line(image, (x, 200), (x, 212 if x % 40 == 4 else 206), (20, 20, 20), 1)
    for number, x in enumerate(range(4, 224, 40)):
        cv2.putText(image, str(number), (x + 2, 221), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (20, 20, 20), 1)
    return image


def frame(image: np.ndarray) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(mask, (112, 112), 112, 255, -1, cv2.LINE_AA)
    return (image * (mask[..., None] / 255.0) + 4).clip(0, 255).astype(np.uint8)


def hair(image: np.ndarray) -> np.ndarray:
    image, rng = image.copy(), np.random.default_rng(5)
    along = np.linspace(0, 1, 40)[:, None]
    for _ in range(12):
        a, b, c = rng.integers(0, SIDE, (3, 2))
        curve = (1 - along) ** 2 * a + 2 * along * (1 - along) * b + along**2 * c
        cv2.polylines(image, [curve.astype(np.int32)], False, (30, 30, 40), 2, cv2.LINE_AA)
    return image


def watermark(image: np.ndarray) -> np.ndarray:
    return cv2.putText(
        image.copy(), "DermNet.com", (20, 205), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2, cv2.LINE_AA
    )


def crop(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image[30:200, 20:190], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def turn(image: np.ndarray) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((112, 112), 67, 1.0)
    return cv2.warpAffine(image, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)


def zoom(image: np.ndarray) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((112, 112), 0, 0.65)
    return cv2.warpAffine(image, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)


def colour(image: np.ndarray) -> np.ndarray:
    return np.clip(image * np.array([1.15, 0.85, 0.95]) + 12, 0, 255).astype(np.uint8)


def joined(folder, first: np.ndarray, second: np.ndarray) -> bool:
    cv2.imwrite(str(folder / "a.jpg"), first, [cv2.IMWRITE_JPEG_QUALITY, 92])
    cv2.imwrite(str(folder / "b.jpg"), second, [cv2.IMWRITE_JPEG_QUALITY, 75])
    return bool(find_matches(folder, ["a.jpg", "b.jpg"], MIN_SCORE))


@pytest.mark.parametrize(
    "again", [crop, turn, zoom, colour, np.flipud, np.fliplr, lambda i: turn(colour(np.fliplr(i)))]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_lesion_photographed_again_is_joined(tmp_path, again, seed) -> None:
    assert joined(tmp_path, lesion(seed), np.ascontiguousarray(again(lesion(seed))))


@pytest.mark.parametrize("shared", [ruler, frame, hair, watermark, lambda image: ruler(hair(frame(image)))])
@pytest.mark.parametrize("seed", [0, 2, 4])
def test_what_two_lesions_share_does_not_join_them(tmp_path, shared, seed) -> None:
    assert not joined(tmp_path, shared(lesion(seed)), shared(lesion(seed + 1)))


def test_a_lesion_is_joined_in_spite_of_a_ruler_in_one_of_the_images(tmp_path) -> None:
    assert joined(tmp_path, ruler(lesion(0)), turn(lesion(0)))


def in_a_dark_surround(image: np.ndarray) -> np.ndarray:
    small = cv2.resize(frame(image), (120, 120), interpolation=cv2.INTER_AREA)
    return cv2.copyMakeBorder(small, 52, 52, 80, 24, cv2.BORDER_CONSTANT, value=(4, 4, 4))


@pytest.mark.parametrize("seed", range(3))
def test_a_small_field_of_view_in_a_dark_surround_is_looked_at_closely(tmp_path, seed) -> None:
    cv2.imwrite(str(tmp_path / "small.png"), in_a_dark_surround(lesion(seed)))
    gray, _, _ = prepare(tmp_path / "small.png")
    assert abs(len(gray) - SIDE) <= 4
    assert (gray < 45).mean() < 0.25  # the corners beside the circle: of the photograph, three quarters are dark
    assert joined(tmp_path, lesion(seed), in_a_dark_surround(turn(lesion(seed))))
    assert not joined(tmp_path, in_a_dark_surround(lesion(seed)), in_a_dark_surround(lesion(seed + 1)))


def test_words_that_everything_shares_are_not_compared(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("dermascreen.data.lesions.index.MOST_POSTINGS", 0)
    assert not joined(tmp_path, lesion(0), turn(lesion(0)))


PLAIN = {  # what each library calls the code that runs on every processor
    "OPENCV_CPU_DISABLE": "SSE4.1,SSE4.2,POPCNT,SSSE3,AVX,FP16,AVX2,FMA3,AVX512-SKX",
    "OPENCV_IPP": "disabled",
    "OPENBLAS_CORETYPE": "Prescott",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "ATEN_CPU_CAPABILITY": "default",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
}
FIND = """
import os, pathlib, sys
if len(sys.argv) > 1 and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.cpu_count = lambda: 1
from dermascreen.data.lesions.matching import find_matches
print(*find_matches(pathlib.Path(), sorted(path.name for path in pathlib.Path().iterdir()), 6.0), sep="\\n")
"""


def test_the_same_is_found_on_every_processor_with_one_thread_or_many(tmp_path) -> None:
    rng = np.random.default_rng(0)
    for number in range(24):  # views that share less and less, so that some scores are near the limit
        seen = turn(colour(lesion(number))) if number % 2 else zoom(lesion(number))
        for name, image in (("a", lesion(number)), ("b", seen)):
            noisy = np.clip(image + rng.normal(0, 1 + number, image.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / f"{number:02}{name}.jpg"), noisy, [cv2.IMWRITE_JPEG_QUALITY, 85])
    found = [
        subprocess.run(
            [sys.executable, "-c", FIND, *one_thread],
            cwd=tmp_path, env=os.environ | settings, check=True, capture_output=True, text=True,
        )
        for settings, one_thread in (({}, []), (PLAIN, []), ({}, ["one"]))
    ]  # fmt: skip
    assert "unknown" not in found[1].stderr  # the name of a set of instructions
    assert found[0].stdout.count("Match(") > 10
    assert found[1].stdout == found[2].stdout == found[0].stdout


def test_each_pair_of_features_is_compared_once_and_a_long_word_hides_none(monkeypatch) -> None:
    monkeypatch.setattr(index, "MOST_POSTINGS", 3)
    words = np.array([[0, 0, 0, 0, 1, 1, 2, 2], [5, 5, 6, 7, 8, 8, 9, 4]], dtype=np.int32)
    flipped = np.arange(100, 108)  # words of their own
    codes = index.Codes(np.c_[words, [flipped, flipped]].astype(np.int32), np.zeros(16, dtype=np.uint64))
    length = np.stack([np.bincount(table)[table] for table in codes.words])
    image = np.tile(np.arange(8), 2)
    first, second = (index._alike(codes, length, table, image).T.tolist() for table in (0, 1))
    assert sorted(first) == [[4, 5], [6, 7]]  # word 0 is too long
    assert second == [[0, 1]]  # and 4, 5 were compared before


def test_hair_and_frame_are_found(tmp_path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), hair(frame(lesion(0))))
    gray, hairs, framed = prepare(tmp_path / "a.png")
    assert framed[0, 0]
    assert framed[-1, -1]
    assert not framed[60:160, 60:160].any()
    assert 0.02 < hairs.mean() < 0.3
    assert gray[hairs & ~framed].mean() > 60


def test_images_without_features_match_nothing(tmp_path) -> None:
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((50, 70, 3), 128, np.uint8))
    assert find_matches(tmp_path, ["a.png", "b.png"], MIN_SCORE) == []
    assert find_matches(tmp_path, [], MIN_SCORE) == []
