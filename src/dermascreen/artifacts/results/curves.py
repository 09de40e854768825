"""Curves that `dvc plots` draws: one folder for each stage."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dermascreen.artifacts.dataset.columns import Probability, Score
from dermascreen.core.tables import Table

PLOTS = Path("reports/plots")


def curve_file(stage: str, curve: str, split: str | None = None) -> Path:
    """Where a curve of a stage lies."""
    return PLOTS / stage / f"{curve}{f'_{split}' if split else ''}.csv"


@dataclass(frozen=True)
class TrainingCurves(Table):
    """What training came to, by epoch."""

    PATH: ClassVar[Path] = curve_file("train", "curves")

    epoch: Score
    train_loss: Score  # binary cross-entropy
    val_loss: Score
    train_roc_auc: Probability
    val_roc_auc: Probability


@dataclass(frozen=True)
class DecisionCurve(Table):
    """Net benefit on test by threshold."""

    PATH: ClassVar[Path] = curve_file("threshold", "decision_curve", "test")

    threshold: Probability
    model: Score
    treat_all: Score
    treat_none: Score
