"""What each operating point decides: at its threshold, below it, and between two of them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermascreen.evidence.operating_points import Band, HighRecall, OperatingPoints, Point, called_malignant

HIGH_RECALL = HighRecall(0.2, "any", 0.95, 0.95, True, True, 80, 1, 59)
BAND = Band(0.2, 0.7, "any", 0.9, 0.95, True, 80, 3, 29)
POINTS = OperatingPoints(Point(0.5, "a half"), Point(0.4, "F1"), Point(0.3, "Youden"), HIGH_RECALL, None)
PROBABILITIES = [0.0, np.nextafter(0.2, 0), 0.2, 0.5, np.nextafter(0.7, 0), 0.7, 1.0]


def test_a_probability_at_the_threshold_is_called_malignant() -> None:
    assert called_malignant([0.2, 0.3], [0.2, 0.4]).tolist() == [True, False]
    assert called_malignant(0.2, 0.2).shape == ()
    assert Point(0.5, "").decide([0.5, np.nextafter(0.5, 0)]).tolist() == ["malignant", "benign"]


def test_a_band_refers_what_lies_between() -> None:
    assert BAND.decide(PROBABILITIES).tolist() == ["benign"] * 2 + ["refer"] * 3 + ["malignant"] * 2
    assert replace(BAND, high=0.2).decide(PROBABILITIES).tolist() == ["benign"] * 2 + ["malignant"] * 5


def test_the_band_is_in_use_where_there_is_one_and_else_high_recall() -> None:
    with_band = replace(POINTS, abstention=BAND)
    assert [*POINTS] == ["default", "f1_optimal", "youden", "high_recall"]
    assert [*with_band] == [*POINTS, "abstention"]
    assert (POINTS.in_use, with_band.in_use) == ("high_recall", "abstention")
    assert POINTS.decide(PROBABILITIES).tolist() == HIGH_RECALL.decide(PROBABILITIES).tolist()
    assert with_band.decide(PROBABILITIES).tolist() == BAND.decide(PROBABILITIES).tolist()
    assert with_band.decide(PROBABILITIES, "default").tolist() == ["benign"] * 3 + ["malignant"] * 4
    assert with_band.thresholds == {"default": 0.5, "f1_optimal": 0.4, "youden": 0.3, "high_recall": 0.2}
    with pytest.raises(KeyError):
        POINTS["abstention"]


@given(st.lists(st.floats(0, 1), min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_what_the_band_refers_high_recall_calls_malignant(probabilities, first, second) -> None:
    low, high = sorted((first, second))
    points = replace(
        POINTS, high_recall=replace(HIGH_RECALL, threshold=low), abstention=replace(BAND, low=low, high=high)
    )
    assert points.flags(probabilities).tolist() == points.flags(probabilities, "high_recall").tolist()
    assert points.flags(probabilities).tolist() == [value >= low for value in probabilities]
