"""How near training and prediction are to what the machine can do.

`.venv/bin/python benchmarks/train_throughput.py ceiling --size 224` compares with the bare network stepping on one
batch, and `... memory` does so in memory. All ratios are of figures measured in the same run; of two bare figures,
before and after, the faster is the ceiling.
"""

import argparse
import functools
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from watching import watched

from dermascreen.core.params import ModelParams, TrainParams, read_params
from dermascreen.network.export import export
from dermascreen.network.memory import keep_freed_memory
from dermascreen.network.model import Network, build
from dermascreen.prediction.forward import ForwardPass, predict_logits
from dermascreen.training.batches import Split
from dermascreen.training.fit import fit
from dermascreen.training.optimiser import make_optimiser
from dermascreen.training.trainer import resolve_precision

ROOT = Path(__file__).parents[1]
SHIPPED = read_params(ROOT / "params.yaml")
PARAMS = SHIPPED.train
EPOCHS = 2
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def untrained(architecture: str, size: int) -> Network:
    params = ModelParams(architecture=architecture, weights="none", own_weights="data/weights", hidden=0, dropout=0.0)
    return build(params, SHIPPED.preprocess.model_copy(update={"image_size": size}))


def clock(work: Callable[[], object]) -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def layout(params: TrainParams) -> torch.memory_format:
    return torch.channels_last if params.channels_last else torch.contiguous_format


def stepping(architecture: str, params: TrainParams, size: int, steps: int) -> float:
    """Images a second of forward, backward and optimiser on a fixed batch, after two steps to warm up."""
    network = untrained(architecture, size).to(DEVICE)
    network = network.to(memory_format=layout(params))
    precision = resolve_precision(params.precision, network)
    optimiser, _ = make_optimiser(network, params, steps, fused=precision == "32-true")
    images = torch.randn(params.batch_size, 3, size, size, device=DEVICE).contiguous(memory_format=layout(params))
    labels = torch.randint(2, (params.batch_size,), device=DEVICE).float()

    def take(count: int) -> None:
        for _ in range(count):
            step()

    def step() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            logits = network(images)
        binary_cross_entropy_with_logits(logits.float(), labels).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), params.gradient_clip)
        optimiser.step()
        optimiser.zero_grad()

    take(2)
    return params.batch_size * steps / clock(lambda: take(steps))


def engine(architecture: str, params: TrainParams, pixels: np.ndarray, steps: int, folder: Path) -> tuple[float, float]:
    """Images a second from step to step of `fit`, and the seconds between two epochs: a little val, checkpoints."""
    count = steps * params.batch_size
    labels = np.arange(len(pixels)) % 2
    train, val = (Split(pixels, rows, labels[rows]) for rows in np.split(np.arange(len(pixels)), [count]))
    starts: list[float] = []
    network = untrained(architecture, pixels.shape[1])
    network.register_forward_pre_hook(lambda *_: starts.append(time.perf_counter()) if network.training else None)
    params = params.model_copy(update={"epochs": EPOCHS})
    fit(network, train, val, params, seed=0, checkpoints=folder, on_epoch=lambda _: None)
    taken = np.diff(starts)
    between = np.arange(1, len(starts)) % steps == 0  # the last step of an epoch, and all that follows it
    steady = taken[~between][2:]  # the first two warm up
    return params.batch_size / steady.mean(), float(taken[between].mean() - steady.mean())


def forwarding(network: Network, batch_size: int, size: int, batches: int) -> float:
    images = torch.randn(batch_size, 3, size, size, device=DEVICE).contiguous(memory_format=torch.channels_last)
    network = network.eval().to(DEVICE).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        network(images)
        return batch_size * batches / clock(lambda: [network(images) for _ in range(batches)])


def random_pixels(folder: Path, count: int, size: int) -> np.ndarray:
    """Noise, mapped from a file as the pipeline's arrays are."""
    shape = (count, size, size, 3)
    pixels = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
    pixels[:] = np.random.default_rng(0).integers(0, 256, shape[1:], dtype=np.uint8)
    return pixels


def held(what: str, architecture: str, size: int, steps: int, batch_size: int) -> float:
    """The largest memory of this process apart from mapped files, in GiB, while it makes bare steps or trains."""
    params = PARAMS.model_copy(update={"batch_size": batch_size, "patience": 99, "ema": 0.99})
    with watched() as peak:
        if what == "bare":
            keep_freed_memory()
            stepping(architecture, params, size, steps)
        else:
            with tempfile.TemporaryDirectory() as name:
                pixels = random_pixels(Path(name), steps * batch_size + 5 * batch_size, size)
                engine(architecture, params, pixels, steps, Path(name) / "checkpoints")
        return peak()


def memory(architecture: str, size: int, steps: int, batch_size: int) -> None:
    found = {}
    for what in ("bare", "engine"):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            found[what] = pool.submit(held, what, architecture, size, steps, batch_size).result()
    shown = (
        f"bare steps {found['bare']:.2f} GiB, engine {found['engine']:.2f} GiB: {found['engine'] / found['bare']:.2f}"
    )
    print(f"{architecture}, {size} pixels, batches of {batch_size}, {steps} steps: {shown}")


def ceiling(architecture: str, size: int, steps: int, batch_size: int) -> None:
    params = PARAMS.model_copy(update={"batch_size": batch_size, "patience": 99})
    precision = resolve_precision(params.precision, untrained(architecture, size))
    print(f"{architecture}, {size} pixels, batches of {batch_size}, {precision}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pixels = random_pixels(folder, steps * batch_size + 16, size)
        print(
            f"bare steps, memory given back to the system: {stepping(architecture, params, size, steps):.2f} images/s",
            flush=True,
        )
        keep_freed_memory()  # as the engine does; all that follows
        before = stepping(architecture, params, size, steps)
        found, pause = engine(architecture, params, pixels, steps, folder / "checkpoints")
        after = stepping(architecture, params, size, steps)
        bare = max(before, after)
        print(f"training: bare steps {before:.2f} and {after:.2f}, engine {found:.2f} images/s: {found / bare:.3f}")
        print(f"between two epochs: {pause:.1f} s for 16 images of val and two checkpoints", flush=True)

        network = untrained(architecture, size)
        export(network, folder / "network.onnx")
        exported = ForwardPass(folder / "network.onnx")
        rows = np.arange(min(len(pixels), 256) // 64 * 64)
        for tta in (False, True):
            shown = rows[:64] if tta else rows
            predict = functools.partial(predict_logits, exported, pixels, shown, tta)
            passes = len(shown) * (8 if tta else 1)
            rates = [(forwarding(network, 64, size, passes // 64), passes / clock(predict)) for _ in range(3)]
            most, ours = np.median(rates, axis=0)
            what = "TTA, passes" if tta else "prediction"
            shares = " ".join(f"{achieved / possible:.3f}" for possible, achieved in rates)
            print(f"{what}: bare {most:.2f}, predict_logits {ours:.2f} a second: {shares}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["ceiling", "memory"])
    parser.add_argument("--architecture", default="resnet50")
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=32)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, {DEVICE}")
    if given.what == "ceiling":
        ceiling(given.architecture, given.size, given.steps, given.batch_size)
    else:
        memory(given.architecture, given.size, given.steps, given.batch_size)


if __name__ == "__main__":
    main()
