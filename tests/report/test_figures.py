"""Figures say the numbers they are given, and a map of nothing leaves its image alone."""

import os
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from dermascreen.report import figures
from dermascreen.report.page import FIGURES

LABEL = np.array([0, 0, 0, 0, 1, 1, 1, 1])
PROBABILITY = np.array([0.1, 0.2, 0.5, 0.8, 0.4, 0.6, 0.7, 0.9])
PREDICTIONS = {"val": (LABEL, 1 - PROBABILITY), "test": (LABEL, PROBABILITY)}
THRESHOLDS = {"default": 0.5, "f1_optimal": 0.4, "youden": 0.6, "high_recall": 0.4}


def lines(figure):
    return {line.get_label(): line for line in figure.axes[0].lines}


def test_roc_overlays_the_splits() -> None:
    drawn = lines(figures.plot_roc(PREDICTIONS))
    assert list(drawn) == ["val, AUC 0.250", "test, AUC 0.750", "chance"]
    assert drawn["test, AUC 0.750"].get_xydata().tolist() == [
        [0, 0], [0, 0.25], [0.25, 0.25], [0.25, 0.75], [0.5, 0.75], [0.5, 1], [1, 1],
    ]  # fmt: skip


def test_precision_recall_overlays_the_splits() -> None:
    drawn = lines(figures.plot_precision_recall(PREDICTIONS))
    average = (1 + 2 / 3 + 3 / 4 + 4 / 6) / 4
    test = drawn[f"test, average precision {average:.3f}"].get_xydata()
    assert test[0].tolist() == [1, 0.5]
    assert test[-2].tolist() == [0.25, 1]
    assert len(drawn) == 2


def test_calibration_compares_what_was_predicted_with_what_was_seen() -> None:
    probability = np.repeat([0.05, 0.95], 10)
    label = np.array([0] * 9 + [1] + [1] * 8 + [0] * 2)
    drawn = lines(figures.plot_calibration({"test": (label, probability)}))
    np.testing.assert_allclose(drawn["test"].get_xydata(), [[0.05, 0.1], [0.95, 0.8]])


def test_confusion_shows_the_counts_in_their_places() -> None:
    figure = figures.plot_confusion(
        {"default": {"tn": 5, "fp": 1, "fn": 2, "tp": 7}, "none": dict.fromkeys(("tn", "fp", "fn", "tp"), 0)}
    )
    places = {tuple(text.get_position()): text.get_text() for text in figure.axes[0].texts}
    assert places == {(0, 0): "5", (1, 0): "1", (0, 1): "2", (1, 1): "7"}
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), [[5 / 6, 1 / 6], [2 / 9, 7 / 9]])
    assert [axes.get_title() for axes in figure.axes] == ["default", "none"]


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.45, 0.65, 0.85, 0.95])
def test_sensitivity_and_specificity_are_those_at_the_threshold(threshold) -> None:
    drawn = lines(figures.plot_operating_points(PREDICTIONS, {}))
    for name, expected in {
        "test, sensitivity": np.mean(PROBABILITY[LABEL == 1] >= threshold),
        "test, specificity": np.mean(PROBABILITY[LABEL == 0] < threshold),
    }.items():
        assert drawn[name].get_drawstyle() == "steps-pre"  # between two points the later one's value holds
        at, value = drawn[name].get_data()
        assert value[at >= threshold][-1] == expected


def test_each_operating_point_has_a_line_and_a_name() -> None:
    axes = figures.plot_operating_points(PREDICTIONS, THRESHOLDS).axes[0]
    assert [line.get_xdata()[0] for line in axes.lines[4:]] == [0.4, 0.4, 0.5, 0.6]
    assert [text.get_text() for text in axes.texts] == [
        "f1_optimal 0.4",
        "high_recall 0.4",
        "default 0.5",
        "youden 0.6",
    ]


def test_the_page_names_the_figures_that_are_drawn(tmp_path) -> None:
    drawn = figures.draw(PREDICTIONS, THRESHOLDS)
    assert list(drawn) == list(FIGURES)
    assert [axes.get_title() for axes in drawn["confusion.svg"].axes] == ["default, 0.5", "high_recall, 0.4"]
    assert [text.get_text() for text in drawn["confusion.svg"].axes[1].texts] == ["2", "2", "0", "4"]
    for name, figure in drawn.items():
        figures.save_figure(figure, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FIGURES)


def test_the_same_figure_is_the_same_file(tmp_path) -> None:
    for name in ("one.svg", "two.svg"):
        figures.save_figure(figures.plot_roc(PREDICTIONS), tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "one.svg").read_bytes()


def test_a_map_of_zeros_leaves_the_image_unchanged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    coloured = figures.overlay(image, np.zeros((5, 7), dtype=np.float32))
    assert coloured.dtype == np.uint8
    np.testing.assert_array_equal(coloured, image)


def test_the_colour_is_as_strong_as_the_map() -> None:
    image = np.full((1, 3, 3), 200, dtype=np.uint8)
    coloured = figures.overlay(image, np.array([[0, 0.5, 1]], dtype=np.float32))
    middle, end = (np.array(mpl.colormaps["viridis"](value)[:3]) * 255 for value in (0.5, 1.0))
    expected = [[200] * 3, 200 * 0.675 + middle * 0.325, 200 * 0.35 + end * 0.65]
    np.testing.assert_array_equal(coloured[0], np.rint(expected))


def test_an_image_is_saved_as_it_is(tmp_path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    figures.save_image(image, tmp_path / "image.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "image.png")), image)


def test_the_report_needs_neither_torch_nor_the_model() -> None:
    code = (
        "import sys, dermascreen.report.figures, dermascreen.report.page; "
        "print([name for name in sys.modules if name in ('torch', 'captum', 'matplotlib.pyplot') "
        "or name.startswith(('dermascreen.model', 'dermascreen.explanation'))])"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env)
    assert ran.stdout == "[]\n"
