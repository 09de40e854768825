"""Figures that a person reads: val and test over each other, in colours that the colour-blind can tell apart."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from dermascreen.evidence.metrics import CALIBRATION_BINS, Labels, Scores, confusion

Predictions = Mapping[str, tuple[Labels, Scores]]  # by split: 0 or 1, and the probability of malignant; each (n,)

COLOURS = {"val": "#E69F00", "test": "#0072B2"}  # Okabe and Ito
LINES = {"val": "--", "test": "-"}
INK, FAINT = "#333333", "#999999"
MAP_COLOURS = "viridis"  # even in lightness, and unlike skin
STRONGEST = 0.65  # opacity of the colour where a map is 1


def draw(predictions: Predictions, thresholds: Mapping[str, float]) -> dict[str, Figure]:
    """The figures of the page by file name; `thresholds` by operating point."""
    label, probability = predictions["test"]
    confusions = {
        f"{point}, {thresholds[point]:.3g}": confusion(label, probability >= thresholds[point])
        for point in ("default", "high_recall")
    }
    return {
        "operating_points.svg": plot_operating_points(predictions, thresholds),
        "roc.svg": plot_roc(predictions),
        "precision_recall.svg": plot_precision_recall(predictions),
        "calibration.svg": plot_calibration(predictions),
        "confusion.svg": plot_confusion(confusions),
    }


def plot_roc(predictions: Predictions) -> Figure:
    figure, axes = _figure("1 - specificity", "sensitivity")
    for split, (label, probability) in predictions.items():
        fpr, tpr, _ = roc_curve(label, probability)
        axes.plot(fpr, tpr, **_style(split), label=f"{split}, AUC {roc_auc_score(label, probability):.3f}")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":", label="chance")
    _unit_square(axes)
    axes.legend(loc="lower right", frameon=False)
    return figure


def plot_precision_recall(predictions: Predictions) -> Figure:
    figure, axes = _figure("sensitivity (recall)", "precision")
    for split, (label, probability) in predictions.items():
        precision, recall, _ = precision_recall_curve(label, probability)
        name = f"{split}, average precision {average_precision_score(label, probability):.3f}"
        axes.plot(recall, precision, **_style(split), drawstyle="steps-post", label=name)
    _unit_square(axes)
    axes.legend(loc="lower left", frameon=False)
    return figure


def plot_calibration(predictions: Predictions) -> Figure:
    """Observed share of malignant by predicted probability, in bins of equal size."""
    figure, axes = _figure("predicted probability", "observed share of malignant")
    for split, (label, probability) in predictions.items():
        observed, predicted = calibration_curve(label, probability, n_bins=CALIBRATION_BINS, strategy="quantile")
        axes.plot(predicted, observed, **_style(split), marker="o", markersize=4, label=split)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":", label="perfect")
    _unit_square(axes)
    axes.legend(loc="upper left", frameon=False)
    return figure


def plot_confusion(confusions: Mapping[str, Mapping[str, int]]) -> Figure:
    """A matrix for each name; each of `confusions` has tn, fp, fn and tp, coloured by the share of the actual class."""
    figure = Figure(figsize=(4.4, 2.9), layout="constrained")
    for number, (name, counts) in enumerate(confusions.items(), start=1):
        matrix = np.array([[counts["tn"], counts["fp"]], [counts["fn"], counts["tp"]]])
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        axes = figure.add_subplot(1, len(confusions), number)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), value in np.ndenumerate(matrix):
            colour = "white" if shares[row, column] > 0.65 else INK  # noqa: PLR2004
            axes.text(column, row, str(value), ha="center", va="center", color=colour, fontsize=15)
        axes.set_xticks([0, 1], ["benign", "malignant"])
        axes.set_yticks([0, 1], ["benign", "malignant"], rotation=90, va="center")
        axes.set_xlabel("called")
        axes.set_ylabel("actual")
        axes.set_title(name, fontsize=10)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    return figure


def plot_operating_points(predictions: Predictions, thresholds: Mapping[str, float]) -> Figure:
    """Sensitivity and specificity at every threshold, with a line at each of `thresholds`."""
    figure, axes = _figure("threshold", "share", width=9.2)
    for split, (label, probability) in predictions.items():
        fpr, tpr, threshold = roc_curve(label, probability, drop_intermediate=False)
        at = np.append(np.minimum(threshold, 1.0), 0.0)  # the first, at which nothing is called malignant, is infinite
        style = _style(split) | {"drawstyle": "steps-pre"}
        axes.plot(at, np.append(tpr, tpr[-1]), **style, label=f"{split}, sensitivity")
        axes.plot(at, 1 - np.append(fpr, fpr[-1]), **style | {"linewidth": 0.9}, label=f"{split}, specificity")
    for number, (name, threshold) in enumerate(sorted(thresholds.items(), key=lambda item: item[1])):
        axes.axvline(threshold, color=FAINT, linewidth=1)
        axes.annotate(
            f"{name} {threshold:.3g}", (threshold, 1.03 + 0.055 * number), xycoords=("data", "axes fraction"),
            ha="left" if threshold < 0.5 else "right", fontsize=8, color=INK,  # noqa: PLR2004
        )  # fmt: skip
    _unit_square(axes)
    axes.set_aspect("auto")
    figure.legend(loc="outside lower center", frameon=False, ncols=4, fontsize=9)
    return figure


def overlay(image: npt.NDArray[np.uint8], values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Colour `image`, shape (H, W, 3), by a map in [0, 1], shape (H, W), as strongly as the map is high.

    Where the map is 0 the image stays as it is.
    """
    colour = mpl.colormaps[MAP_COLOURS](values)[..., :3] * 255
    opacity = STRONGEST * values[..., None].astype(np.float64)
    return np.rint(image * (1 - opacity) + colour * opacity).astype(np.uint8)


def save_figure(figure: Figure, path: Path) -> None:
    """Write SVG; the same figure gives the same bytes."""
    with mpl.rc_context({"svg.hashsalt": "dermascreen"}):
        figure.savefig(path, metadata={"Date": None})


def save_image(image: npt.NDArray[np.uint8], path: Path) -> None:
    """Write `image`, shape (H, W, 3)."""
    Image.fromarray(image).save(path)


def _figure(xlabel: str, ylabel: str, width: float = 4.4) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=9)
    return figure, axes


def _style(split: str) -> dict[str, Any]:
    return {"color": COLOURS[split], "linestyle": LINES[split], "linewidth": 1.8}


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect("equal")
