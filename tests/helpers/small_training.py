"""A training of a moment: `python small_training.py FOLDER '{"epochs": 3}'` leaves result.pt.

The environment makes it end before: KILLED_STEP and SIGNAL send it that signal at so many of its own forward passes,
KILLED_RANK kills that process once there is a checkpoint. STILL leaves out what depends on the batch an image is in.
"""

import itertools
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dermascreen.artifacts.model.description import Description
from dermascreen.core.params import TrainParams, read_params
from dermascreen.core.program import reported
from dermascreen.core.stage import leads
from dermascreen.network.backbones import Layer
from dermascreen.training.batches import Split
from dermascreen.training.fit import fit
from dermascreen.training.module import Epoch

SHIPPED = read_params(Path(__file__).parents[2] / "params.yaml").train
PARAMS = SHIPPED.model_copy(
    update={
        "epochs": 3, "batch_size": 8, "lr": 0.01, "backbone_lr_factor": 0.5, "patience": 3, "precision": 32,
        "channels_last": False, "gradient_clip": 0.0,
    }
)  # fmt: skip


def with_params(**changes: object) -> TrainParams:
    """PARAMS with changes, checked as params.yaml is."""
    return TrainParams.model_validate(PARAMS.model_dump() | changes)


class Small(nn.Module):
    """What training asks of a network, in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.description = Description(
            architecture="small", weights="none", hidden=0, dropout=0.2, image_size=8,
            mean=(0.5,) * 3, std=(0.5,) * 3, classes=("benign", "malignant"),
        )  # fmt: skip
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(4, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.decide(self.backbone(images))

    def decide(self, features):
        return self.head(features).squeeze(1)

    @property
    def features(self) -> int:
        return 4

    def layers(self) -> tuple[Layer, ...]:
        return Layer("0", (self.backbone[0],)), Layer("1", (self.backbone[1],))


def small(seed: int = 0) -> Small:
    torch.manual_seed(seed)
    return Small()


def split(count: int, seed: int = 0) -> Split:
    """Malignant is darker, with some overlap."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pixels = random.integers(60, 255, (count, 8, 8, 3)) - 50 * labels[:, None, None, None]
    return Split(pixels.astype(np.uint8), np.arange(count), labels)


TRAIN, VAL = split(40), split(21, seed=1)  # so that two processes have val sets of different size


def still(seed: int = 0) -> Small:
    """A network in which an image's logit does not depend on the others of its batch, nor on chance."""
    network = small(seed)
    network.backbone[1] = nn.Identity()
    network.head[1].p = 0.0
    return network


def main(folder: Path, changes: dict[str, object]) -> None:

    def on_epoch(rows: list[Epoch]) -> None:
        print(json.dumps(rows[-1]), flush=True)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # as stages do
    network = still() if os.environ.get("STILL") else small()
    forward, steps = network.forward, itertools.count(1)

    def mortal(images: torch.Tensor) -> torch.Tensor:
        if str(next(steps)) == os.environ.get("KILLED_STEP"):
            os.kill(os.getpid(), signal.Signals[os.environ["SIGNAL"]])
        if os.environ.get("KILLED_RANK") == os.environ.get("LOCAL_RANK", "0") and (folder / "last.ckpt").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return forward(images)

    network.forward = mortal
    with reported("train"):
        history = fit(network, TRAIN, VAL, with_params(**changes), seed=0, checkpoints=folder, on_epoch=on_epoch)
        if leads():
            torch.save({"history": history.epochs, "state": network.state_dict()}, folder / "result.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
