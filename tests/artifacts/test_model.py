"""What is needed to use a model comes back as it was written."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dermascreen.artifacts.model.calibration import Calibration, ProbabilityIntervals
from dermascreen.artifacts.model.files import BUNDLE
from dermascreen.artifacts.model.operating_points import read_operating_points, write_operating_points
from dermascreen.core.errors import BadTableError, MissingInputError
from dermascreen.evidence.operating_points import Band, HighRecall, OperatingPoints, Point

HIGH_RECALL = HighRecall(0.1 + 0.2, "any", 0.95, 0.9, False, True, 24, None, 45)
POINTS = OperatingPoints(Point(0.5, "a half"), Point(0.4, "F1"), Point(0.3, "Youden"), HIGH_RECALL, None)
BAND = Band(0.1 + 0.2, 0.7, "any", 0.9, 0.95, True, 80, 3, 29)


@pytest.mark.parametrize("points", [POINTS, replace(POINTS, abstention=BAND)])
def test_operating_points_come_back_to_the_last_bit(points: OperatingPoints, tmp_path: Path) -> None:
    write_operating_points(points, tmp_path / "points.json")
    assert read_operating_points(tmp_path / "points.json") == points
    assert read_operating_points(tmp_path / "points.json").high_recall.threshold == 0.30000000000000004


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"high_recall": None}, "has a wrong value for high_recall"),
        ({"default": {"rule": "a half"}}, "lacks 'default.threshold'"),
        ({"default": {"rule": "a half", "threshold": "0.5"}}, "has no number for default.threshold"),
        ({"default": {"rule": "a half", "threshold": True}}, "has no number for default.threshold"),
        ({"default": {"rule": "a half", "threshold": 7}}, "has no number from 0 to 1 for default.threshold"),
        ({"default": {"rule": "a half", "threshold": -0.1}}, "has no number from 0 to 1 for default.threshold"),
        ({"abstention": vars(replace(BAND, high=0.1))}, "has abstention.low above abstention.high"),
    ],
)
def test_broken_operating_points_are_named(change: dict[str, object], problem: str, tmp_path: Path) -> None:
    path = tmp_path / "points.json"
    write_operating_points(POINTS, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BadTableError, match=problem):
        read_operating_points(path)
    path.write_text(
        json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != "youden"})
    )
    with pytest.raises(BadTableError):
        read_operating_points(path)
    path.unlink()
    with pytest.raises(MissingInputError):
        read_operating_points(path)


def test_a_temperature_is_above_zero(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    Calibration(temperature=1.5, tta=True).write(path)
    assert Calibration.read(path) == Calibration(temperature=1.5, tta=True)
    path.write_text(path.read_text().replace("1.5", "0"))
    with pytest.raises(BadTableError, match=r"has a wrong value for temperature: input should be greater than 0"):
        Calibration.read(path)


def test_intervals_of_the_probability_hold_probabilities(tmp_path: Path) -> None:
    path = tmp_path / "intervals.csv"
    ProbabilityIntervals(np.array([-1.0, 2.0]), np.array([0.0, 0.5]), np.array([0.1, 1.1])).write(path)
    with pytest.raises(BadTableError, match="has a high that is not a number from 0 to 1 in line 3"):
        ProbabilityIntervals.read(path)


def test_a_bundle_is_files_of_one_folder_with_names_of_their_own() -> None:
    assert {path.parent for path in BUNDLE} == {Path("models")}
    assert len({path.name for path in BUNDLE}) == len(BUNDLE) == 10
