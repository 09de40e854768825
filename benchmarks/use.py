"""The cost of maps and predictions beside the bare network.

`make peers`, then `.venv-peers/bin/python benchmarks/use.py`.

The network has random weights, and the photographs are JPEG files of noise and shapes. All ratios are of figures
measured in the same run, in rounds; pytorch-grad-cam is left out where it is not installed.
"""

import argparse
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from audit import photograph
from PIL import Image
from torch import Tensor

from dermascreen.artifacts.model.calibration import Calibration, ProbabilityIntervals
from dermascreen.artifacts.model.explanation import Explanation
from dermascreen.artifacts.model.reference import ReferenceImages
from dermascreen.artifacts.model.sweep import Sweep
from dermascreen.core.params import ModelParams, read_params
from dermascreen.evidence.calibration import probability_intervals
from dermascreen.evidence.operating_points import HighRecall, OperatingPoints, Point
from dermascreen.explanation.gradcam import explain
from dermascreen.explanation.maps import MapKind
from dermascreen.network.export import export
from dermascreen.network.inference import prepare
from dermascreen.network.model import Network, build
from dermascreen.network.pixels import normalise
from dermascreen.prediction.forward import ForwardPass
from dermascreen.prediction.predictor import Predictor
from dermascreen.prediction.reference import Reference
from dermascreen.serving.bundle import Bundle
from dermascreen.serving.photographs import BATCH_SIZE, Photograph, PhotographPredictor

PEER = "pytorch_grad_cam"
PREPROCESS = read_params(Path(__file__).parents[1] / "params.yaml").preprocess
ROUNDS = 3
KIND = MapKind("backbone.layer4")
SIDES = (600, 450)  # of a photograph's file
TRAINED_ON = 2000  # images that predicted ones are set beside


def clock(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def forward(network: Network, batches: list[Tensor]) -> None:
    with torch.inference_mode():
        for images in batches:
            network(images)


def theirs(network: Network, batches: list[Tensor]) -> np.ndarray:
    """The peer's maps of the same score, (N, H, W)."""
    from pytorch_grad_cam import GradCAM  # noqa: PLC0415

    network.requires_grad_(requires_grad=True)  # it finds no gradient otherwise
    with GradCAM(network, [network.get_submodule(KIND.layer)]) as cam:
        maps = [cam(input_tensor=images, targets=[lambda logit: logit] * len(images)) for images in batches]
    network.requires_grad_(requires_grad=False)
    return np.concatenate(maps)


def maps_cost(network: Network, pixels: np.ndarray, batches: list[Tensor]) -> None:
    rows, signs = np.arange(len(pixels)), np.ones(len(pixels))
    ours = partial(explain, network, KIND, pixels, rows, signs, batch_size=BATCH_SIZE)
    list(explain(network, KIND, pixels, rows[:BATCH_SIZE], signs, batch_size=BATCH_SIZE))  # warms up
    has_peer = importlib.util.find_spec(PEER) is not None
    for _ in range(ROUNDS):
        bare, own = clock(lambda: forward(network, batches)), clock(lambda: list(ours()))
        peer = f", {PEER} {clock(lambda: theirs(network, batches)) / own:.2f} times ours" if has_peer else ""
        print(f"maps: {len(rows) / own:.2f} images/s, {own / bare:.2f} times a forward pass{peer}", flush=True)
    if has_peer:
        pairs = zip(ours(), theirs(network, batches), strict=True)
        alike = [np.corrcoef(own.ravel(), peer.ravel())[0, 1] for (own, flat), peer in pairs if not flat]
        print(f"correlation of {len(alike)} maps with the peer's: {min(alike):.4f} at least")


def prediction_cost(network: Network, folder: Path, count: int, batches: list[Tensor]) -> None:
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(size=300), generator.integers(0, 2, 300)
    names = np.array([f"{n}.jpg" for n in range(TRAINED_ON)], dtype=object)
    known = ReferenceImages(names, np.arange(TRAINED_ON) % 2, names)
    features = generator.random((TRAINED_ON, network.features), dtype=np.float32)
    half, high_recall = Point(0.5, ""), HighRecall(0.2, "", 0.95, 0.95, True, True, 80, 1, 59)
    model = Predictor(folder)
    export(network, folder / "network.onnx")
    vars(model).update(  # in place of the files of a trained model
        network=ForwardPass(folder / "network.onnx"), description=network.description,
        calibration=Calibration(temperature=1.0, tta=False),
        intervals=ProbabilityIntervals.of(probability_intervals(labels, logits)),
        points=OperatingPoints(half, half, half, high_recall, None),
        reference=Reference.build(known, features, features[:200]),
        explanation=Explanation(layer=KIND.layer, variant="grad_cam", checks=[], failed=[]),
    )  # fmt: skip
    none = np.zeros(0, dtype=np.int64)
    predictor = PhotographPredictor(Bundle(model, Sweep(np.zeros(0), none, none, none, none), ""))
    (folder / "network.onnx").unlink()
    for number in range(count):
        photograph(folder, number)
    files = sorted(folder.rglob("*.*"))
    for file in files:
        with Image.open(file) as image:
            image.resize(SIDES).save(file, quality=90)
    photographs = [Photograph(file.name, file.read_bytes) for file in files]
    for _ in range(ROUNDS):
        bare, own = clock(lambda: forward(network, batches)), clock(lambda: list(predictor(photographs)))
        print(f"predicting files: {count / own:.2f} images/s, {bare / own:.2f} of the bare network's", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224, help="pixels a side that the network sees")
    parser.add_argument("--images", type=int, default=128)
    given = parser.parse_args()
    count = given.images // BATCH_SIZE * BATCH_SIZE
    torch.manual_seed(0)
    network = prepare(
        build(
            ModelParams(architecture="resnet50", weights="none", own_weights="data/weights", hidden=0, dropout=0.0),
            PREPROCESS.model_copy(update={"image_size": given.size}),
        )
    )
    network.requires_grad_(requires_grad=False)  # as it is loaded
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {given.size} pixels, batches of {BATCH_SIZE}")
    pixels = np.random.default_rng(0).integers(0, 256, (count, given.size, given.size, 3), dtype=np.uint8)
    about = network.description
    batches = [
        normalise(torch.from_numpy(part), about.mean, about.std) for part in np.split(pixels, count // BATCH_SIZE)
    ]
    forward(network, batches)
    maps_cost(network, pixels, batches)
    with tempfile.TemporaryDirectory() as folder:
        prediction_cost(network, Path(folder), count, batches)


if __name__ == "__main__":
    main()
