"""Training by this project's engine and by others: images a second, memory, and the time to an AUC.

`make peers` first, which installs fastai and Hugging Face's Trainer. timm's train.py is not part of its package: it
takes part where `--timm` names a checkout of pytorch-image-models. All train on the processor in 32 bits, or with
`--device cuda` on a GPU in bf16, on the images of data/processed (ours from one array, the others from PNG files), with
the same number of epochs, batch size and peak learning rate; fastai has its own rate where it fine-tunes, and with
`--sizes` ours trains its first epochs at those sizes, and is validated at full size. All flip, and change brightness
and contrast; all but train.py, which has no option for it, rotate. All ratios are of figures measured in the same run.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import save_file
from watching import watched, watched_gpu

from dermascreen.artifacts.dataset.images import Images
from dermascreen.artifacts.dataset.splits import Splits
from dermascreen.core.params import ModelParams, read_params
from dermascreen.network.model import build

ROOT = Path(__file__).parents[1]
SHIPPED = read_params(ROOT / "params.yaml")
OURS = "dermascreen"
BATCH_SIZE = 32
LR = 1e-3
OUR_PARAMS = {"batch_size": BATCH_SIZE, "lr": LR, "backbone_lr_factor": 1.0, "ema": 0.99}


def prepare(folder: Path, given: argparse.Namespace) -> int:
    """What all engines train on and start from; returns the number of images in train."""
    images = Images.open(given.project / "data/processed")
    splits = Splits.read(given.project / Splits.PATH, ["train", "val"]).part("train", "val").to_frame()
    rows = images.rows(splits["path"])
    np.save(folder / "images.npy", images.pixels[rows])
    files = [str(folder / f"{row}.png") for row in rows]
    for row, file in zip(rows, files, strict=True):
        Image.fromarray(images.pixels[row]).save(file)
    is_val = splits["split"].eq("val")
    pd.DataFrame({"file": files, "label": splits["label"], "is_val": is_val}).to_csv(folder / "table.csv")

    pretrained = given.weights != "none"
    network = build(
        ModelParams(
            architecture=given.architecture, weights=given.weights, own_weights="data/weights", hidden=0, dropout=0.0
        ),
        SHIPPED.preprocess.model_copy(update={"image_size": images.pixels.shape[1]}),
    )
    if pretrained:
        state = network.backbone.state_dict()
        save_file({name: values.contiguous() for name, values in state.items()}, folder / "weights.safetensors")
    count = int((~is_val).sum())
    settings = {
        "architecture": given.architecture, "pretrained": pretrained, "timm": str(given.timm),
        "size": images.pixels.shape[1], "mean": network.about.mean, "std": network.about.std,
        "epochs": given.epochs, "batch_size": BATCH_SIZE, "lr": LR,
        "warmup": -(-count // BATCH_SIZE), "device": given.device, "workers": given.workers,
        "params": OUR_PARAMS | {"precision": "bf16" if given.device == "cuda" else 32, "image_sizes": given.sizes},
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))
    size = images.pixels.shape[1]
    print(f"{size} pixels, batches of {BATCH_SIZE}, {count} images of train, {int(is_val.sum())} of val", flush=True)
    return count


def trained(engine: str, python: Path, folder: Path, seed: int, device: str) -> dict[str, Any]:
    """The curve of one training, and the largest memory that its processes held apart from mapped files.

    On a GPU, the memory is the GPU's.
    """
    command = [str(python), str(Path(__file__).with_name("peer.py")), engine, str(folder), str(seed)]
    environment = os.environ | ({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {})
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process,
        watched_gpu() if device == "cuda" else watched(process.pid) as peak,
    ):
        printed, _ = process.communicate()
        held = peak()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed.")
    for left in ("checkpoints", "trainer", "timm-output"):
        shutil.rmtree(folder / left, ignore_errors=True)
    return {"engine": engine, "seed": seed, "memory": held, **json.loads(printed.splitlines()[-1])}


def summary(runs: list[dict[str, Any]], images: int, goal: float | None) -> pd.DataFrame:
    """Medians of the seeds, by engine; the time to the AUC is missing if a seed did not reach it."""
    shared = min(max(auc for _, auc in run["curve"]) for run in runs)
    goal = shared if goal is None else goal
    rows = []
    for run in runs:
        (first, _), *_, (last, auc) = run["curve"]
        reached = next((seconds for seconds, auc in run["curve"] if auc >= goal), float("nan"))
        rate = images * (len(run["curve"]) - 1) / (last - first)
        row = {"engine": run["engine"], "images/s": rate, "GiB": run["memory"], "last AUC": auc}
        rows.append(row | {f"s to {goal:.3f}": reached})
    found = pd.DataFrame(rows).groupby("engine", sort=False).median(skipna=False)
    if OURS in found.index:
        ours = found.loc[OURS]
        found["our rate to theirs"] = ours["images/s"] / found["images/s"]
        found["their time to ours"] = found[f"s to {goal:.3f}"] / ours[f"s to {goal:.3f}"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", default="resnet50")
    parser.add_argument("--weights", default="none", help="none, or packaged for those that are installed")
    parser.add_argument("--project", type=Path, default=ROOT, help="where data/processed and data/splits.csv are")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="*", default=[], help="ours begins with these smaller sizes")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--goal", type=float, help="a val AUC; by default what every run reaches")
    parser.add_argument("--peers-python", type=Path, default=ROOT / ".venv-peers/bin/python")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--workers", type=int, default=2, help="processes in which the others read images")
    parser.add_argument("--timm", type=Path, help="a checkout of pytorch-image-models")
    parser.add_argument("--without", nargs="*", default=[], help="engines to leave out")
    given = parser.parse_args()
    if given.epochs < 2:  # noqa: PLR2004 - a rate is of the time between the ends of two epochs
        parser.error("--epochs must be at least 2.")
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    print(f"{given.architecture}, weights {given.weights}, on the {given.device}, {given.epochs} epochs", end=", ")
    pythons = {OURS: Path(sys.executable), "fastai": given.peers_python, "trainer": given.peers_python}
    if given.timm:
        pythons["timm"] = given.peers_python
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        images = prepare(Path(name), given)
        for seed, (engine, python) in itertools.product(given.seeds, pythons.items()):
            if engine not in given.without:
                runs.append(trained(engine, python, Path(name), seed, given.device))
                print(json.dumps(runs[-1]), flush=True)
    print(f"medians of {dict(Counter(run['engine'] for run in runs))} seeds")
    print(summary(runs, images, given.goal).to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
