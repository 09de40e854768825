"""Arithmetic that gives the same result on every processor, for decisions that a split hangs on.

Libraries choose code by the processor that they find: products are summed in another order, or are rounded once
instead of twice. The last bits of a result then differ, and near a limit so does what follows from it. Here, OpenCV
runs the code that it has for all processors of an architecture; sums are of whole numbers that their type holds
exactly, in whatever order they are added; and the rest takes only operations that IEEE 754 rounds correctly.
"""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from dermascreen.core.threads import in_threads

STEPS = 64  # of a pixel or a grey level: to so much is rounded what is added up

Item = TypeVar("Item")
Result = TypeVar("Result")
Places = npt.NDArray[np.float32]  # shape (n, 2): x, y
Affine = npt.NDArray[np.float64]  # shape (2, 3)


@contextmanager
def plain_opencv() -> Generator[None]:
    """Within, OpenCV uses no instructions that only some processors have, and one thread for each call."""
    optimised, threads = cv2.useOptimized(), cv2.getNumThreads()
    cv2.setUseOptimized(False)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        cv2.setUseOptimized(optimised)


def in_plain_threads(function: Callable[[Item], Result], items: Iterable[Item], name: str, unit: str) -> list[Result]:
    """As `in_threads`, within `plain_opencv`: a part of its setting is of each thread, so that each has to make it.

    Nor do libraries start threads of their own, for these keep every core busy.
    """

    def prepare() -> None:
        cv2.setUseOptimized(False)
        threadpool_limits(1, "openmp")

    return in_threads(function, items, name, unit, prepare=prepare)


def varies(values: npt.NDArray[Any], least: float) -> bool:
    """Whether the standard deviation of `values`, rounded to a STEPS-th, is at least `least`."""
    whole = np.rint(values * STEPS).astype(np.int64)
    total = int(whole.sum())
    return bool(whole.size * int((whole**2).sum()) - total**2 >= (whole.size * least * STEPS) ** 2)


def determinant(transform: Affine) -> float:
    """Of the left square of an affine map: by how much it enlarges areas, negative if it mirrors them."""
    return float(transform[0, 0] * transform[1, 1] - transform[0, 1] * transform[1, 0])


def affine_between(here: Places, there: Places) -> Affine | None:
    """The affine map that takes `here` to `there` with the least squared error; None where all lie in a line.

    The normal equations are solved in Python's integers, so that each number is rounded once, at its division.
    """
    n, x, y = len(here), *(np.rint(places * STEPS).astype(np.int64) for places in (here, there))
    sum_x, sum_y = x.sum(axis=0), y.sum(axis=0)
    (a, b), (_, c) = (n * (x.T @ x) - np.outer(sum_x, sum_x)).tolist()
    scale = a * c - b * b
    if scale == 0:
        return None
    rows = []
    for (p, q), total in zip((n * (y.T @ x) - np.outer(sum_y, sum_x)).tolist(), sum_y.tolist(), strict=True):
        along, down = p * c - q * b, q * a - p * b
        offset = total * scale - along * int(sum_x[0]) - down * int(sum_x[1])
        rows.append([along / scale, down / scale, offset / (n * scale * STEPS)])
    return np.array(rows)
