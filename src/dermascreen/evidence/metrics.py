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
    log_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

Labels = npt.NDArray[np.int64]  # 0 benign, 1 malignant; shape (n,)
Scores = npt.NDArray[np.float64]  # probability of malignant; shape (n,)

CALIBRATION_BINS = 10
PARTIAL_FROM = 0.8  # the sensitivity above which `partial_roc_auc` looks


def confusion(label: Labels, called: npt.NDArray[np.bool_]) -> dict[str, int]:
    """Counts of true and false negatives and positives; malignant is positive."""
    tn, fp, fn, tp = confusion_matrix(label, called, labels=[0, 1]).ravel().tolist()
    return {"tn": tn, "fp": fp, "fn": fn, "tp": tp}


def rates(counts: dict[str, int]) -> dict[str, Any]:
    """Recall, specificity, precision and F1 of a confusion, with the confusion itself.

    A ratio with nothing below the line is no number but None: where nothing is called malignant, no precision.
    """
    tn, fp, fn, tp = (counts[name] for name in ("tn", "fp", "fn", "tp"))
    return {
        "recall": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "precision": ratio(tp, tp + fp),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "confusion": counts,
    }


def at_threshold(label: Labels, probability: Scores, threshold: float) -> dict[str, Any]:
    """`rates` of calling malignant what has at least `threshold`."""
    return rates(confusion(label, probability >= threshold))


def partial_roc_auc(label: Labels, score: Scores) -> float:
    """The area between the ROC curve and a sensitivity of 80 %, of at most 0.2: the measure of the ISIC 2024 challenge.

    With the classes and the score turned round, sensitivity becomes specificity; scikit-learn's standardised area
    (McClish 1989) up to a false positive rate of 0.2 is then taken back to the plain one.
    """
    most = 1 - PARTIAL_FROM
    least = most**2 / 2
    standardised = float(roc_auc_score(1 - label, -score, max_fpr=most))
    return least + (most - least) * (2 * standardised - 1)


def classification_metrics(label: Labels, probability: Scores) -> dict[str, Any]:
    """What needs no threshold, and accuracy and `rates` at threshold 0.5; both classes must occur."""
    at_half = at_threshold(label, probability, 0.5)
    counts = at_half["confusion"]
    return {
        "n": len(label),
        "malignant": int(label.sum()),
        "roc_auc": float(roc_auc_score(label, probability)),
        "partial_roc_auc": partial_roc_auc(label, probability),
        "average_precision": float(average_precision_score(label, probability)),
        "accuracy": ratio(counts["tn"] + counts["tp"], len(label)),
        **{name: value for name, value in at_half.items() if name != "confusion"},
        "brier": float(brier_score_loss(label, probability)),
        "log_loss": float(log_loss(label, probability)),
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


def ratio(part: float, whole: float) -> float | None:
    """`part` of `whole`; of nothing, None."""
    return part / whole if whole else None
