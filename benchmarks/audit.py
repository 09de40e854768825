"""What finding photographs of the same lesion costs as their number grows, beside comparing every pair.

`.venv/bin/python benchmarks/audit.py --images 3000 10000 30000`. The photographs are clouds of random detail, as rich
in local features as the real ones; every tenth is another view of an earlier one: turned, nearer, in other colours.
"""

import argparse
import itertools
import math
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from dermascreen.core.params import AuditParams
from dermascreen.data.lesions.arithmetic import plain_opencv
from dermascreen.data.lesions.features import extract
from dermascreen.data.lesions.pairs import find_pairs
from dermascreen.data.lesions.verification import verify

SIDE = 224
EVERY = 10  # the last of so many is a view of the first of them
SAMPLE = 60  # images whose pairs are all compared
T = TypeVar("T")

PARAMS = AuditParams(max_distance=15, min_score=9.0)


def photograph(folder: Path, number: int) -> None:
    """Write photograph `number`: clouds whose detail falls with its frequency, as in nature."""
    view = number % EVERY == EVERY - 1
    rng = np.random.default_rng(number - EVERY + 1 if view else number)
    across = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    across[0, 0] = 1
    clouds = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(SIDE, SIDE))) / across**1.6, (SIDE, SIDE))
    gray = np.clip(150 + 30 * (clouds - clouds.mean()) / clouds.std(), 0, 255)
    tint = np.array([0.75, 0.85, 1.0])
    if view:
        turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), 40 + number % 300, 1.4)
        gray = cv2.warpAffine(gray, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
        tint = np.array([1.0, 0.8, 0.7])
    path = folder / f"{number}.jpg"
    cv2.imwrite(str(path), (gray[..., None] * tint).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])


def measure(images: int) -> dict[str, float]:
    """Seconds and peak memory of `find_pairs`, and the share of the views it finds; in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in tqdm(range(images), "draw", unit="image"):
            photograph(folder, number)
        paths = [f"{number}.jpg" for number in range(images)]
        start = time.perf_counter()
        pairs = find_pairs(folder, paths, paths, np.zeros(images, dtype=int), PARAMS, declared=[""] * images)
        seconds = time.perf_counter() - start
    found = set(zip(pairs.path_a, pairs.path_b, strict=True))
    views = {(f"{number - EVERY + 1}.jpg", f"{number}.jpg") for number in range(EVERY - 1, images, EVERY)}
    return {
        "seconds": seconds,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "recall": len(found & views) / len(views),
        "false": len(found - views),
    }


def every_pair() -> float:
    """Seconds a pair, where every pair of SAMPLE images is matched."""
    with (
        tempfile.TemporaryDirectory() as name,
        tempfile.TemporaryFile() as file,
        threadpool_limits(1),  # as in the audit
        plain_opencv(),
    ):
        folder, paths = Path(name), [f"{number}.jpg" for number in range(SAMPLE)]
        for number in range(SAMPLE):
            photograph(folder, number)
        features = extract(folder, paths, file)
        pairs = pd.DataFrame(itertools.combinations(range(SAMPLE), 2), columns=["first", "second"])
        start = time.perf_counter()
        list(verify(folder, paths, features, pairs.assign(mirrored=False), PARAMS.min_score))
        return (time.perf_counter() - start) / len(pairs)


def alone(function: Callable[..., T], *arguments: int) -> T:
    """What `function` returns in a fresh process, whose memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[3000, 10000, 30000])
    sizes = parser.parse_args().images
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    one = alone(every_pair)
    print(f"every pair, without an index: {1000 * one:.2f} ms a pair (measured on {SAMPLE} images)")
    before: tuple[int, float] | None = None
    for images in sizes:
        found = alone(measure, images)
        seconds = found["seconds"]
        text = f"{images:6} images: {seconds:7.1f} s, {1000 * seconds / images:5.1f} ms an image, "
        text += f"{found['memory']:.2f} GiB, views found {found['recall']:.3f}, false pairs {found['false']}, "
        text += f"{one * math.comb(images, 2) / seconds:7.1f} times as fast as every pair"
        if before:
            growth = math.log(seconds / before[1]) / math.log(images / before[0])
            text += f", time grows as n^{growth:.2f}"
        print(text, flush=True)
        before = images, seconds


if __name__ == "__main__":
    main()
