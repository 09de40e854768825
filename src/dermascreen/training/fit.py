"""Train a network: the loop is Lightning's, the recipe is here."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed

from dermascreen.artifacts.dataset.arrays import make_array
from dermascreen.artifacts.model.description import Description
from dermascreen.artifacts.model.training import TrainDetails
from dermascreen.core.errors import CheckpointError
from dermascreen.core.files import replacing
from dermascreen.core.params import TrainParams
from dermascreen.network.memory import keep_freed_memory
from dermascreen.network.model import Network
from dermascreen.training.batches import Schedule, Split, every_once, loader
from dermascreen.training.checkpoints import BEST, read_checkpoint, usable
from dermascreen.training.module import Classifier, Epoch
from dermascreen.training.trainer import explain_lost_process, make_trainer, quiet_lightning


class Fitted(NamedTuple):
    """How a training went."""

    epochs: list[Epoch]  # the row of each
    seconds: float  # that they took, those before an interruption included


def fit(
    network: Network,
    train: Split,
    val: Split,
    params: TrainParams,
    *,
    seed: int,
    checkpoints: Path,
    on_epoch: Callable[[list[Epoch]], None],
) -> Fitted:
    """Train `network` in place and leave it with the weights of the epoch that had the best val AUC.

    `checkpoints` is a folder for this configuration, data and code alone: after every epoch the state is saved there,
    and a run that finds one continues from it, to the same weights, or trains no further if that one had ended.
    `on_epoch` is called after each epoch with the rows of all that are finished, and only on rank zero. Raises
    TrainingError for settings that are not possible with this machine or this data, for a loss that is not finite and
    for a lost process; CheckpointError for a checkpoint that cannot be read.
    """
    keep_freed_memory()
    # Nothing reads it, and filling it takes time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    with quiet_lightning():
        trainer = make_trainer(params, checkpoints, network)
        resume = usable(checkpoints, leads=trainer.is_global_zero)
        fitted = _so_far(resume)
        ended = _ended(fitted.epochs, params)
        if fitted.epochs and trainer.is_global_zero:
            what = "had ended with" if ended else "was interrupted, and goes on after"
            print(f"train: {what} epoch {fitted.epochs[-1]['epoch']}", flush=True)
        if not ended:
            place = (trainer.global_rank, trainer.world_size)
            schedule = Schedule(len(train.rows), params, seed, *place)
            schedule.set_epoch(len(fitted.epochs))  # Lightning says it only after its loaders have begun to read ahead
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
                if 0 < len(fitted.epochs) < params.frozen_epochs:
                    raise CheckpointError(classifier.views, "is missing, and was read in the epochs before")
                with replacing(classifier.views) as temporary:
                    shape = (params.frozen_views, len(train.rows), network.features)
                    make_array(temporary, shape, np.float32)
            device = trainer.strategy.root_device
            loaders = (
                loader(train, schedule, device, params.augment),
                loader(val, every_once(len(val.rows), params.batch_size, *place), device),
            )
            try:
                trainer.fit(classifier, *loaders, ckpt_path=resume, weights_only=True)
            except SystemExit as end:
                if end.code == 1:  # what Lightning makes of a KeyboardInterrupt
                    raise KeyboardInterrupt from None
                raise
            except RuntimeError as error:
                explain_lost_process(trainer, error)
                raise
            fitted = Fitted(classifier.history, classifier.seconds)
    if trainer.is_global_zero:
        state = read_checkpoint(checkpoints / BEST)["state_dict"]
        prefix = "network."
        network.cpu().load_state_dict(
            {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        )
    return fitted


def _so_far(checkpoint: Path | None) -> Fitted:
    """What a checkpoint says of the epochs that are finished; none without one."""
    if checkpoint is None:
        return Fitted([], 0.0)
    content = read_checkpoint(checkpoint)
    return Fitted(content["history"], content["seconds"])


def _ended(epochs: list[Epoch], params: TrainParams) -> bool:
    """Whether all epochs are finished, or as many as `patience` without a better one.

    Lightning would train one more after the latter, since it forgets with the process that it was to stop.
    """
    aucs = [row["val_roc_auc"] for row in epochs]
    return len(epochs) >= params.epochs or (bool(aucs) and len(aucs) - 1 - aucs.index(max(aucs)) >= params.patience)


def summarise(fitted: Fitted, network: Description) -> TrainDetails:
    """The epoch whose weights are kept, that is the first with the best val AUC, and how many were run."""
    best = max(fitted.epochs, key=lambda row: row["val_roc_auc"])
    return TrainDetails(
        architecture=network.architecture,
        weights=network.weights,
        start=network.start,
        epochs=len(fitted.epochs),
        best_epoch=int(best["epoch"]),
        best_train_loss=best["train_loss"],
        best_train_roc_auc=best["train_roc_auc"],
        best_val_loss=best["val_loss"],
        best_val_roc_auc=best["val_roc_auc"],
    )
