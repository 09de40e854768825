"""What predictions are worth, as plain numbers and as curves."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

Labels = npt.NDArray[np.int64]  # 0 benign, 1 malignant; shape (n,)
Scores = npt.NDArray[np.float64]  # probability of malignant; shape (n,)

CALIBRATION_BINS = 10


def confusion(label: Labels, called: npt.NDArray[np.bool_]) -> dict[str, int]:
    """Counts of true and false negatives and positives; malignant is positive."""
    tn, fp, fn, tp = confusion_matrix(label, called, labels=[0, 1]).ravel().tolist()
    return {"tn": tn, "fp": fp, "fn": fn, "tp": tp}


def rates(counts: dict[str, int]) -> dict[str, Any]:
    """Recall, specificity, precision and F1 of a confusion, with the confusion itself.

    A ratio with nothing below the line is 0, as in scikit-learn's zero_division=0.
    """
    tn, fp, fn, tp = (counts[name] for name in ("tn", "fp", "fn", "tp"))
    return {
        "recall": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "precision": _ratio(tp, tp + fp),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "confusion": counts,
    }


def at_threshold(label: Labels, probability: Scores, threshold: float) -> dict[str, Any]:
    """`rates` of calling malignant what has at least `threshold`."""
    return rates(confusion(label, probability >= threshold))


def classification_metrics(label: Labels, probability: Scores) -> dict[str, Any]:
    """ROC AUC, average precision, Brier score, and accuracy and `rates` at threshold 0.5; both classes must occur."""
    at_half = at_threshold(label, probability, 0.5)
    counts = at_half["confusion"]
    return {
        "n": len(label),
        "roc_auc": float(roc_auc_score(label, probability)),
        "average_precision": float(average_precision_score(label, probability)),
        "accuracy": _ratio(counts["tn"] + counts["tp"], len(label)),
        **{name: value for name, value in at_half.items() if name != "confusion"},
        "brier": float(brier_score_loss(label, probability)),
        "confusion": counts,
    }


def curves(label: Labels, probability: Scores) -> dict[str, pd.DataFrame]:
    """Tables to plot: roc (fpr, tpr), pr (recall, precision), calibration (predicted, observed by tenth of the images),
    and confusion (actual, predicted at 0.5; a row an image).
    """
    fpr, tpr, _ = roc_curve(label, probability)
    precision, recall, _ = precision_recall_curve(label, probability, drop_intermediate=True)
    observed, predicted = calibration_curve(label, probability, n_bins=CALIBRATION_BINS, strategy="quantile")
    names = np.array(["benign", "malignant"])
    return {
        "roc": pd.DataFrame({"fpr": fpr, "tpr": tpr}),
        "pr": pd.DataFrame({"recall": recall, "precision": precision}),
        "calibration": pd.DataFrame({"predicted": predicted, "observed": observed}),
        "confusion": pd.DataFrame({"actual": names[label], "predicted": names[(probability >= 0.5).astype(int)]}),  # noqa: PLR2004
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
