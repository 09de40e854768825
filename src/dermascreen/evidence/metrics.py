"""Metrics of predictions, as numbers and as curves."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from dermascreen.evidence.operating_points import HALF, called_malignant

Labels = npt.NDArray[np.int64]  # 0 benign, 1 malignant; shape (n,)
Scores = npt.NDArray[np.float64]  # higher for malignant: probabilities, or logits; shape (n,)

CALIBRATION_BINS = 10
FEWEST_FOR_AUC = 2  # images of each class: with only one, an AUC is no more than its rank
PARTIAL_FROM = 0.8  # the sensitivity above which `partial_roc_auc` measures


@dataclass(frozen=True)
class Confusion:
    """Counts of true and false negatives and positives; malignant is positive."""

    tn: int
    fp: int
    fn: int
    tp: int

    @property
    def malignant(self) -> int:
        return self.fn + self.tp

    @property
    def benign(self) -> int:
        return self.tn + self.fp

    @property
    def called(self) -> int:
        """How many are called malignant."""
        return self.tp + self.fp

    @property
    def total(self) -> int:
        return self.malignant + self.benign


@dataclass(frozen=True)
class Rates:
    """Rates of a confusion, and the confusion itself.

    A ratio with denominator 0 is None, such as the precision where nothing is called malignant.
    """

    recall: float | None
    specificity: float | None
    precision: float | None
    f1: float | None
    confusion: Confusion


@dataclass(frozen=True)
class Metrics(Rates):
    """Threshold-free metrics, and accuracy and rates at threshold 0.5."""

    n: int  # images
    malignant: int
    roc_auc: float
    partial_roc_auc: float  # at most 0.2
    average_precision: float
    accuracy: float
    brier: float
    log_loss: float


def confusion(label: Labels, called: npt.NDArray[np.bool_]) -> Confusion:
    """The confusion of `label` and what is `called` malignant, each of shape (n,)."""
    return Confusion(*np.bincount(2 * label + called, minlength=4).tolist())


def rates(counts: Confusion) -> Rates:
    """Recall, specificity, precision and F1 of a confusion."""
    return Rates(
        recall=ratio(counts.tp, counts.malignant),
        specificity=ratio(counts.tn, counts.benign),
        precision=ratio(counts.tp, counts.called),
        f1=ratio(2 * counts.tp, counts.malignant + counts.called),
        confusion=counts,
    )


def at_threshold(label: Labels, probability: Scores, threshold: float) -> Rates:
    """`rates` if images with at least `threshold` are called malignant."""
    return rates(confusion(label, called_malignant(probability, threshold)))


def partial_roc_auc(label: Labels, score: Scores) -> float:
    """The area under the ROC curve above a sensitivity of 80 %, at most 0.2: the measure of the ISIC 2024 challenge.

    With the classes swapped and the score negated, sensitivity becomes specificity; scikit-learn's standardised area
    (McClish 1989) up to a false positive rate of 0.2 is then converted back to the plain area.
    """
    most = 1 - PARTIAL_FROM
    least = most**2 / 2
    standardised = float(roc_auc_score(1 - label, -score, max_fpr=most))
    return least + (most - least) * (2 * standardised - 1)


def classification_metrics(label: Labels, probability: Scores) -> Metrics:
    """The metrics of a probability of malignant; `label` and `probability` of shape (n,), both classes must occur."""
    at_half = at_threshold(label, probability, HALF)
    counts = at_half.confusion
    return Metrics(
        **vars(at_half),
        n=len(label),
        malignant=int(label.sum()),
        roc_auc=float(roc_auc_score(label, probability)),
        partial_roc_auc=partial_roc_auc(label, probability),
        average_precision=float(average_precision_score(label, probability)),
        accuracy=(counts.tn + counts.tp) / len(label),
        brier=float(brier_score_loss(label, probability)),
        log_loss=float(log_loss(label, probability)),
    )


def curves(label: Labels, probability: Scores) -> dict[str, pd.DataFrame]:
    """Tables to plot: roc (fpr, tpr), pr (recall, precision), calibration (predicted, observed by tenth of the images),
    and confusion (actual, predicted at 0.5; a row for each image).
    """
    fpr, tpr, _ = roc_curve(label, probability)
    precision, recall, _ = precision_recall_curve(label, probability, drop_intermediate=True)
    observed, predicted = calibration_curve(label, probability, n_bins=CALIBRATION_BINS, strategy="quantile")
    names = np.array(["benign", "malignant"])
    return {
        "roc": pd.DataFrame({"fpr": fpr, "tpr": tpr}),
        "pr": pd.DataFrame({"recall": recall, "precision": precision}),
        "calibration": pd.DataFrame({"predicted": predicted, "observed": observed}),
        "confusion": pd.DataFrame(
            {"actual": names[label], "predicted": names[called_malignant(probability, HALF).astype(int)]}
        ),
    }


def ratio(part: float, whole: float) -> float | None:
    """`part` / `whole`; None where `whole` is 0."""
    return part / whole if whole else None
