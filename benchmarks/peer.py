"""Train ResNet50 from random weights by another engine, for train_throughput.py, which prepares the folder.

`python benchmarks/peer.py fastai|trainer|dermascreen FOLDER SEED`, each with the settings that its own documentation
recommends for a CPU. The last line printed is JSON: the seconds and val AUC at the end of each epoch, the images of an
epoch, and peak memory. Validation and everything else that happens between epochs is in the seconds.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torchvision.models import resnet50

Curve = list[tuple[float, float]]


class OneLogit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = resnet50(num_classes=1, zero_init_residual=True)

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone(images).squeeze(1)


def fastai(_: Path, table: pd.DataFrame, settings: dict[str, Any]) -> Curve:
    from fastai.callback.channelslast import ChannelsLast
    from fastai.learner import Learner
    from fastai.vision.all import (
        AccumMetric,
        BCEWithLogitsLossFlat,
        Callback,
        ColReader,
        ColSplitter,
        DataBlock,
        ImageBlock,
        Normalize,
        RegressionBlock,
        aug_transforms,
        imagenet_stats,
    )  # fmt: skip

    curve: Curve = []
    began = time.perf_counter()

    class Clock(Callback):
        def after_epoch(self) -> None:
            curve.append((time.perf_counter() - began, float(self.recorder.log[3])))

    blocks = DataBlock(
        blocks=(ImageBlock, RegressionBlock), get_x=ColReader("file"), get_y=ColReader("label"),
        splitter=ColSplitter("is_val"),
        batch_tfms=[
            *aug_transforms(do_flip=True, flip_vert=True, max_rotate=180, min_zoom=1, max_zoom=1, max_lighting=0.2,
                            max_warp=0, p_affine=1, p_lighting=1),
            Normalize.from_stats(*imagenet_stats),
        ],
    )  # fmt: skip
    data = blocks.dataloaders(table, bs=settings["batch_size"], num_workers=2, seed=settings["seed"])
    auc = AccumMetric(lambda logits, labels: roc_auc_score(labels, logits), flatten=True)
    learner = Learner(data, OneLogit(), loss_func=BCEWithLogitsLossFlat(), metrics=[auc], wd=0.01,
                      cbs=[ChannelsLast(), Clock()])  # fmt: skip
    with learner.no_bar():
        learner.fit_one_cycle(settings["epochs"], settings["lr"])
    return curve


def trainer(folder: Path, table: pd.DataFrame, settings: dict[str, Any]) -> Curve:
    from torch.utils.data import Dataset
    from torchvision.io import decode_image
    from torchvision.transforms import v2
    from transformers import Trainer, TrainerCallback, TrainingArguments

    curve: Curve = []
    standard = [v2.ToDtype(torch.float32, scale=True), v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    augment = [
        v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(),
        v2.RandomRotation(180, interpolation=v2.InterpolationMode.BILINEAR), v2.ColorJitter(0.2, 0.2),
    ]  # fmt: skip

    class Images(Dataset):
        def __init__(self, rows: pd.DataFrame, transforms: list[Any]) -> None:
            self.rows, self.transform = rows, v2.Compose(transforms)

        def __len__(self) -> int:
            return len(self.rows)

        def __getitem__(self, index: int) -> dict[str, Any]:
            row = self.rows.iloc[index]
            return {"images": self.transform(decode_image(row["file"])), "labels": float(row["label"])}

    class WithLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = OneLogit().to(memory_format=torch.channels_last)

        def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.network(images.contiguous(memory_format=torch.channels_last))
            return {"loss": nn.functional.binary_cross_entropy_with_logits(logits, labels.float()), "logits": logits}

    class Clock(TrainerCallback):
        def on_evaluate(self, *_: Any, metrics: dict[str, float], **__: Any) -> None:
            curve.append((time.perf_counter() - began, metrics["eval_auc"]))

    arguments = TrainingArguments(
        str(folder / "trainer"), num_train_epochs=settings["epochs"], learning_rate=settings["lr"], weight_decay=0.01,
        per_device_train_batch_size=settings["batch_size"], per_device_eval_batch_size=settings["batch_size"],
        lr_scheduler_type="cosine", warmup_steps=settings["warmup"], optim="adamw_torch_fused", use_cpu=True,
        dataloader_num_workers=2, eval_strategy="epoch", save_strategy="no", report_to="none", disable_tqdm=True,
        logging_strategy="no", seed=settings["seed"],
    )  # fmt: skip
    engine = Trainer(
        WithLoss(), arguments,
        train_dataset=Images(table[~table["is_val"]], [*augment, *standard]),
        eval_dataset=Images(table[table["is_val"]], standard),
        compute_metrics=lambda found: {"auc": roc_auc_score(found.label_ids, found.predictions)},
        callbacks=[Clock()],
    )  # fmt: skip
    began = time.perf_counter()
    engine.train()
    return curve


def dermascreen(folder: Path, table: pd.DataFrame, settings: dict[str, Any]) -> Curve:
    from dermascreen.core.params import ModelParams, read_params
    from dermascreen.network.model import build
    from dermascreen.training.batches import Split
    from dermascreen.training.fit import fit

    shipped = read_params(Path(__file__).parents[1] / "params.yaml")
    params = shipped.train.model_copy(update={**settings["params"], "epochs": settings["epochs"], "patience": 99})
    pixels = np.load(folder / "images.npy", mmap_mode="r")
    labels, val = table["label"].to_numpy(), table["is_val"].to_numpy()
    train, held_out = (Split(pixels, np.flatnonzero(chosen), labels[chosen]) for chosen in (~val, val))
    curve: Curve = []
    began = time.perf_counter()
    torch.manual_seed(settings["seed"])
    network = build(
        ModelParams(architecture="resnet50", weights="none", own_weights="data/weights", hidden=0, dropout=0.0),
        shipped.preprocess.model_copy(update={"image_size": pixels.shape[1]}),
    )
    fit(
        network, train, held_out, params, seed=settings["seed"], checkpoints=folder / "checkpoints",
        on_epoch=lambda rows: curve.append((time.perf_counter() - began, rows[-1]["val_roc_auc"])),
    )  # fmt: skip
    return curve


def main() -> None:
    engine, folder = sys.argv[1], Path(sys.argv[2])
    settings = json.loads((folder / "settings.json").read_text()) | {"seed": int(sys.argv[3])}
    table = pd.read_csv(folder / "table.csv")
    torch.manual_seed(settings["seed"])
    curve = {"fastai": fastai, "trainer": trainer, "dermascreen": dermascreen}[engine](folder, table, settings)
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 2**20
    images = int((~table["is_val"]).sum())
    print(json.dumps({"curve": curve, "images": images, "peak_gib": peak}))


if __name__ == "__main__":
    main()
