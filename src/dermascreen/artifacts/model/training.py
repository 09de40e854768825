"""What stage train found out."""

from pathlib import Path
from typing import ClassVar

from dermascreen.artifacts.model.description import Start
from dermascreen.core.records import Details, Number, details_file, section


class TrainDetails(Details):
    """What training started from, the epoch whose weights are kept, and how many were run."""

    PATH: ClassVar[Path] = details_file("train")

    architecture: str  # model.architecture of params.yaml
    weights: str  # model.weights
    start: Start | None  # what is known of those
    epochs: int
    best_epoch: int  # counted from 0; the first with the best val AUC
    best_train_loss: float
    best_train_roc_auc: float
    best_val_loss: float
    best_val_roc_auc: float

    @property
    def headline(self) -> dict[str, Number]:
        return {"epoch_val_auc": self.best_val_roc_auc}  # while training, that of the last epoch

    @property
    def row(self) -> dict[str, float]:
        numbers = {"epochs": self.epochs, "best_epoch": self.best_epoch, "best_val_roc_auc": self.best_val_roc_auc}
        return section("training", **numbers)
