"""Which images are in a batch, and the random numbers of their augmentation; a function of seed and epoch alone.

A batch is what one step of the optimiser learns from. It is divided into parts: one for each process, or several one
after the other where a process accumulates. Every image is in one batch of each epoch, and batches differ in size by
at most one image. Draws belong to the image's place in the batch, so they do not depend on how many processes share it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from dermascreen.artifacts.dataset.images import CHUNK
from dermascreen.core.errors import TrainingError
from dermascreen.core.params import AugmentParams, TrainParams
from dermascreen.core.threads import cores
from dermascreen.training.augment import BEST_QUALITY, DRAWS, recompress

RESIDENT_SHARE = 0.5  # the share of a GPU's free memory that the images of a split may take
FIRST_DRAWS = 8  # of an image, from the generator that also draws the batches
WORKERS = 4  # processes, at most, that read ahead for a GPU: those that its memory cannot hold, or compressed ones


@dataclass(frozen=True)
class Split:
    """Labelled rows of an array of images: `pixels` uint8 (N, H, W, 3), `rows` and `labels` (0 or 1) of shape (n,)."""

    pixels: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.intp]
    labels: npt.NDArray[np.int64]


class Part(NamedTuple):
    """The share of a batch that one process computes at once."""

    places: npt.NDArray[np.intp]  # of its n images in the split
    draws: npt.NDArray[np.float32]  # (n, DRAWS), in [0, 1)
    kept: float  # the share of an image that mixup keeps
    weight: float  # so that the mean over the parts of weight * mean loss is the mean loss of the batch
    shown: bool = True  # whether its images are looked at, and not features that were kept of them


class Batch(NamedTuple):
    """A part with its images."""

    pixels: Tensor  # uint8 (n, H, W, 3)
    labels: Tensor  # (n,)
    places: Tensor  # (n,)
    draws: Tensor  # (n, DRAWS)
    kept: float
    weight: float


class Schedule(Sampler[Part]):
    """The parts of an epoch for process `process` of `processes`, step by step; Lightning sets the epoch."""

    def __init__(self, count: int, params: TrainParams, seed: int, process: int = 0, processes: int = 1) -> None:
        self.count = count
        self.params = params
        self.seed = seed
        self.process = process
        self.processes = processes
        self.epoch = 0
        self.steps = -(-count // params.batch_size)
        parts = params.accumulate * processes
        smallest = count // self.steps
        if smallest < 2 * parts:  # batch normalisation needs two
            raise TrainingError(
                f"With train.batch_size {params.batch_size}, the smallest batch of {count} training images has "
                f"{smallest}, so some of the {parts} parts that it is computed in would have fewer than two; raise it, "
                "or lower train.accumulate or train.devices."
            )

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps * self.params.accumulate

    def __iter__(self) -> Iterator[Part]:
        random = np.random.default_rng([self.seed, self.epoch])
        later = np.random.default_rng([self.seed, self.epoch, 1])  # for what was added since, so that old draws stay
        views, frozen = self.params.frozen_views, self.params.frozen_epochs
        shown = not (views and views <= self.epoch < frozen)
        for places in np.array_split(random.permutation(self.count), self.steps):
            draws = np.hstack(
                [
                    random.random((len(places), FIRST_DRAWS), dtype=np.float32),
                    later.random((len(places), DRAWS - FIRST_DRAWS), dtype=np.float32),
                ]
            )
            kept = random.beta(self.params.mixup, self.params.mixup) if self.params.mixup else 1.0
            parts = np.array_split(np.arange(len(places)), self.params.accumulate * self.processes)
            for part in parts[self.process :: self.processes]:
                weight = len(part) * len(parts) / len(places)
                yield Part(places[part], draws[part], max(kept, 1 - kept), weight, shown)


def every_once(count: int, batch_size: int, process: int = 0, processes: int = 1) -> list[Part]:
    """The parts of a split that is only predicted: each image in one process, in order, without augmentation."""
    places = np.arange(process, count, processes)
    parts = (places[start : start + batch_size] for start in range(0, len(places), batch_size))
    return [Part(part, np.empty((len(part), 0), np.float32), 1.0, 1.0) for part in parts]


class _Reader(Dataset[Batch]):
    """Reads a part at once, from the memory-mapped file, or from the GPU's memory if the whole split fits.

    Images to be compressed are compressed here, on the processor, so they always come from the file.
    """

    def __init__(self, split: Split, device: torch.device, augment: AugmentParams | None) -> None:
        self.split = split
        self.augment = augment if augment and augment.jpeg < BEST_QUALITY else None
        self.resident: Tensor | None = None
        if device.type == "cuda" and not self.augment:
            free, _ = torch.cuda.mem_get_info(device)
            if len(split.rows) * split.pixels[0].nbytes < free * RESIDENT_SHARE:
                self.resident = resident(split, device)

    def __getitem__(self, part: Part) -> Batch:
        small = (self.split.labels[part.places].astype(np.float32), part.places, part.draws)
        labels, places, draws = map(torch.from_numpy, small)
        if self.resident is None:
            pixels = self.split.pixels[self.split.rows[part.places]]
            if self.augment and part.shown:
                pixels = recompress(pixels, part.draws, self.augment)
            return Batch(torch.from_numpy(pixels), labels, places, draws, part.kept, part.weight)
        device = self.resident.device  # reached from pinned memory, so that the processor need not wait for the GPU
        labels, places, draws = (one.pin_memory().to(device, non_blocking=True) for one in (labels, places, draws))
        return Batch(self.resident[places], labels, places, draws, part.kept, part.weight)


def resident(split: Split, device: torch.device) -> Tensor:
    """The images of a split in the memory of a device, without a copy of all of them in the processor's."""
    images = torch.empty((len(split.rows), *split.pixels.shape[1:]), dtype=torch.uint8, device=device)
    for start in range(0, len(split.rows), CHUNK):
        images[start : start + CHUNK] = torch.from_numpy(split.pixels[split.rows[start : start + CHUNK]])
    return images


def loader(
    split: Split, parts: Schedule | list[Part], device: torch.device, augment: AugmentParams | None = None
) -> DataLoader[Any]:
    """Batches of `split`, one for each of `parts`, compressed by `augment`.

    They are read in this process, or ahead of a GPU where the processor has work to do for them.
    """
    reader = _Reader(split, device, augment)
    ahead = device.type == "cuda" and reader.resident is None
    return DataLoader(
        reader, sampler=parts, batch_size=None, pin_memory=ahead, num_workers=min(WORKERS, cores()) if ahead else 0,
        persistent_workers=ahead,
    )  # fmt: skip
