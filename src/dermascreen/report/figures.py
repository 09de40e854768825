"""Figures that a person reads: val and test in one plot, in colours that the colour-blind can tell apart."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, roc_curve

from dermascreen.artifacts.dataset.splits import TEST, VAL
from dermascreen.artifacts.results.curves import DecisionCurve, TrainingCurves
from dermascreen.artifacts.results.predictions import Predictions
from dermascreen.artifacts.results.shortcuts import ShortcutScores
from dermascreen.evidence.clusters import CONFIDENCE
from dermascreen.evidence.intervals import Intervals, main_interval
from dermascreen.evidence.metrics import CALIBRATION_BINS, Labels, Scores
from dermascreen.evidence.operating_points import Band
from dermascreen.report.bands import CurveBand, curve_bands
from dermascreen.report.numbers import percent, share, signed
from dermascreen.report.results import Results
from dermascreen.report.wording import INTERVENTIONS, points_of

INK, FAINT = "#22252a", "#8a8a8a"
COLOURS = {"val": "#e69f00", "test": "#0072b2", "baseline": "#cc79a7"}  # Okabe and Ito
LINES = {"val": "--", "test": "-", "baseline": "-."}
THEME = {INK: "--ink", FAINT: "--faint", **{colour: f"--{name}" for name, colour in COLOURS.items()}}  # of the page
FONT: Any = {"font.family": "sans-serif", "font.size": 10, "svg.fonttype": "none"}
FEW_EPOCHS = 10  # up to which each has a point
WIDTH = 4.0  # inches: still legible across a phone

BAND = f" At each point, the band holds {percent(CONFIDENCE)} of the test curves of the cluster bootstrap."
FIGURES = {  # as `draw` names them: a caption, and a description for those who cannot see the figure
    "operating_points": (
        "Sensitivity and specificity by threshold, with the operating points.",
        "Lines of sensitivity, which falls with the threshold, and specificity, which rises, on val and test",
    ),
    "calibration": (
        "Calibration on test: on the dotted line, 30 of 100 images with a probability of 0.3 are malignant.",
        "Observed share of malignant test images against predicted probability, before and after the temperature",
    ),
    "roc": (
        f"Receiver operating characteristic. The dash-dotted line is the best model on cues alone.{BAND}",
        "Sensitivity against 1 - specificity on val and test; the areas under the curves are in the table of results",
    ),
    "precision_recall": (
        f"Precision and sensitivity.{BAND}",
        "Precision against sensitivity on val and test; the average precisions are in the table of results",
    ),
    "loss": (
        "Loss by epoch. That of train is of augmented images, with label smoothing, mixup and class weights if these "
        "are on.",
        "Binary cross-entropy on train and val against the epoch",
    ),
    "training": (
        "ROC AUC by epoch. Val chooses the epoch whose weights are kept, or the images that are set aside for that.",
        "Area under the curve on train and val against the epoch",
    ),
    "decision": (
        "Net benefit on test, in cancers found per image, at the images\u2019 own share of "
        "malignant ones (Vickers and Elkin 2006).",
        "Net benefit against the threshold for acting on the model, on everyone and on no one",
    ),
    "baselines": (
        "AUC on test of the network, and of models that see none of a lesion\u2019s structure.",
        "Areas under the curve with intervals; the numbers are in the table of shortcuts",
    ),
    "interventions": (
        "How the network\u2019s AUC on test changes when a cue is removed.",
        "Changes of the area under the curve with their intervals; the numbers are in the table of shortcuts",
    ),
    "sites": (
        "AUC at each other site, and here.",
        "Areas under the curve with intervals; the numbers are in the table of sites",
    ),
}
NAMES = {  # short, beside a figure
    "file": "file format", "frame": "frame colours", "colour": "all colours", "thumbnail": "12 px thumbnail"
}  # fmt: skip


class Estimate(NamedTuple):
    """A row of a forest plot; `strong` for what the others are compared with."""

    name: str
    value: float
    low: float
    high: float
    strong: bool = False


def draw(
    results: Results,
    predictions: Predictions,
    shortcuts: ShortcutScores,
    decision_curve: DecisionCurve,
    training: TrainingCurves,
    *,
    draws: int,
    seed: int,
) -> dict[str, Figure]:
    """The figures of the page by name, as FIGURES has them; `sites` only where there are any.

    Curves have a band only where the cluster bootstrap is informative: where the AUC has DeLong's interval.

    Parameters: the `decision_curve` of test; the curves of `training`; `draws`, how many times patients are drawn for
    the bands, with `seed`.
    """
    evaluate, threshold, evidence = results.evaluate, results.threshold, results.shortcuts
    val, test = predictions.part(VAL), predictions.part(TEST)
    curves = {"val": (val.label, val.probability), "test": (test.label, test.probability)}
    bands = curve_bands(test.sample, draws=draws, seed=seed) if results.banded else None
    best = evidence.best_baseline
    rocs = {
        f"val, AUC {share(evaluate.val.roc_auc)}": ("val", *curves["val"]),
        f"test, AUC {share(evaluate.test.roc_auc)}": ("test", *curves["test"]),
        f"{NAMES[best]}, AUC {share(evidence.baselines[best].roc_auc)}": (
            "baseline", shortcuts.label, shortcuts.baselines[best]
        ),
    }  # fmt: skip
    precisions = {
        f"val, average {share(evaluate.val.average_precision)}": ("val", *curves["val"]),
        f"test, average {share(evaluate.test.average_precision)}": ("test", *curves["test"]),
    }
    network = _auc_row("network", evidence.network.roc_auc, evidence.network.intervals.roc_auc)
    baselines = [_auc_row(NAMES[name], row.roc_auc, row.intervals.roc_auc) for name, row in evidence.baselines.items()]
    figures = {
        "operating_points": plot_operating_points(
            curves, {name: point.threshold for name, point in points_of(threshold).items()}, threshold.abstention
        ),
        "calibration": plot_calibration(test.label, {"before": test.uncalibrated, "after": test.probability}),
        "roc": plot_roc(rocs, bands and bands.roc),
        "precision_recall": plot_precision_recall(precisions, bands and bands.precision_recall),
        "loss": plot_epochs(training.epoch, training.train_loss, training.val_loss, "binary cross-entropy"),
        "training": plot_epochs(training.epoch, training.train_roc_auc, training.val_roc_auc, "ROC AUC"),
        "decision": plot_decision(decision_curve),
        "baselines": plot_forest([network._replace(strong=True), *baselines], "ROC AUC"),
        "interventions": plot_forest(
            [Estimate(INTERVENTIONS[name], -row.fall, -row.high, -row.low)
             for name, row in evidence.interventions.items()],
            "change of the AUC", zero=True,
        ),
    }  # fmt: skip
    if results.external.sites:
        here = _auc_row("here, test", evaluate.test.roc_auc, evaluate.test.intervals.roc_auc)
        sites = [_auc_row(name, site.roc_auc, site.intervals.roc_auc) for name, site in results.external.sites.items()]
        figures["sites"] = plot_forest([here._replace(strong=True), *sites], "ROC AUC")
    return figures


def _auc_row(name: str, auc: float, intervals: Intervals) -> Estimate:
    return Estimate(name, auc, *main_interval(intervals))


def _add_legend(figure: Figure) -> None:
    """Below the axes, where it covers no curve."""
    figure.legend(loc="outside lower center", ncols=2, frameon=False, labelcolor=INK, fontsize=9.5)


def plot_roc(curves: Mapping[str, tuple[str, Labels, Scores]], band: CurveBand | None) -> Figure:
    """A line for each of `curves`, by legend: its key in COLOURS, labels and scores; `band` is that of test, if any."""
    figure, axes = _figure("1 - specificity", "sensitivity")
    _shade(axes, band)
    for legend, (key, label, score) in curves.items():
        fpr, tpr, _ = roc_curve(label, score)
        axes.plot(fpr, tpr, **_style(key), label=legend)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":", label="chance")
    _unit_square(axes)
    _add_legend(figure)
    return figure


def plot_precision_recall(curves: Mapping[str, tuple[str, Labels, Scores]], band: CurveBand | None) -> Figure:
    figure, axes = _figure("sensitivity (recall)", "precision")
    _shade(axes, band)
    for legend, (key, label, score) in curves.items():
        precision, recall, _ = precision_recall_curve(label, score)
        axes.plot(recall, precision, **_style(key), drawstyle="steps-post", label=legend)
    _unit_square(axes)
    _add_legend(figure)
    return figure


def plot_calibration(label: Labels, probabilities: Mapping[str, Scores]) -> Figure:
    """Observed share of malignant by predicted probability, in bins of equal size, for `before` and `after`."""
    figure, axes = _figure("predicted probability", "observed share of malignant")
    for (name, probability), key in zip(probabilities.items(), ("val", "test"), strict=True):
        observed, predicted = calibration_curve(label, probability, n_bins=CALIBRATION_BINS, strategy="quantile")
        axes.plot(predicted, observed, **_style(key), marker="o", markersize=4, label=f"{name} temperature")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":", label="perfect")
    _unit_square(axes)
    _add_legend(figure)
    return figure


def plot_operating_points(
    curves: Mapping[str, tuple[Labels, Scores]],
    thresholds: Mapping[str, float],
    abstention: Band | None = None,
) -> Figure:
    """Sensitivity and specificity at every threshold, a named line at each of `thresholds`, and what is referred."""
    figure, axes = _figure("threshold", "share")
    for split, (label, probability) in curves.items():
        fpr, tpr, threshold = roc_curve(label, probability, drop_intermediate=False)
        at = np.append(np.minimum(threshold, 1.0), 0.0)  # the first, at which nothing is called malignant, is infinite
        style = _style(split) | {"drawstyle": "steps-post"}  # from the highest threshold down
        axes.plot(at, np.append(tpr, tpr[-1]), **style, label=f"sensitivity, {split}")
        axes.plot(at, 1 - np.append(fpr, fpr[-1]), **style | {"linewidth": 0.9}, label=f"specificity, {split}")
    if abstention:
        axes.axvspan(abstention.low, abstention.high, color=FAINT, alpha=0.2, linewidth=0, label="referred")
    for number, (name, threshold) in enumerate(sorted(thresholds.items(), key=lambda item: item[1])):
        axes.axvline(threshold, color=FAINT, linewidth=1)
        axes.annotate(
            f"{name} {share(threshold)}", (threshold, 1), (0, 5 + 12 * number), textcoords="offset points",
            xycoords=("data", "axes fraction"), ha="left" if threshold < 0.5 else "right", fontsize=9, color=INK,  # noqa: PLR2004
        )  # fmt: skip
    _unit_square(axes)
    axes.set_aspect("auto")
    _add_legend(figure)
    return figure


def plot_epochs(epoch: Scores, train: Scores, val: Scores, ylabel: str) -> Figure:
    """A measure on train and val by epoch, as points where there are few."""
    figure, axes = _figure("epoch", ylabel)
    marker = "o" if len(epoch) <= FEW_EPOCHS else ""
    axes.plot(epoch, train, **_style("baseline"), marker=marker, markersize=4, label="train")
    axes.plot(epoch, val, **_style("val"), marker=marker, markersize=4, label="val")
    axes.set_xlim(epoch.min() - 0.5, epoch.max() + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))  # of one epoch too
    _add_legend(figure)
    return figure


def plot_decision(curve: DecisionCurve) -> Figure:
    """The net benefit of treating by the model, everyone or no one; what is far below zero is cut off."""
    figure, axes = _figure("threshold", "net benefit")
    axes.plot(curve.threshold, curve.treat_all, color=COLOURS["val"], linestyle="--", label="everyone")
    axes.plot(curve.threshold, curve.treat_none, color=FAINT, linestyle=":", label="no one")
    axes.plot(curve.threshold, curve.model, **_style("test"), label="the model")
    highest = max(curve.model.max(), curve.treat_all.max())
    axes.set_ylim(-0.2 * highest, 1.08 * highest)
    _add_legend(figure)
    return figure


def plot_forest(rows: Sequence[Estimate], xlabel: str, *, zero: bool = False) -> Figure:
    """A point and its interval in each row, from the top; with `zero`, a line at 0."""
    figure, axes = _figure(xlabel, "", height=0.9 + 0.42 * len(rows))
    for number, row in enumerate(rows):
        colour = COLOURS["test"] if row.strong or zero else COLOURS["baseline"]
        axes.plot([row.low, row.high], [number, number], color=colour, linewidth=2)
        axes.plot([row.value], [number], color=colour, marker="s" if row.strong else "o", markersize=6)
        text = signed(row.value) if zero else f"{row.value:.3f}".replace("-", "\N{MINUS SIGN}")
        axes.annotate(text, (row.value, number), (0, 6), textcoords="offset points", ha="center", fontsize=9, color=INK)
    if zero:
        axes.axvline(0, color=FAINT, linewidth=1, linestyle=":")
    axes.set_yticks(range(len(rows)), [row.name for row in rows], parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.08)
    return figure


def svg(name: str, figure: Figure) -> str:
    """A figure as SVG for a page with other figures: text stays text, colours are the page's, and ids are unique.

    The same figure gives the same text.
    """
    file = io.StringIO()
    with mpl.rc_context({**FONT, "svg.hashsalt": name}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)  # it would style the whole page
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text)  # the page says how wide
    text = re.sub(r" font-family: [^;]*;", "", text)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{name}-", text)
    return re.sub("|".join(THEME), lambda colour: f"var({THEME[colour[0]]}, {colour[0]})", text)


def _figure(xlabel: str, ylabel: str, height: float = 3.7) -> tuple[Figure, Axes]:
    with mpl.rc_context(FONT):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xlabel(xlabel, color=INK)
        axes.set_ylabel(ylabel, color=INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(FAINT)
        axes.tick_params(color=FAINT, labelcolor=INK)
    return figure, axes


def _style(key: str) -> dict[str, Any]:
    return {"color": COLOURS[key], "linestyle": LINES[key], "linewidth": 1.8}


def _shade(axes: Axes, band: CurveBand | None) -> None:
    if band is None:
        return
    axes.fill_between(band.at, band.low, band.high, color=COLOURS["test"], alpha=0.18, linewidth=0)


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect("equal")
