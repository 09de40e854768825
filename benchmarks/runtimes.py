"""Prediction by eager torch, as the project predicts, by onnxruntime and by a compiled network.

`python benchmarks/runtimes.py --project FOLDER` predicts images of FOLDER/data/processed one at a time on the
processor, `... --tta` the eight views of each. What another runtime gains has to pay for its preparation, imports
included: the last figure of a line is the number of images from which on it does. Weights are those that are
installed; the head is random.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from dermascreen.artifacts.dataset.images import Images
from dermascreen.core.params import ModelParams, read_params
from dermascreen.network.model import Network, build
from dermascreen.prediction.forward import as_input, prepare, symmetries

ROOT = Path(__file__).parents[1]
ROUNDS = 3
Run = Callable[[Tensor], Tensor]


def eager(network: Network, _: Tensor) -> Run:
    return network


def compiled(network: Network, _: Tensor) -> Run:
    run: Run = torch.compile(network, dynamic=False)
    return run


def by_onnxruntime(network: Network, example: Tensor) -> Run:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "network.onnx"
        torch.onnx.export(network, (example,), str(file), external_data=False, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda images: torch.from_numpy(session.run(None, {given.name: images.numpy()})[0])


def predicted(run: Run, inputs: list[Tensor]) -> Iterator[float]:
    with torch.inference_mode():
        for images in inputs:
            yield run(images).mean().item()


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
    network = prepare(build(model, shipped.preprocess.model_copy(update={"image_size": size})))
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    print(f"{given.architecture}, {size} pixels, {len(pixels)} images, medians of {ROUNDS} rounds", flush=True)
    single = [as_input(network, image[np.newaxis].copy()) for image in pixels]
    inputs = [torch.cat(list(symmetries(image))) if given.tta else image for image in single]
    inputs = [images.contiguous(memory_format=torch.channels_last) for images in inputs]
    list(predicted(network, inputs))  # to warm up
    runs, ready, logits = {}, {}, {}
    for prepared in (eager, by_onnxruntime, compiled):
        began = time.perf_counter()
        run = prepared(network, inputs[0])
        list(predicted(run, inputs[:1]))
        runs[prepared.__name__], ready[prepared.__name__] = run, time.perf_counter() - began
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):  # in turn, so that other work on the machine disturbs all alike
        for name, run in runs.items():
            began = time.perf_counter()
            logits[name] = np.array(list(predicted(run, inputs)))
            rates[name].append(len(inputs) / (time.perf_counter() - began))
    base = float(np.median(rates["eager"]))
    for name in runs:
        rate = float(np.median(rates[name]))
        saved = 1 / base - 1 / rate  # seconds an image
        pays = f", pays from {ready[name] / saved:.0f} images" if saved > 0 else ""
        print(
            f"{len(inputs[0])} views, {name}: {rate:.2f} images/s ({rate / base:.2f}), ready after {ready[name]:.1f} s"
            f", logits differ by {np.abs(logits[name] - logits['eager']).max():.1e} at most{pays}"
        )


if __name__ == "__main__":
    main()
