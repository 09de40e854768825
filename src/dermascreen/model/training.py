"""Training: the LightningModule, its data, and the callbacks that keep the best and the last epoch."""

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from torchmetrics import MeanMetric
from torchmetrics.classification import BinaryAUROC

from dermascreen.errors import TrainingError
from dermascreen.model.augment import augment, normalise, scale, standardise
from dermascreen.model.network import Network
from dermascreen.params import TrainParams

Epoch = dict[str, float]  # epoch, lr, and loss and roc_auc of train and val


@dataclass(frozen=True)
class Split:
    """Labelled rows of an array of images: `pixels` uint8 (N, H, W, 3), `rows` and `labels` (0 or 1) of shape (n,)."""

    pixels: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.intp]
    labels: npt.NDArray[np.int64]


class _Batches(Dataset[tuple[Tensor, Tensor]]):
    """Reads a whole batch at once, in the order of the file."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split.rows)

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        chosen = np.asarray(indices)
        pixels = self.split.pixels[self.split.rows[chosen]]
        return torch.from_numpy(pixels), torch.from_numpy(self.split.labels[chosen]).float()


class Classifier(lightning.LightningModule):
    """Binary cross-entropy on the logit, AdamW with warm-up and cosine; `history` holds a row for each epoch."""

    def __init__(
        self, network: Network, params: TrainParams, steps: int, seed: int, on_epoch: Callable[[Epoch], None]
    ) -> None:
        super().__init__()
        self.network = network
        self.params = params
        self.steps = steps  # an epoch
        self.seed = seed
        self.on_epoch = on_epoch
        self.history: list[Epoch] = []
        self.loss = {name: MeanMetric(nan_strategy="disable") for name in ("train", "val")}
        self.auc = {name: BinaryAUROC() for name in ("train", "val")}

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        if batch_idx == 0:
            # Draws depend on the seed and the epoch alone, so a run taken up again draws what it would have drawn.
            # Here, because Lightning leaves out on_train_epoch_start in the first epoch after a checkpoint.
            torch.manual_seed(int(np.random.SeedSequence([self.seed, self.current_epoch]).generate_state(1)[0]))
        pixels, labels = batch
        with torch.no_grad(), torch.autocast(pixels.device.type, enabled=False):
            description = self.network.description
            images = standardise(augment(scale(pixels), self.params.augment), description.mean, description.std)
        return self._score("train", images, labels)

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        pixels, labels = batch
        description = self.network.description
        self._score("val", normalise(pixels, description.mean, description.std), labels)

    def _score(self, name: str, images: Tensor, labels: Tensor) -> Tensor:
        if self.params.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        logits = self.network(images).float()
        loss = functional.binary_cross_entropy_with_logits(logits, labels)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"The loss is {loss.item()} in epoch {self.current_epoch}; lower train.lr, which is {self.params.lr:g}."
            )
        self.loss[name].update(loss.detach().cpu(), len(labels))
        self.auc[name].update(logits.detach().cpu(), labels.long().cpu())
        return loss

    def on_validation_epoch_end(self) -> None:
        self.log("val_roc_auc", self.auc["val"].compute())

    def on_train_epoch_end(self) -> None:
        row: Epoch = {"epoch": self.current_epoch, "lr": self.optimizers().param_groups[-1]["lr"]}  # type: ignore[union-attr]
        for name in self.loss:
            row[f"{name}_loss"] = self.loss[name].compute().item()
            row[f"{name}_roc_auc"] = self.auc[name].compute().item()
            self.loss[name].reset()
            self.auc[name].reset()
        self.history.append(row)
        self.on_epoch(row)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["history"]

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        params = self.params
        optimizer = AdamW(
            [
                *parameter_groups(self.network.backbone, params.lr * params.backbone_lr_factor, params.weight_decay),
                *parameter_groups(self.network.head, params.lr, params.weight_decay),
            ]
        )
        warmup = params.warmup_epochs * self.steps
        schedule: LRScheduler = CosineAnnealingLR(optimizer, params.epochs * self.steps - warmup)
        if warmup:
            rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
            schedule = SequentialLR(optimizer, [rise, schedule], [warmup])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def parameter_groups(module: nn.Module, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices and kernels with weight decay; vectors, that is norms and biases, without."""
    decayed = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    plain = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
    return [
        {"params": decayed, "lr": lr, "weight_decay": weight_decay},
        {"params": plain, "lr": lr, "weight_decay": 0.0},
    ]


