"""What decoding and the training engine cost as images grow in number: `.venv/bin/python benchmarks/scale.py`.

The photographs are a few hundred different ones under as many names as asked. The network is next to nothing, so that
all that grows with the data is seen: reading, augmentation, metrics. Memory is the largest anonymous memory of the
process, that is without the pages of files that the system may drop.
"""

import argparse
import math
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from audit import photograph
from torch import nn
from watching import watched

from dermascreen.artifacts.dataset.images import Images
from dermascreen.artifacts.model.description import Description
from dermascreen.core.params import PreprocessParams, read_params
from dermascreen.data.photographs.decode import decode
from dermascreen.network.backbones import Backbone
from dermascreen.network.model import Network
from dermascreen.network.pixels import IMAGENET_MEAN, IMAGENET_STD
from dermascreen.training.batches import Split
from dermascreen.training.fit import fit

DIFFERENT = 300
PARAMS = read_params(Path(__file__).parents[1] / "params.yaml")


def next_to_nothing(size: int) -> Network:
    """The mean of each colour, and a logit."""
    description = Description(
        architecture="mean", weights="none", hidden=0, dropout=0.0, image_size=size,
        mean=IMAGENET_MEAN, std=IMAGENET_STD, classes=("benign", "malignant"),
    )  # fmt: skip
    means = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Network(description, Backbone(means, 3, (), "", IMAGENET_MEAN, IMAGENET_STD, size))


def sized(size: int) -> PreprocessParams:
    return PARAMS.preprocess.model_copy(update={"image_size": size})


def measure_decoding(folder: Path, count: int, size: int) -> tuple[float, float]:
    with watched() as peak:
        began = time.perf_counter()
        decode(folder / "raw", [f"{number}.jpg" for number in range(count)], sized(size), folder / "processed")
        return time.perf_counter() - began, peak()


def measure_training(folder: Path, count: int, size: int) -> tuple[float, float]:
    torch.manual_seed(0)
    images = Images.open(folder / "processed")
    labels = np.arange(count) % 2
    rows = np.random.default_rng(0).permutation(count)
    train, val = (Split(images.pixels, part, labels[part]) for part in np.split(rows, [count * 4 // 5]))
    params = PARAMS.train.model_copy(update={"epochs": 2, "backbone_lr_factor": 1.0})
    ends: list[float] = []
    with watched() as peak:
        fit(
            next_to_nothing(size), train, val, params, seed=0, checkpoints=folder / "checkpoints",
            on_epoch=lambda _: ends.append(time.perf_counter()),
        )  # fmt: skip
        return ends[1] - ends[0], peak()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[3000, 30000])
    parser.add_argument("--size", type=int, default=128)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {given.size} pixels a side", flush=True)
    before: dict[str, tuple[int, float]] = {}
    for count in given.images:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "raw").mkdir()
            for number in range(DIFFERENT):
                photograph(folder / "raw", number)
            for number in range(DIFFERENT, count):
                os.link(folder / f"raw/{number % DIFFERENT}.jpg", folder / f"raw/{number}.jpg")
            for what, work in (("decoding", measure_decoding), ("an epoch", measure_training)):
                # A process of its own, so that one measurement's memory is not another's.
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                    seconds, peak = pool.submit(work, folder, count, given.size).result()
                print(f"{count:6} images: {what} {seconds:6.1f} s, {1000 * seconds / count:.2f} ms an image", end="")
                print(f", {peak:.2f} GiB", end="")
                if what in before:
                    fewer, faster = before[what]
                    print(f", time grows as n^{math.log(seconds / faster) / math.log(count / fewer):.2f}", end="")
                print(flush=True)
                before[what] = (count, seconds)


if __name__ == "__main__":
    main()
