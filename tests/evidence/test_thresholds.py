import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, recall_score

from dermascreen.evidence.thresholds import OPTIMISTIC, choose_points, fn_reduction, report_points, sweep

LABEL = np.array([0, 0, 0, 0, 1, 1, 1, 1])
PROBABILITY = np.array([0.1, 0.2, 0.5, 0.8, 0.4, 0.6, 0.7, 0.9])


def test_worked_by_hand() -> None:
    # At or above 0.4: 4 tp, 2 fp, F1 0.8, Youden 0.5. At 0.6: 3 tp, 1 fp, F1 0.75, Youden 0.5: the lower one wins.
    assert choose_points(LABEL, PROBABILITY, 0.75) == {
        "default": {"threshold": 0.5},
        "f1_optimal": {"threshold": 0.4},
        "youden": {"threshold": 0.4},
        "high_recall": {"threshold": 0.6, "target_recall": 0.75, "reached": True},
    }
    assert choose_points(LABEL, PROBABILITY, 0.76)["high_recall"]["threshold"] == 0.4


def test_a_target_reached_by_flagging_everything_is_not_reached() -> None:
    points = choose_points(LABEL, np.full(8, 0.3), 0.95)
    assert points["high_recall"] == {"threshold": 0.3, "target_recall": 0.95, "reached": False}
    worst = choose_points(np.array([1, 0, 1]), np.array([0.1, 0.2, 0.9]), 1.0)
    assert worst["high_recall"] == {"threshold": 0.1, "target_recall": 1.0, "reached": False}


CASES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=1, max_size=60)


@given(CASES, st.sampled_from([0.5, 0.8, 0.9, 0.95, 1.0]))
def test_points_are_the_best_of_all_thresholds(cases: list[tuple[int, int]], target: float) -> None:
    label = np.array([0, 1, *(positive for positive, _ in cases)])
    probability = np.array([7, 7, *(score for _, score in cases)]) / 20
    points = choose_points(label, probability, target)
    thresholds = np.unique(probability)
    recall = {t: recall_score(label, probability >= t) for t in thresholds}
    assert points["high_recall"]["threshold"] == max(t for t in thresholds if recall[t] >= target)
    f1 = {t: f1_score(label, probability >= t) for t in thresholds}
    best = points["f1_optimal"]["threshold"]
    assert f1[best] == pytest.approx(max(f1.values()))
    youden = {t: recall[t] + recall_score(1 - label, probability < t) for t in thresholds}
    assert youden[points["youden"]["threshold"]] == pytest.approx(max(youden.values()))


def test_test_labels_do_not_move_the_points_but_do_move_the_source_protocol() -> None:
    scores = {"val": PROBABILITY, "test": PROBABILITY}
    points = choose_points(LABEL, PROBABILITY, 0.95)
    honest = report_points(points, {"val": LABEL, "test": LABEL}, scores, 0.95)
    flipped = report_points(points, {"val": LABEL, "test": 1 - LABEL}, scores, 0.95)
    assert honest["high_recall"]["threshold"] == flipped["high_recall"]["threshold"] == 0.4
    assert honest["high_recall"]["test"]["confusion"] == {"tn": 2, "fp": 2, "fn": 0, "tp": 4}
    assert flipped["high_recall"]["test"]["confusion"] == {"tn": 0, "fp": 4, "fn": 2, "tp": 2}
    assert honest["fn_reduction"] == {"default_fn": 1, "high_recall_fn": 0, "fewer_missed": 1, "relative": 1.0}
    source = flipped["source_protocol"]
    assert source["note"] == OPTIMISTIC
    assert source["test"]["roc_auc"] == 0.25
    assert source["test"]["high_recall"]["threshold"] == 0.1
    assert source["test"]["high_recall"]["confusion"]["fn"] == 0
    assert source["test"]["fn_reduction"]["default_fn"] == 2


def test_reduction_where_nothing_was_missed_is_zero() -> None:
    none, one = {"confusion": {"fn": 0}}, {"confusion": {"fn": 1}}
    assert fn_reduction(none, none)["relative"] == 0.0
    assert fn_reduction(none, one)["fewer_missed"] == -1


def test_sweep_runs_from_everything_to_nothing() -> None:
    table = sweep(LABEL, PROBABILITY)
    assert len(table) == 101
    assert table.iloc[0].tolist() == [0, 1, 0]
    assert table.iloc[100].tolist() == [1, 0, 1]
    assert table.loc[table["threshold"].eq(0.7), ["recall", "specificity"]].to_numpy().tolist() == [[0.5, 0.75]]
