"""Train a network: the loop is Lightning's, the recipe is here."""

import functools
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import numpy.typing as npt
import torch
import torch.distributed
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar, WeightAveraging
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric, Metric
from torchmetrics.functional.classification import binary_auroc

from dermascreen.errors import TrainingError
from dermascreen.files import replacing
from dermascreen.model.augment import augment, recompress, shrink
from dermascreen.model.batches import Batch, Schedule, Split, every_once, loader
from dermascreen.model.checkpoints import BEST, LAST, WholeFiles, read_checkpoint, usable
from dermascreen.model.memory import keep_freed_memory
from dermascreen.model.network import FEATURES, Network, normalise, standardise
from dermascreen.model.optimiser import freeze, make_optimiser, mix, moving_average, targets
from dermascreen.params import TrainParams

Epoch = dict[str, float]  # epoch, lr, and loss and roc_auc of train and val

CHECKED = 32  # steps after which the loss is looked at: looking makes a GPU wait


class RocAuc(Metric):
    """The area under the ROC curve of a split, each of whose images is seen once.

    Every logit has its place from the beginning. torchmetrics' own keeps a small tensor for each batch; glibc puts them
    between those of the images, whose memory it then cannot use again, so that memory grows with the split.
    """

    labels: Tensor
    logits: Tensor

    def __init__(self, labels: npt.NDArray[np.int64]) -> None:
        super().__init__()
        self.register_buffer("labels", torch.tensor(labels), persistent=False)
        self.add_state("logits", torch.zeros(len(labels), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, places: Tensor, logits: Tensor) -> None:
        self.logits[places] = logits.detach().double()

    def compute(self) -> Tensor:
        return binary_auroc(self.logits, self.labels, validate_args=False)


class Classifier(lightning.LightningModule):
    """Binary cross-entropy on the logit, AdamW with warm-up and cosine; `history` holds a row for each epoch."""

    def __init__(
        self,
        network: Network,
        params: TrainParams,
        *,
        steps: int,
        labels: Mapping[str, npt.NDArray[np.int64]],
        pos_weight: float,
        seed: int,
        views: Path,
        on_epoch: Callable[[Epoch], None],
    ) -> None:
        super().__init__()
        self.network = network
        self.params = params
        self.steps = steps  # an epoch
        self.pos_weight = pos_weight
        self.seed = seed
        self.views = views
        self.on_epoch = on_epoch
        self.history: list[Epoch] = []
        # A ModuleDict, so that they live on the network's device.
        self.measures: dict[str, Metric] = nn.ModuleDict()  # type: ignore[assignment]
        for name in ("train", "val"):
            self.measures[f"{name}_loss"] = MeanMetric(nan_strategy="disable")
            self.measures[f"{name}_roc_auc"] = RocAuc(labels[name])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if batch_idx == 0:
            self._begin_epoch()
        if self.params.frozen_views and self.current_epoch < self.params.frozen_epochs:
            logits = self.network.head(self._kept_features(batch)).squeeze(1)
        else:
            logits = self.network(mix(self._images(batch), batch.kept))
        wanted = mix(targets(batch.labels, self.params.label_smoothing), batch.kept)
        loss = functional.binary_cross_entropy_with_logits(
            logits.float(), wanted, pos_weight=wanted.new_tensor(self.pos_weight)
        )
        if batch_idx % CHECKED == CHECKED - 1 or self.trainer.is_last_batch:
            self._check(loss)
        self._measure("train", loss, logits, batch)
        return loss * batch.weight

    def _begin_epoch(self) -> None:
        # What is drawn depends on the seed and the epoch alone, so a run taken up again draws what it would have drawn.
        # Here, because Lightning leaves out on_train_epoch_start in the first epoch after a checkpoint.
        identity = [self.seed, self.current_epoch, self.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(identity).generate_state(1)[0]))
        freeze(self.network, self.current_epoch, self.params)

    def _images(self, batch: Batch) -> Tensor:
        """What the network takes, augmented; (n, 3, size, size) at the size of this epoch."""
        description = self.network.description
        sizes = [*self.params.image_sizes, batch.pixels.shape[1]][-self.params.epochs :]  # the last one at full size
        size = sizes[self.current_epoch * len(sizes) // self.params.epochs]
        with torch.no_grad(), torch.autocast(batch.pixels.device.type, enabled=False):
            pixels = shrink(recompress(batch.pixels, batch.draws, self.params.augment), size)
            images = augment(pixels, batch.draws, self.params.augment)
            return self._laid_out(standardise(images, description.mean, description.std))

    def _laid_out(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.params.channels_last else images

    def _kept_features(self, batch: Batch) -> Tensor:
        """Features of the frozen backbone, (n, FEATURES): computed in the first epochs, one view each, then read.

        A view is what its epoch draws, so with as many views as frozen epochs nothing but time changes.
        """
        view, places = self.current_epoch % self.params.frozen_views, batch.places.cpu().numpy()
        kept = np.load(self.views, mmap_mode="r+")
        if self.current_epoch < self.params.frozen_views:
            with torch.no_grad():
                features: Tensor = self.network.backbone(self._images(batch)).float().flatten(1)
            kept[view, places] = features.cpu().numpy()
            return features
        return torch.from_numpy(kept[view, places]).to(self.device)

    def on_validation_epoch_start(self) -> None:
        if self.trainer.world_size > 1:  # what is judged is what is kept: the first process's running statistics
            for buffer in self.network.buffers():
                torch.distributed.broadcast(buffer, 0)

    def validation_step(self, batch: Batch) -> None:
        description = self.network.description
        logits = self.network(self._laid_out(normalise(batch.pixels, description.mean, description.std)))
        loss = functional.binary_cross_entropy_with_logits(logits.float(), batch.labels)
        self._measure("val", loss, logits, batch)

    def _measure(self, name: str, loss: Tensor, logits: Tensor, batch: Batch) -> None:
        self.measures[f"{name}_loss"].update(loss.detach(), len(logits))
        self.measures[f"{name}_roc_auc"].update(batch.places, logits)

    def _check(self, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise TrainingError(
                f"The loss is {loss.item()} in epoch {self.current_epoch}; lower train.lr, which is {self.params.lr:g}."
            )

    def on_validation_epoch_end(self) -> None:
        self._check(self.measures["val_loss"].compute())
        self.log("val_roc_auc", self.measures["val_roc_auc"].compute(), sync_dist=True)

    def on_train_epoch_end(self) -> None:
        row: Epoch = {"epoch": self.current_epoch, "lr": self.optimizers().param_groups[-1]["lr"]}  # type: ignore[union-attr]
        for name, measure in self.measures.items():
            row[name] = measure.compute().item()
            measure.reset()
        self.history.append(row)
        if self.trainer.is_global_zero:
            self.on_epoch(row)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["history"]

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer, schedule = make_optimiser(
            self.network, self.params, self.steps, fused=self.trainer.precision == "32-true"
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


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
    run that finds one goes on from it to the same weights. `on_epoch` is called with each finished epoch's row, and
    only in the first process where there are several. Returns the rows of all epochs. Raises TrainingError for settings
    that this machine or this data cannot meet, for a loss that is not finite and for a process that another one waits
    for in vain; CheckpointError for a checkpoint that cannot be read.
    """
    keep_freed_memory()
    # Nothing reads it, and filling it takes time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    with _quiet_lightning():
        trainer = _trainer(params, checkpoints)
        place = (trainer.global_rank, trainer.world_size)
        schedule = Schedule(len(train.rows), params, seed, *place)
        resume = usable(checkpoints)
        if params.channels_last:
            network.to(memory_format=torch.channels_last)
        balance = float(np.sum(train.labels == 0) / np.sum(train.labels == 1))
        classifier = Classifier(
            network,
            params,
            steps=schedule.steps,
            labels={"train": train.labels, "val": val.labels},
            pos_weight=balance if params.pos_weight == "auto" else params.pos_weight,
            seed=seed,
            views=checkpoints / "features.npy",
            on_epoch=on_epoch,
        )
        if params.frozen_views and trainer.is_global_zero and not classifier.views.exists():
            with replacing(classifier.views) as temporary:
                shape = (params.frozen_views, len(train.rows), FEATURES)
                np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        device = trainer.strategy.root_device
        loaders = (
            loader(train, schedule, device),
            loader(val, every_once(len(val.rows), params.batch_size, *place), device),
        )
        try:
            trainer.fit(classifier, *loaders, ckpt_path=resume, weights_only=True)
        except SystemExit as end:
            if end.code == 1:  # what Lightning makes of a KeyboardInterrupt
                raise KeyboardInterrupt from None
            raise
        except RuntimeError as error:
            _explain_lost_process(trainer, error)
            raise
    if trainer.is_global_zero:
        state = read_checkpoint(checkpoints / BEST)["state_dict"]
        prefix = "network."
        network.cpu().load_state_dict(
            {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        )
    return classifier.history


def _trainer(params: TrainParams, checkpoints: Path) -> lightning.Trainer:
    cuda = torch.cuda.is_available()
    precision = resolve_precision(params.precision)
    if precision == "16-mixed" and not cuda:
        raise TrainingError("train.precision is 16, which needs a GPU; use bf16, 32 or auto.")
    devices = params.devices if cuda or params.devices != "auto" else 1
    several = devices != 1 or params.nodes > 1
    strategy = params.strategy
    if strategy == "auto" and several:
        strategy = "ddp_find_unused_parameters_true" if params.frozen_epochs else "ddp"
    shown = sys.stderr.isatty()
    callbacks: list[Callback] = [
        EarlyStopping("val_roc_auc", mode="max", patience=params.patience, check_on_train_epoch_end=True),
        ModelCheckpoint(
            checkpoints, BEST.removesuffix(".ckpt"), monitor="val_roc_auc", mode="max", enable_version_counter=False,
            save_on_train_epoch_end=True, save_weights_only=not params.ema,  # the average is saved with the whole only
        ),
        ModelCheckpoint(
            checkpoints, LAST.removesuffix(".ckpt"), enable_version_counter=False, save_on_train_epoch_end=True
        ),
        *([WeightAveraging(multi_avg_fn=functools.partial(moving_average, params.ema))] if params.ema else []),
        *([TQDMProgressBar()] if shown else []),
    ]  # fmt: skip
    try:
        trainer = lightning.Trainer(
            accelerator="cuda" if cuda else "cpu",
            devices=devices,
            num_nodes=params.nodes,
            strategy=strategy,
            sync_batchnorm=cuda and several,
            precision=precision,
            max_epochs=params.epochs,
            default_root_dir=checkpoints,  # where Lightning would look for what Slurm made it save
            accumulate_grad_batches=params.accumulate,
            gradient_clip_val=params.gradient_clip or None,
            callbacks=callbacks,
            plugins=[WholeFiles()],
            logger=False,
            enable_progress_bar=shown,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            deterministic="warn" if params.deterministic else False,
        )
    except (MisconfigurationException, ValueError) as error:
        asked = f"train.devices {params.devices}, train.nodes {params.nodes} and train.strategy {params.strategy}"
        raise TrainingError(f"{asked} cannot be had here: {_first_sentence(error)}") from None
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if params.nodes > 1 and not (environment and environment.creates_processes_externally):
        raise TrainingError(
            f"train.nodes is {params.nodes}, but neither torchrun nor Slurm started this; docs/scale.md says how."
        )
    return trainer


def _first_sentence(error: Exception) -> str:
    return re.split(r"(?<=\.)\s", str(error))[0]


def _explain_lost_process(trainer: lightning.Trainer, error: RuntimeError) -> None:
    """Raise a TrainingError where `error` says that another process of the job has gone, and end those still there."""
    lost = isinstance(error, torch.distributed.DistError) or "gloo" in str(error)
    if trainer.world_size == 1 or not lost:
        return
    children = getattr(trainer.strategy.launcher, "procs", [])
    for child in children:
        child.kill()
    children.clear()  # or Lightning's observer would kill this process too, before it can say what happened
    raise TrainingError(
        "Another process of this training has ended; run the same command again to go on from the last finished epoch."
    ) from error


def resolve_precision(precision: str | int) -> Any:  # noqa: ANN401 - Lightning's literal
    """Lightning's name for `train.precision`; auto is bf16 where the device computes in it, else 32."""
    if precision == "auto":
        supported = torch.cuda.is_bf16_supported() if torch.cuda.is_available() else _cpu_has_bf16()
        precision = "bf16" if supported else 32
    names: Mapping[str | int, str] = {32: "32-true", 16: "16-mixed", "bf16": "bf16-mixed"}
    return names[precision]


def _cpu_has_bf16() -> bool:
    return torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 - torch has no public name for it


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
