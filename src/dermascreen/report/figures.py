"""Figures that a person reads: val and test over each other, in colours that the colour-blind can tell apart."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, roc_curve

from dermascreen.evidence.intervals import CONFIDENCE
from dermascreen.evidence.metrics import CALIBRATION_BINS, Labels, Scores
from dermascreen.report.bands import Band, curve_bands
from dermascreen.report.wording import INTERVENTIONS, POINTS, percent, share, signed

INK, FAINT = "#22252a", "#8a8a8a"
COLOURS = {"val": "#e69f00", "test": "#0072b2", "baseline": "#cc79a7"}  # Okabe and Ito
LINES = {"val": "--", "test": "-", "baseline": "-."}
THEME = {INK: "--ink", FAINT: "--faint", **{colour: f"--{name}" for name, colour in COLOURS.items()}}  # of the page
FONT: Any = {"font.family": "sans-serif", "font.size": 10, "svg.fonttype": "none"}
LEGEND: Any = {"frameon": False, "labelcolor": INK, "fontsize": 9.5}
WIDTH = 4.0  # inches: still legible across a phone

BAND = f" The band holds {percent(CONFIDENCE)} of the curves of test that redrawn lesions give, point by point."
FIGURES = {  # as `draw` names them: a caption, and a description for those who cannot see the figure
    "operating_points": (
        "Sensitivity and specificity by threshold, with the operating points.",
        "Lines of sensitivity, which falls with the threshold, and specificity, which rises, on val and test",
    ),
    "calibration": (
        "Calibration on test: on the dotted line, of 100 images given 0.3 thirty are malignant.",
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
        "How the network\u2019s AUC on test changes when a cue is taken away.",
        "Changes of the area under the curve with their intervals; the numbers are in the table of shortcuts",
    ),
    "clinics": (
        "AUC in each other clinic, and here.",
        "Areas under the curve with intervals; the numbers are in the table of clinics",
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
    predictions: pd.DataFrame,
    shortcuts: pd.DataFrame,
    decision_curve: pd.DataFrame,
    metrics: Mapping[str, Mapping[str, Any]],
    *,
    draws: int,
    seed: int,
) -> dict[str, Figure]:
    """The figures of the page by name, as FIGURES has them; `clinics` only where there are any.

    Curves have a band only where redrawn lesions say something: where the AUC has DeLong's interval.

    Parameters: reports/predictions.csv; reports/shortcuts.csv; decision_curve_test.csv; metrics/<stage>.json by stage;
    how often lesions are drawn for the bands, and the seed of that.
    """
    evaluate, threshold, evidence = metrics["evaluate"], metrics["threshold"], metrics["shortcuts"]
    test = predictions[predictions["split"].eq("test")]
    label, lesion = test["label"].to_numpy(), test["lesion"].to_numpy()
    curves = {name: _scored(predictions[predictions["split"].eq(name)]) for name in ("val", "test")}
    banded = "delong" in evaluate["test"]["intervals"]["roc_auc"]
    bands = curve_bands(label, curves["test"][1], lesion, draws=draws, seed=seed) if banded else None
    best = max(evidence["baselines"], key=lambda name: evidence["baselines"][name]["roc_auc"])
    areas = {name: evaluate[name]["roc_auc"] for name in curves} | {"baseline": evidence["baselines"][best]["roc_auc"]}
    scored = curves | {"baseline": (shortcuts["label"].to_numpy(), shortcuts[best].to_numpy())}
    names = {name: name for name in curves} | {"baseline": NAMES[best]}
    precisions = {name: evaluate[name]["average_precision"] for name in curves}
    steps = {"before": test["probability"].to_numpy(), "after": test["calibrated_probability"].to_numpy()}
    clinics = metrics["external"]["clinics"]
    figures = {
        "operating_points": plot_operating_points(
            curves, {point: threshold[point]["threshold"] for point in POINTS}, threshold.get("abstention")
        ),
        "calibration": plot_calibration(label, steps),
        "roc": plot_roc(
            {f"{names[name]}, AUC {share(areas[name])}": (name, *scored[name]) for name in scored}, bands and bands.roc
        ),
        "precision_recall": plot_precision_recall(
            {f"{name}, average {share(precisions[name])}": (name, *curves[name]) for name in curves},
            bands and bands.precision_recall,
        ),
        "decision": plot_decision(decision_curve),
        "baselines": plot_forest(_auc_rows(evidence["network"], evidence["baselines"]), "ROC AUC"),
        "interventions": plot_forest(
            [Estimate(INTERVENTIONS[name], -row["fall"], -row["high"], -row["low"])
             for name, row in evidence["interventions"].items()],
            "change of the AUC", zero=True,
        ),
    }  # fmt: skip
    if clinics:
        figures["clinics"] = plot_forest(_auc_rows(evaluate["test"], clinics, "here, test"), "ROC AUC")
    return figures


def _scored(part: pd.DataFrame) -> tuple[Labels, Scores]:
    return part["label"].to_numpy(), part["calibrated_probability"].to_numpy()


def _auc_rows(first: Mapping[str, Any], others: Mapping[str, Any], name: str = "network") -> list[Estimate]:
    """A row for `first`, which is strong, and one for each of `others`, with roc_auc and the first of its intervals."""
    named = [(name, first), *((NAMES.get(name, name), row) for name, row in others.items())]
    intervals = [next(iter(row["intervals"]["roc_auc"].values())) for _, row in named]
    return [
        Estimate(name, row["roc_auc"], interval["low"], interval["high"], row is first)
        for (name, row), interval in zip(named, intervals, strict=True)
    ]


def plot_roc(curves: Mapping[str, tuple[str, Labels, Scores]], band: Band | None) -> Figure:
    """A line for each of `curves`, by legend: its key in COLOURS, labels and scores; `band` is that of test, if any."""
    figure, axes = _figure("1 - specificity", "sensitivity")
    _shade(axes, band)
    for legend, (key, label, score) in curves.items():
        fpr, tpr, _ = roc_curve(label, score)
        axes.plot(fpr, tpr, **_style(key), label=legend)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":", label="chance")
    _unit_square(axes)
    axes.legend(loc="lower right", **LEGEND)
    return figure


def plot_precision_recall(curves: Mapping[str, tuple[str, Labels, Scores]], band: Band | None) -> Figure:
    figure, axes = _figure("sensitivity (recall)", "precision")
    _shade(axes, band)
    for legend, (key, label, score) in curves.items():
        precision, recall, _ = precision_recall_curve(label, score)
        axes.plot(recall, precision, **_style(key), drawstyle="steps-post", label=legend)
    _unit_square(axes)
    axes.legend(loc="lower left", **LEGEND)
    return figure


def plot_calibration(label: Labels, probabilities: Mapping[str, Scores]) -> Figure:
    """Observed share of malignant by predicted probability, in bins of equal size, for `before` and `after`."""
    figure, axes = _figure("predicted probability", "observed share of malignant")
    for (name, probability), key in zip(probabilities.items(), ("val", "test"), strict=True):
        observed, predicted = calibration_curve(label, probability, n_bins=CALIBRATION_BINS, strategy="quantile")
        axes.plot(predicted, observed, **_style(key), marker="o", markersize=4, label=f"{name} temperature")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":", label="perfect")
    _unit_square(axes)
    axes.legend(loc="upper left", **LEGEND)
    return figure


def plot_operating_points(
    curves: Mapping[str, tuple[Labels, Scores]],
    thresholds: Mapping[str, float],
    abstention: Mapping[str, Any] | None = None,
) -> Figure:
    """Sensitivity and specificity at every threshold, a line at each of `thresholds`, and the band that is referred."""
    figure, axes = _figure("threshold", "share")
    for split, (label, probability) in curves.items():
        fpr, tpr, threshold = roc_curve(label, probability, drop_intermediate=False)
        at = np.append(np.minimum(threshold, 1.0), 0.0)  # the first, at which nothing is called malignant, is infinite
        style = _style(split) | {"drawstyle": "steps-pre"}
        axes.plot(at, np.append(tpr, tpr[-1]), **style, label=f"sensitivity, {split}")
        axes.plot(at, 1 - np.append(fpr, fpr[-1]), **style | {"linewidth": 0.9}, label=f"specificity, {split}")
    if abstention:
        axes.axvspan(abstention["low"], abstention["high"], color=FAINT, alpha=0.2, linewidth=0, label="referred")
    for number, (name, threshold) in enumerate(sorted(thresholds.items(), key=lambda item: item[1])):
        axes.axvline(threshold, color=FAINT, linewidth=1)
        axes.annotate(
            f"{POINTS[name]} {share(threshold)}", (threshold, 1), (0, 5 + 12 * number), textcoords="offset points",
            xycoords=("data", "axes fraction"), ha="left" if threshold < 0.5 else "right", fontsize=9, color=INK,  # noqa: PLR2004
        )  # fmt: skip
    _unit_square(axes)
    axes.set_aspect("auto")
    figure.legend(loc="outside lower center", ncols=2, **LEGEND)
    return figure


def plot_decision(curve: pd.DataFrame) -> Figure:
    """The lines of `curve`: threshold, model, treat_all and treat_none; what is far below zero is cut off."""
    figure, axes = _figure("threshold", "net benefit")
    axes.plot(curve["threshold"], curve["treat_all"], color=COLOURS["val"], linestyle="--", label="everyone")
    axes.plot(curve["threshold"], curve["treat_none"], color=FAINT, linestyle=":", label="no one")
    axes.plot(curve["threshold"], curve["model"], **_style("test"), label="the model")
    highest = curve[["model", "treat_all"]].to_numpy().max()
    axes.set_ylim(-0.2 * highest, 1.08 * highest)
    axes.legend(**LEGEND)
    return figure


def plot_forest(rows: Sequence[Estimate], xlabel: str, *, zero: bool = False) -> Figure:
    """A point and its interval a row, from the top; with `zero`, a line there."""
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
    """A figure as SVG for a page with other figures: its text as text, its colours the page's, its ids its own.

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


def _shade(axes: Axes, band: Band | None) -> None:
    if band is None:
        return
    axes.fill_between(band.at, band.low, band.high, color=COLOURS["test"], alpha=0.18, linewidth=0)


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect("equal")