def fit(
    network: Network,
    train: Split,
    val: Split,
    params: TrainParams,
    *,
    seed: int,
    checkpoints: Path,
    on_epoch: Callable[[Epoch], None],
) -> list[Epoch]:
    """Train `network` in place and leave it with the weights of the epoch that had the best val AUC.

    `checkpoints` is a folder for this configuration and data alone: after every epoch the state is kept there, and a
    run that finds one goes on from it to the same weights. `on_epoch` is called with each finished epoch's row.
    Returns the rows of all epochs. Raises TrainingError for a batch larger than the data or a loss that is not finite.
    """
    if params.batch_size > len(train.rows):
        raise TrainingError(
            f"train.batch_size is {params.batch_size}, but there are only {len(train.rows)} training images; lower it."
        )
    sampler: DistributedSampler[Any] = DistributedSampler(_Batches(train), num_replicas=1, rank=0, seed=seed)
    loader = DataLoader(
        _Batches(train), params.batch_size, sampler=sampler, drop_last=True, collate_fn=_as_is, num_workers=0
    )
    val_loader = DataLoader(_Batches(val), params.batch_size, collate_fn=_as_is, num_workers=0)
    if params.channels_last:
        network.to(memory_format=torch.channels_last)
    classifier = Classifier(network, params, len(loader), seed, on_epoch)
    best = ModelCheckpoint(
        checkpoints, "best", monitor="val_roc_auc", mode="max", save_weights_only=True, enable_version_counter=False,
        save_on_train_epoch_end=True,
    )  # fmt: skip
    last = ModelCheckpoint(checkpoints, "last", enable_version_counter=False, save_on_train_epoch_end=True)
    patience = EarlyStopping("val_roc_auc", mode="max", patience=params.patience, check_on_train_epoch_end=True)
    shown = sys.stderr.isatty()
    with _quiet_lightning():
        trainer = lightning.Trainer(
            accelerator="auto",
            devices=1,
            precision=resolve_precision(params.precision),
            max_epochs=params.epochs,
            callbacks=[patience, best, last, *([TQDMProgressBar()] if shown else [])],
            logger=False,
            enable_progress_bar=shown,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            deterministic="warn",
        )
        resume = checkpoints / "last.ckpt"
        trainer.fit(classifier, loader, val_loader, ckpt_path=resume if resume.exists() else None, weights_only=True)
    state = torch.load(checkpoints / "best.ckpt", weights_only=True, map_location="cpu")["state_dict"]
    prefix = "network."
    network.cpu().load_state_dict(
        {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    )
    return classifier.history


def resolve_precision(precision: str | int) -> Any:  # noqa: ANN401 - Lightning's literal
    """Lightning's name for `train.precision`; auto is bf16 where the device computes in it, else 32."""
    if precision == "auto":
        supported = torch.cuda.is_bf16_supported() if torch.cuda.is_available() else _cpu_has_bf16()
        precision = "bf16" if supported else 32
    return "bf16-mixed" if precision == "bf16" else "32-true"


def _cpu_has_bf16() -> bool:
    return torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 - torch has no public name for it


def _as_is(batch: Any) -> Any:  # noqa: ANN401 - collate_fn must take a list, and __getitems__ has made the batch
    return batch


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Drop the hints that do not hold here: data are read from a memory map, where worker processes only cost."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
        warnings.filterwarnings("ignore", ".*is smaller than the logging interval.*")
        warnings.filterwarnings("ignore", ".*epoch parameter in `scheduler.step.*")
        yield


def summarise(history: Sequence[Epoch]) -> dict[str, float]:
    """The epoch whose weights are kept, that is the first with the best val AUC, and how many were run."""
    best = max(history, key=lambda row: row["val_roc_auc"])
    return {
        "epochs": len(history),
        "best_epoch": int(best["epoch"]),
        **{f"best_{name}": best[name] for name in ("train_loss", "train_roc_auc", "val_loss", "val_roc_auc")},
    }
