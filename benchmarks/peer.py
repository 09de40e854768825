"""Train a network by one engine, for engines.py, which prepares the folder.

`python benchmarks/peer.py fastai|trainer|timm|dermascreen FOLDER SEED`. The last line printed is JSON: the seconds and
val AUC at the end of each epoch. In the seconds are making the network and the loaders, validation and all else that
happens between epochs, but not the imports; those of timm's train.py begin with its first epoch.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

Curve = list[tuple[float, float]]


class OneLogit(nn.Module):
    """The network as any user of torch would make it, with the weights of the folder, if it has some."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        super().__init__()
        if settings["architecture"] == "resnet50":
            from torchvision.models import resnet50

            self.backbone: nn.Module = resnet50(num_classes=1, zero_init_residual=True)
        else:
            import timm

            self.backbone = timm.create_model(settings["architecture"], num_classes=1)
        if settings["pretrained"]:
            load_all_but_head(self.backbone, folder)

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone(images).squeeze(1)


def load_all_but_head(backbone: nn.Module, folder: Path) -> None:
    unlike = backbone.load_state_dict(load_file(folder / "weights.safetensors"), strict=False)
    heads = {name.split(".")[0] for name in unlike.missing_keys}
    if unlike.unexpected_keys or not heads <= {"classifier", "fc", "head"}:
        raise SystemExit(f"{folder / 'weights.safetensors'} does not fit: {unlike}")


def fastai(folder: Path, table: pd.DataFrame, settings: dict[str, Any]) -> Curve:
    """With weights as its documentation says for them, `vision_learner` and `fine_tune`; else `fit_one_cycle`."""
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
        set_seed,
        vision_learner,
    )  # fmt: skip

    curve: Curve = []
    began = time.perf_counter()
    set_seed(settings["seed"])

    class Clock(Callback):
        def after_epoch(self) -> None:
            curve.append((time.perf_counter() - began, float(self.recorder.log[3])))

    blocks = DataBlock(
        blocks=(ImageBlock, RegressionBlock), get_x=ColReader("file"), get_y=ColReader("label"),
        splitter=ColSplitter("is_val"),
        batch_tfms=[
            *aug_transforms(do_flip=True, flip_vert=True, max_rotate=180, min_zoom=1, max_zoom=1, max_lighting=0.2,
                            max_warp=0, p_affine=1, p_lighting=1),
            Normalize.from_stats(settings["mean"], settings["std"]),
        ],
    )  # fmt: skip
    data = blocks.dataloaders(table, bs=settings["batch_size"], num_workers=settings["workers"])
    auc = AccumMetric(lambda logits, labels: roc_auc_score(labels, logits), flatten=True)
    shared = {"loss_func": BCEWithLogitsLossFlat(), "metrics": [auc], "cbs": [ChannelsLast(), Clock()]}
    if settings["pretrained"]:
        learner = vision_learner(data, settings["architecture"], n_out=1, pretrained=False, normalize=False, **shared)
        load_all_but_head(learner.model[0].model, folder)
    else:
        learner = Learner(data, OneLogit(folder, settings), wd=0.01, **shared)
    if settings["device"] == "cuda":
        learner = learner.to_bf16()
    with learner.no_bar():
        if settings["pretrained"]:
            learner.fine_tune(settings["epochs"] - 1)
        else:
            learner.fit_one_cycle(settings["epochs"], settings["lr"])
    return curve


def trainer(folder: Path, table: pd.DataFrame, settings: dict[str, Any]) -> Curve:
    from torch.utils.data import Dataset
    from torchvision.io import decode_image
    from torchvision.transforms import v2
    from transformers import Trainer, TrainerCallback, TrainingArguments

    curve: Curve = []
    began = time.perf_counter()
    standard = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(settings["mean"], settings["std"])]
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
            self.network = OneLogit(folder, settings).to(memory_format=torch.channels_last)

        def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.network(images.contiguous(memory_format=torch.channels_last))
            return {"loss": nn.functional.binary_cross_entropy_with_logits(logits, labels.float()), "logits": logits}

    class Clock(TrainerCallback):
        def on_evaluate(self, *_: Any, metrics: dict[str, float], **__: Any) -> None:
            curve.append((time.perf_counter() - began, metrics["eval_auc"]))

    on_gpu = settings["device"] == "cuda"
    arguments = TrainingArguments(
        str(folder / "trainer"), num_train_epochs=settings["epochs"], learning_rate=settings["lr"], weight_decay=0.01,
        per_device_train_batch_size=settings["batch_size"], per_device_eval_batch_size=settings["batch_size"],
        lr_scheduler_type="cosine", warmup_steps=settings["warmup"], optim="adamw_torch_fused",
        use_cpu=not on_gpu, bf16=on_gpu, dataloader_num_workers=settings["workers"],
        dataloader_persistent_workers=on_gpu, eval_strategy="epoch", save_strategy="no", report_to="none",
        disable_tqdm=True, logging_strategy="no", seed=settings["seed"],
    )  # fmt: skip
    engine = Trainer(
        WithLoss(), arguments,
        train_dataset=Images(table[~table["is_val"]], [*augment, *standard]),
        eval_dataset=Images(table[table["is_val"]], standard),
        compute_metrics=lambda found: {"auc": roc_auc_score(found.label_ids, found.predictions)},
        callbacks=[Clock()],
    )  # fmt: skip
    engine.train()
    return curve


