"""Maps and settings that give the same on every processor must also be the right ones."""

import contextlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermascreen.data.lesions.arithmetic import affine_between, determinant, in_plain_threads, plain_opencv, varies


@given(st.integers(0, 2**32 - 1), st.integers(3, 300))
def test_the_affine_map_is_the_least_squares_one(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    here = (rng.integers(0, 224 * 64, (n, 2)) / 64).astype(np.float32)
    there = (rng.integers(0, 224 * 64, (n, 2)) / 64).astype(np.float32)
    columns = np.c_[here, np.ones(n)].astype(float)
    if np.linalg.cond(columns) > 1e6:
        return
    expected, *_ = np.linalg.lstsq(columns, there.astype(float))
    assert affine_between(here, there) == pytest.approx(expected.T, rel=1e-6, abs=1e-6)


def test_places_in_a_line_have_no_affine_map() -> None:
    line = np.array([[0, 0], [1, 2], [2, 4], [3, 6]], dtype=np.float32)
    assert affine_between(line, line) is None


def test_a_determinant_tells_how_areas_change() -> None:
    turn = cv2.getRotationMatrix2D((50, 50), 33, 1.5)
    assert determinant(turn) == pytest.approx(2.25)
    assert determinant(np.array([[1.0, 0, 5], [0, -1, 7]])) == -1


def test_opencv_is_left_as_it_was() -> None:
    before = cv2.useOptimized(), cv2.getNumThreads()
    with contextlib.suppress(ZeroDivisionError), plain_opencv():
        assert (cv2.useOptimized(), cv2.getNumThreads()) == (False, 1)
        assert not any(in_plain_threads(lambda _: cv2.ipp.useIPP(), range(8), "threads", "thread"))
        _ = 1 / 0
    assert (cv2.useOptimized(), cv2.getNumThreads()) == before


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 40))
def test_varies_agrees_with_numpys_standard_deviation(seed: int, least: float) -> None:
    values = np.random.default_rng(seed).normal(100, 10, (28, 28)).astype(np.float32)
    deviation = values.astype(float).std()
    if abs(deviation - least) > 0.01:
        assert varies(values, least) == (deviation >= least)
    assert varies(np.zeros((3, 3), np.float32), 0)
    assert not varies(np.full((3, 3), 5, np.float32), 1e-6)
