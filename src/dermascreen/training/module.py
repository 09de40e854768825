"""What happens in a step and at the end of an epoch."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import numpy.typing as npt
import torch
import torch.distributed
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric, Metric

from dermascreen.core.errors import TrainingError
from dermascreen.core.params import TrainParams
from dermascreen.network.model import Network
from dermascreen.network.pixels import constant, normalise, standardise
from dermascreen.training.augment import augment, shrink
from dermascreen.training.batches import Batch
from dermascreen.training.optimiser import freeze, make_optimiser, mix, targets

CHECKED = 32  # steps between two checks of the loss: a check makes a GPU wait

Epoch = dict[str, float]  # epoch, lr, and loss and roc_auc of train and val


class RocAuc(Metric):
    """The area under the ROC curve of a split, each of whose images is seen once.

    Every logit has its place from the beginning. torchmetrics' own metric keeps a small tensor for each batch; glibc
    puts these between the tensors of the images, whose memory it then cannot reuse, so memory grows with the split.
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
        auc = roc_auc_score(self.labels.cpu(), self.logits.cpu())  # torchmetrics' in 32 bits may be above 1
        return torch.tensor(auc, dtype=torch.float32, device=self.logits.device)


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
        on_epoch: Callable[[list[Epoch]], None],
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
        self.seconds = 0.0  # that the epochs of the history took, in all processes that trained them
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
            logits.float(), wanted, pos_weight=constant(self.pos_weight, wanted)
        )
        if batch_idx % CHECKED == CHECKED - 1 or self.trainer.is_last_batch:
            self._check(loss)
        self._measure("train", loss, logits, batch)
        return loss * batch.weight

    def _begin_epoch(self) -> None:
        # Random numbers depend on the seed and the epoch alone, so a resumed run draws the same ones. This is done here
        # because Lightning skips on_train_epoch_start in the first epoch after a checkpoint.
        identity = [self.seed, self.current_epoch, self.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(identity).generate_state(1)[0]))
        freeze(self.network, self.current_epoch, self.params)

    def _images(self, batch: Batch) -> Tensor:
        """The network's input, augmented; (n, 3, size, size) at the size of this epoch."""
        description = self.network.description
        sizes = [*self.params.image_sizes, batch.pixels.shape[1]][-self.params.epochs :]  # the last one at full size
        size = sizes[self.current_epoch * len(sizes) // self.params.epochs]
        with torch.no_grad(), torch.autocast(batch.pixels.device.type, enabled=False):
            images = augment(shrink(batch.pixels, size), batch.draws, self.params.augment)
            return self._laid_out(standardise(images, description.mean, description.std))

    def _laid_out(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.params.channels_last else images

    def _kept_features(self, batch: Batch) -> Tensor:
        """Features of the frozen backbone, (n, features): computed in the first epochs, one view each, then read.

        A view is drawn by its epoch, so with as many views as frozen epochs the result is the same as without.
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
        if self.trainer.world_size > 1:  # predict with what will be saved: the running statistics of rank zero
            for buffer in self.network.buffers():
                torch.distributed.broadcast(buffer, 0)

    def validation_step(self, batch: Batch) -> None:
        description = self.network.description
        logits = self.network(self._laid_out(normalise(batch.pixels, description.mean, description.std)))
        loss = functional.binary_cross_entropy_with_logits(logits.float(), batch.labels)
        self._measure("val", loss, logits, batch)

    def _measure(self, name: str, loss: Tensor, logits: Tensor, batch: Batch) -> None:
        loss = loss.detach()
        self.measures[f"{name}_loss"].update(loss, torch.full_like(loss, len(logits)))
        self.measures[f"{name}_roc_auc"].update(batch.places, logits)

    def _check(self, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise TrainingError(
                f"The loss is {loss.item()} in epoch {self.current_epoch}; lower train.lr, which is {self.params.lr:g}."
            )

    def on_validation_epoch_end(self) -> None:
        self._check(self.measures["val_loss"].compute())
        self.log("val_roc_auc", self.measures["val_roc_auc"].compute(), sync_dist=True)

    def on_fit_start(self) -> None:
        self._began = time.perf_counter()

    def on_train_epoch_end(self) -> None:
        began, self._began = self._began, time.perf_counter()
        self.seconds += self._began - began
        self._check(self.measures["train_loss"].compute())
        row: Epoch = {"epoch": self.current_epoch, "lr": self.optimizers().param_groups[-1]["lr"]}  # type: ignore[union-attr]
        for name, measure in self.measures.items():
            row[name] = measure.compute().item()
            measure.reset()
        self.history.append(row)
        if self.trainer.is_global_zero:
            self.on_epoch([*self.history])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint |= {"history": self.history, "seconds": self.seconds}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history, self.seconds = checkpoint["history"], checkpoint["seconds"]

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer, schedule = make_optimiser(
            self.network, self.params, self.steps, fused=self.trainer.precision == "32-true"
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