def timm(folder: Path, table: pd.DataFrame, settings: dict[str, Any]) -> Curve:
    """By timm's own train.py, in the checkout `settings["timm"]`; it measures no AUC, so that is of its checkpoints.

    An epoch ends when its checkpoint, the moving average in it, is written.
    """
    import timm as library
    from torchvision.io import decode_image

    data, output = folder / "timm-data", folder / "timm-output"
    for row in table.itertuples():
        link = data / ("validation" if row.is_val else "train") / str(row.label) / Path(str(row.file)).name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(str(row.file))
    options = {
        "data-dir": data, "output": output, "experiment": "run", "model": settings["architecture"], "num-classes": 2,
        "device": settings["device"], "workers": settings["workers"],
        "batch-size": settings["batch_size"], "epochs": settings["epochs"], "img-size": settings["size"],
        "opt": "adamw", "lr": settings["lr"], "weight-decay": 0.01, "sched": "cosine", "warmup-epochs": 1,
        "model-ema-decay": 0.99, "smoothing": 0, "vflip": 0.5, "color-jitter": 0.2, "crop-pct": 1,
        "checkpoint-hist": settings["epochs"], "seed": settings["seed"], "log-interval": 10**6,
    }  # fmt: skip
    if settings["pretrained"]:
        options["pretrained-path"] = folder / "weights.safetensors"
    command = [sys.executable, str(Path(settings["timm"]) / "train.py")]
    command += [text for name, value in options.items() for text in (f"--{name}", str(value))]
    command += ["--scale", "1", "1", "--ratio", "1", "1", "--mean", *map(str, settings["mean"])]
    command += ["--std", *map(str, settings["std"]), "--channels-last", "--sched-on-updates"]
    command += ["--model-ema", "--model-ema-warmup"]
    if settings["device"] == "cuda":
        command += ["--amp", "--amp-dtype", "bfloat16"]
    else:
        command += ["--model-ema-force-cpu"]  # else it validates twice, as it does on a GPU
    command += ["--pretrained"] if settings["pretrained"] else []
    with (folder / "timm.log").open("w") as log:
        if subprocess.run(command, check=False, stdout=log, stderr=log).returncode:
            raise SystemExit((folder / "timm.log").read_text()[-2000:])

    began = (output / "run/args.yaml").stat().st_mtime  # which it writes before the first step
    val = table[table["is_val"]]
    device = settings["device"]
    images = torch.stack([decode_image(file) for file in val["file"]]).to(device) / 255
    mean, std = (torch.tensor(settings[name], device=device).view(3, 1, 1) for name in ("mean", "std"))
    network = library.create_model(settings["architecture"], num_classes=2).eval().to(device)
    curve: Curve = []
    for epoch in range(settings["epochs"]):
        checkpoint = output / f"run/checkpoint-{epoch}.pth.tar"
        network.load_state_dict(torch.load(checkpoint, weights_only=False)["state_dict_ema"])
        with torch.inference_mode():
            logits = torch.cat([network((part - mean) / std) for part in images.split(settings["batch_size"])])
        auc = roc_auc_score(val["label"], (logits[:, 1] - logits[:, 0]).cpu().numpy())
        curve.append((checkpoint.stat().st_mtime - began, float(auc)))
    return curve


def dermascreen(folder: Path, table: pd.DataFrame, settings: dict[str, Any]) -> Curve:
    from dermascreen.core.params import ModelParams, read_params
    from dermascreen.network.model import build
    from dermascreen.training.batches import Split
    from dermascreen.training.fit import fit

    shipped = read_params(Path(__file__).parents[1] / "params.yaml")
    alike = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.0, "hue": 0.0, "jpeg": 100, "zoom": 0.0, "blur": 0.0}
    params = shipped.train.model_copy(
        update={
            **settings["params"], "epochs": settings["epochs"], "patience": 99,
            "augment": shipped.train.augment.model_copy(update=alike),
        }
    )  # fmt: skip
    pixels = np.load(folder / "images.npy", mmap_mode="r")
    labels, val = table["label"].to_numpy(), table["is_val"].to_numpy()
    train, held_out = (Split(pixels, np.flatnonzero(chosen), labels[chosen]) for chosen in (~val, val))
    curve: Curve = []
    began = time.perf_counter()
    torch.manual_seed(settings["seed"])
    network = build(
        ModelParams(
            architecture=settings["architecture"], own_weights=str(folder), hidden=0,
            weights=str(folder / "weights.safetensors") if settings["pretrained"] else "none",
            dropout=shipped.model.dropout if settings["pretrained"] else 0.0,
        ),
        shipped.preprocess.model_copy(update={"image_size": pixels.shape[1]}),
    )  # fmt: skip
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
    curve = {"fastai": fastai, "trainer": trainer, "timm": timm, "dermascreen": dermascreen}[engine]
    print(json.dumps({"curve": curve(folder, table, settings)}))


if __name__ == "__main__":
    main()
