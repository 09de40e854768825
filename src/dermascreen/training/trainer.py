"""Lightning's trainer, configured by section train of params.yaml."""

import functools
import logging
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
import torch.distributed
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar, WeightAveraging
from lightning.pytorch.plugins import TorchSyncBatchNorm
from timm.layers.norm_act import convert_sync_batchnorm
from torch import nn

from dermascreen.core.errors import TrainingError
from dermascreen.core.params import TrainParams
from dermascreen.network.backbones import uses_depthwise_convolutions
from dermascreen.network.model import Network
from dermascreen.training.checkpoints import BEST, LAST, WholeFiles
from dermascreen.training.optimiser import moving_average


def make_trainer(params: TrainParams, checkpoints: Path, network: nn.Module) -> lightning.Trainer:
    cuda = torch.cuda.is_available()
    precision = resolve_precision(params.precision, network)
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
        MovableCheckpoint(
            checkpoints, BEST.removesuffix(".ckpt"), monitor="val_roc_auc", mode="max", enable_version_counter=False,
            save_on_train_epoch_end=True, save_weights_only=not params.ema,  # the average is in the full state only
        ),
        MovableCheckpoint(
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
            precision=precision,
            max_epochs=params.epochs,
            default_root_dir=checkpoints,  # where Lightning saves one for Slurm, which `usable` deletes
            accumulate_grad_batches=params.accumulate,
            gradient_clip_val=params.gradient_clip or None,
            callbacks=callbacks,
            plugins=[WholeFiles(), *([SyncNorms()] if cuda and several else [])],
            logger=False,
            enable_progress_bar=shown,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            deterministic="warn" if params.deterministic else False,
        )
    except (MisconfigurationException, ValueError, ImportError, TypeError) as error:  # the last two of xla
        asked = f"train.devices {params.devices}, train.nodes {params.nodes} and train.strategy {params.strategy}"
        raise TrainingError(f"{asked} are not possible here: {_first_sentence(error).rstrip('.')}.") from None
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if params.nodes > 1 and not (environment and environment.creates_processes_externally):
        raise TrainingError(
            f"train.nodes is {params.nodes}, but neither torchrun nor Slurm started this; docs/scale.md says how."
        )
    return trainer


class MovableCheckpoint(ModelCheckpoint):
    """Goes on where its folder was moved to; Lightning's forgets the best score, and takes the next one as best."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def here(path: str) -> str:
            return str(Path(self.dirpath or "", Path(path).name)) if path else path

        paths = {name: here(state_dict[name]) for name in ("best_model_path", "kth_best_model_path", "last_model_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(state_dict | paths | {"dirpath": self.dirpath, "best_k_models": best})


class SyncNorms(TorchSyncBatchNorm):
    """Batch normalisation over all devices, by timm: torch's loses the activation that timm puts into a norm."""

    def apply(self, model: nn.Module) -> nn.Module:
        before = dict(model.named_modules())
        synchronised: nn.Module = convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        replaced = {before[name]: module for name, module in synchronised.named_modules() if name in before}
        for module in synchronised.modules():
            if isinstance(module, Network):
                module.about = module.about.with_replaced(replaced)  # so that layers that are frozen are those that run
        return synchronised

    def revert(self, model: nn.Module) -> nn.Module:
        return model


def _first_sentence(error: Exception) -> str:
    return re.split(r"(?<=\.)\s", str(error))[0]


def explain_lost_process(trainer: lightning.Trainer, error: RuntimeError) -> None:
    """Raise a TrainingError if `error` means that another process of the job has ended, and end the remaining ones."""
    lost = isinstance(error, torch.distributed.DistError) or "gloo" in str(error)
    if trainer.world_size == 1 or not lost:
        return
    children = getattr(trainer.strategy.launcher, "procs", [])
    for child in children:
        child.kill()
    children.clear()  # or Lightning's observer would kill this process too, before it can report what happened
    raise TrainingError(
        "Another process of this training has ended; run the same command to continue from the last finished epoch."
    ) from error


def resolve_precision(precision: str | int, network: nn.Module) -> Any:  # noqa: ANN401 - Lightning's literal
    """Lightning's name for `train.precision`; auto is bf16 if that is faster on this device, else 32.

    It is where the device has instructions for it, except for depthwise convolutions on a processor, for which it is
    half as fast as 32 bits. That is decided by the kind of network and not by timing steps, so that a busy machine, or
    a training that continues on the same one, never comes to another result.
    """
    if precision == "auto":
        cuda = torch.cuda.is_available()
        supported = torch.cuda.is_bf16_supported() if cuda else _cpu_has_bf16()
        precision = "bf16" if supported and (cuda or not uses_depthwise_convolutions(network)) else 32
    names: Mapping[str | int, str] = {32: "32-true", 16: "16-mixed", "bf16": "bf16-mixed"}
    return names[precision]


def _cpu_has_bf16() -> bool:
    return torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 - torch has no public name for it


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Drop warnings that do not apply: data are read from a memory map, so worker processes would only cost time."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
        warnings.filterwarnings("ignore", ".*is smaller than the logging interval.*")
        warnings.filterwarnings("ignore", ".*epoch parameter in `scheduler.step.*")
        yield
