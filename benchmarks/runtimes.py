"""Prediction as the project does it, by ONNX Runtime, beside eager torch and a compiled network.

`python benchmarks/runtimes.py --project FOLDER` predicts images of FOLDER/data/processed on the processor, `... --tta`
the eight views of each. The project runs each view alone on one thread, and as many images as there are cores at the
same time; torch runs an image after the other, its views together, on all cores. What another runtime gains has to pay
for its preparation, imports included: the last figure of a line is the number of images from which on it does. Weights
are those that are installed; the head is random.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from dermascreen.artifacts.dataset.images import Images, Pixels
from dermascreen.core.params import ModelParams, read_params
from dermascreen.network.export import export
from dermascreen.network.inference import as_input, prepare
from dermascreen.network.model import Network, build
from dermascreen.network.pixels import symmetries
from dermascreen.prediction.forward import ForwardPass, predict_logits

ROOT = Path(__file__).parents[1]
ROUNDS = 3
Run = Callable[[Pixels], np.ndarray]  # images to logits


def torch_run(network: Network, run: Callable[[torch.Tensor], torch.Tensor], tta: bool) -> Run:
    @torch.inference_mode()
    def one(image: Pixels) -> float:
        shown = as_input(network, image[np.newaxis].copy())
        views = torch.cat(list(symmetries(shown))) if tta else shown
        return run(views.contiguous(memory_format=torch.channels_last)).mean().item()

    return lambda pixels: np.array([one(image) for image in pixels])


def eager(network: Network, tta: bool) -> Run:
    return torch_run(network, network, tta)


def compiled(network: Network, tta: bool) -> Run:
    return torch_run(network, torch.compile(network, dynamic=False), tta)


def exported(network: Network, tta: bool) -> Run:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "network.onnx"
        export(network, file)
        ours = ForwardPass(file)
    return lambda pixels: predict_logits(ours, pixels, np.arange(len(pixels)), tta)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=ROOT)
    parser.add_argument("--architecture", default="tf_efficientnet_lite0")
    parser.add_argument("--weights", default="packaged")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--tta", action="store_true")
    given = parser.parse_args()
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}
    pixels = Images.open(given.project / "data/processed").pixels[: given.images]
    size = pixels.shape[1]
    torch.manual_seed(0)
    model = ModelParams(
        architecture=given.architecture, weights=given.weights, own_weights="data/weights", hidden=0, dropout=0.0
    )
    shipped = read_params(ROOT / "params.yaml")
    network = build(model, shipped.preprocess.model_copy(update={"image_size": size}))
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    print(f"{given.architecture}, {size} pixels, {len(pixels)} images, medians of {ROUNDS} rounds", flush=True)
    runs, ready, logits = {}, {}, {}
    for make in (exported, eager, compiled):
        began = time.perf_counter()
        run = make(prepare(network) if make is not exported else network, given.tta)
        run(pixels[:1])
        runs[make.__name__], ready[make.__name__] = run, time.perf_counter() - began
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):  # in turn, so that other work on the machine disturbs all alike
        for name, run in runs.items():
            began = time.perf_counter()
            logits[name] = run(pixels)
            rates[name].append(len(pixels) / (time.perf_counter() - began))
    base = float(np.median(rates["eager"]))
    for name in runs:
        rate = float(np.median(rates[name]))
        saved = 1 / base - 1 / rate  # seconds an image
        pays = f", pays from {ready[name] / saved:.0f} images" if saved > 0 else ""
        print(
            f"{8 if given.tta else 1} views, {name}: {rate:.2f} images/s ({rate / base:.2f}), ready after "
            f"{ready[name]:.1f} s, logits differ by {np.abs(logits[name] - logits['eager']).max():.1e} at most{pays}"
        )


if __name__ == "__main__":
    main()
