"""Figures say the numbers they are given."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.cbook import STEP_LOOKUP_MAP
from reported_models import TRAINING
from typed import results_of

from dermascreen.evidence.operating_points import Band
from dermascreen.report import figures
from dermascreen.report.bands import CurveBand

LABEL = np.array([0, 0, 0, 0, 1, 1, 1, 1])
PROBABILITY = np.array([0.1, 0.2, 0.5, 0.8, 0.4, 0.6, 0.7, 0.9])
CURVES = {"val": (LABEL, 1 - PROBABILITY), "test": (LABEL, PROBABILITY)}
KEYED = {f"the line of {split}": (split, *curve) for split, curve in CURVES.items()}
THRESHOLDS = {"Default": 0.5, "Best F1": 0.4, "Youden": 0.6, "High recall": 0.4}
REFERRED = Band(0.2, 0.7, "a rule", 0.9, 0.95, True, 93, 1, 59)
BAND = CurveBand(np.array([0.25, 1.0]), np.array([0.1, 0.9]), np.array([0.6, 1.0]))


def lines(figure):
    return {line.get_label(): line for line in figure.axes[0].lines}


def test_roc_overlays_the_splits_and_shades_the_band() -> None:
    figure = figures.plot_roc(KEYED, BAND)
    drawn = lines(figure)
    assert list(drawn) == ["the line of val", "the line of test", "chance"]
    assert drawn["the line of test"].get_xydata().tolist() == [
        [0, 0], [0, 0.25], [0.25, 0.25], [0.25, 0.75], [0.5, 0.75], [0.5, 1], [1, 1],
    ]  # fmt: skip
    (shade,) = figure.axes[0].collections
    corners = {tuple(point) for point in shade.get_paths()[0].vertices.tolist()}
    assert corners == {(0.25, 0.1), (0.25, 0.6), (1.0, 0.9), (1.0, 1.0)}


@pytest.mark.parametrize(("epochs", "ticks"), [(1, [0]), (3, [0, 1, 2])])
def test_few_epochs_have_a_tick_each(epochs: int, ticks: list[int]) -> None:
    epoch = np.arange(epochs)
    (axes,) = figures.plot_epochs(epoch, epoch / 10, epoch / 20, "loss").axes
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == ticks


def test_precision_recall_overlays_the_splits() -> None:
    drawn = lines(figures.plot_precision_recall(KEYED, BAND))
    test = drawn["the line of test"].get_xydata()
    assert test[0].tolist() == [1, 0.5]
    assert test[-2].tolist() == [0.25, 1]
    assert len(drawn) == 2


def test_calibration_compares_what_was_predicted_with_what_was_seen() -> None:
    probability = np.repeat([0.05, 0.95], 10)
    label = np.array([0] * 9 + [1] + [1] * 8 + [0] * 2)
    drawn = lines(figures.plot_calibration(label, {"before": probability, "after": 0.5 * probability}))
    np.testing.assert_allclose(drawn["before temperature"].get_xydata(), [[0.05, 0.1], [0.95, 0.8]])
    np.testing.assert_allclose(drawn["after temperature"].get_xydata(), [[0.025, 0.1], [0.475, 0.8]])


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.45, 0.65, 0.85, 0.95])
def test_sensitivity_and_specificity_are_those_at_the_threshold(threshold) -> None:
    drawn = lines(figures.plot_operating_points(CURVES, {}))
    for name, expected in {
        "sensitivity, test": np.mean(PROBABILITY[LABEL == 1] >= threshold),
        "specificity, test": np.mean(PROBABILITY[LABEL == 0] < threshold),
    }.items():
        at, value = STEP_LOOKUP_MAP[drawn[name].get_drawstyle()](*drawn[name].get_data())
        (level,) = [place for place in range(len(at) - 1) if at[place] > threshold > at[place + 1]]
        assert value[level] == value[level + 1] == expected


def test_each_operating_point_has_a_line_and_a_name() -> None:
    axes = figures.plot_operating_points(CURVES, THRESHOLDS).axes[0]
    assert [line.get_xdata()[0] for line in axes.lines[4:]] == [0.4, 0.4, 0.5, 0.6]
    names = ["Best F1 0.400", "High recall 0.400", "Default 0.500", "Youden 0.600"]
    assert [text.get_text() for text in axes.texts] == names
    assert not axes.patches


def test_what_is_referred_is_shaded() -> None:
    (shade,) = figures.plot_operating_points(CURVES, THRESHOLDS, REFERRED).axes[0].patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == pytest.approx((0.2, 0.7))


def test_the_decision_curve_is_cut_below_where_nothing_is_read(decision_curve) -> None:
    far = dataclasses.replace(decision_curve, treat_all=np.array([0.5, 0.1, -2.0, -9.0]))
    figure = figures.plot_decision(far)
    drawn = lines(figure)
    assert drawn["the model"].get_ydata().tolist() == [0.5, 0.46, 0.44, 0.3]
    assert drawn["everyone"].get_ydata().tolist() == [0.5, 0.1, -2.0, -9.0]
    assert drawn["no one"].get_ydata().tolist() == [0.0] * 4
    assert figure.axes[0].get_ylim() == pytest.approx((-0.1, 0.54))


def test_a_forest_has_a_row_for_each_estimate() -> None:
    rows = [figures.Estimate("here", 0.9, 0.85, 0.95, strong=True), figures.Estimate("a $1 site", -0.1, -0.2, 0.05)]
    axes = figures.plot_forest(rows, "AUC").axes[0]
    assert [list(line.get_xdata()) for line in axes.lines] == [[0.85, 0.95], [0.9], [-0.2, 0.05], [-0.1]]
    assert [text.get_text() for text in axes.texts] == ["0.900", "\u22120.100"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["here", "a $1 site"]
    assert axes.yaxis_inverted()
    assert [list(line.get_xdata()) for line in figures.plot_forest(rows, "fall", zero=True).axes[0].lines][-1] == [0, 0]


def test_the_figures_are_those_of_the_metrics(metrics, sites, predictions, scores, decision_curve) -> None:
    drawn = figures.draw(results_of(metrics), predictions, scores, decision_curve, TRAINING, draws=5, seed=0)
    assert list(drawn) == [name for name in figures.FIGURES if name != "sites"]
    assert list(lines(drawn["roc"])) == ["val, AUC 0.913", "test, AUC 0.888", "all colours, AUC 0.853", "chance"]
    assert list(lines(drawn["precision_recall"])) == ["val, average 0.872", "test, average 0.872"]
    assert lines(drawn["training"])["val"].get_ydata().tolist() == [0.7, 0.88, 0.86]
    assert lines(drawn["loss"])["train"].get_ydata().tolist() == [0.7, 0.4, 0.3]
    named = [label.get_text() for label in drawn["baselines"].axes[0].get_yticklabels()]
    assert named == ["network", "file format", "frame colours", "all colours", "12 px thumbnail"]
    assert [text.get_text() for text in drawn["interventions"].axes[0].texts] == ["\u22120.057", "\u22120.026", "0.000"]
    results = results_of(metrics | {"external": sites})
    with_sites = figures.draw(results, predictions, scores, decision_curve, TRAINING, draws=5, seed=0)
    assert list(with_sites) == list(figures.FIGURES)
    assert [text.get_text() for text in with_sites["sites"].axes[0].texts] == ["0.888", "0.801"]


def test_no_legend_covers_a_curve(metrics, predictions, scores, decision_curve) -> None:
    drawn = figures.draw(results_of(metrics), predictions, scores, decision_curve, TRAINING, draws=5, seed=0)
    forests = {"baselines", "interventions"}  # which have none
    for figure in (figure for name, figure in drawn.items() if name not in forests):
        figure.draw_without_rendering()
        [legend] = figure.legends
        assert legend.get_window_extent().y1 < figure.axes[0].get_tightbbox().y0


def test_thresholds_are_on_the_calibrated_probability(metrics, predictions, scores, decision_curve) -> None:
    drawn = figures.draw(results_of(metrics), predictions, scores, decision_curve, TRAINING, draws=5, seed=0)
    at = lines(drawn["operating_points"])["sensitivity, test"].get_xdata()
    assert sorted(set(at.tolist()) - {0.0, 1.0}) == sorted(predictions.part("test").probability)


def test_an_svg_takes_the_pages_colours_and_has_its_own_names() -> None:
    rows = [figures.Estimate("<here> & $1", 0.9, 0.85, 0.95, strong=True)]
    drawn = figures.svg("one", figures.plot_forest(rows, "AUC"))
    assert drawn.startswith("<svg ")
    assert "<text" in drawn
    assert "&lt;here&gt; &amp; $1" in drawn
    assert "var(--ink, #22252a)" in drawn
    assert "var(--test, #0072b2)" in drawn
    assert "<style" not in drawn
    assert 'id="one-figure_1"' in drawn
    assert 'id="figure_1"' not in drawn
    assert "font-family" not in drawn
    assert ' width="' not in drawn[: drawn.index(">")]
    assert drawn == figures.svg("one", figures.plot_forest(rows, "AUC"))


@pytest.mark.slow
def test_the_report_needs_neither_torch_nor_the_model() -> None:
    code = (
        "import sys, dermascreen.report.figures, dermascreen.report.page, dermascreen.report.card; "
        "print([name for name in sys.modules if name in ('torch', 'captum', 'mlflow', 'matplotlib.pyplot') "
        "or name.startswith(('dermascreen.network', 'dermascreen.prediction', 'dermascreen.explanation'))])"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env)
    assert ran.stdout == "[]\n"
