import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from sklearn.metrics import f1_score, precision_score, recall_score, roc_curve
from worked_samples import LABEL, PROBABILITY

from dermascreen.evidence.metrics import (
    Confusion,
    Metrics,
    at_threshold,
    classification_metrics,
    confusion,
    curves,
    partial_roc_auc,
    rates,
)


def test_worked_by_hand() -> None:
    # Pairs won by the malignant: 0.4 beats 2, 0.6 and 0.7 beat 3, 0.9 beats 4: 12 of 16.
    # Precision at each malignant, from the top: 1/1, 2/3, 3/4, 4/6.
    assert classification_metrics(LABEL, PROBABILITY) == Metrics(
        n=8,
        malignant=4,
        roc_auc=0.75,
        partial_roc_auc=pytest.approx(0.2 * 0.5),  # all malignant are found where half of the benign are
        average_precision=pytest.approx((1 + 2 / 3 + 3 / 4 + 4 / 6) / 4),
        accuracy=0.625,
        recall=0.75,
        specificity=0.5,
        precision=0.6,
        f1=pytest.approx(2 / 3),
        brier=pytest.approx((0.01 + 0.04 + 0.25 + 0.64 + 0.36 + 0.16 + 0.09 + 0.01) / 8),
        log_loss=pytest.approx(-np.log([0.9, 0.8, 0.5, 0.2, 0.4, 0.6, 0.7, 0.9]).mean()),
        confusion=Confusion(tn=2, fp=2, fn=1, tp=3),
    )


def test_the_threshold_itself_is_malignant() -> None:
    assert at_threshold(LABEL, PROBABILITY, 0.7).confusion == Confusion(tn=3, fp=1, fn=2, tp=2)


def test_a_ratio_of_nothing_is_no_number() -> None:
    at = at_threshold(LABEL, PROBABILITY, 1.1)
    assert (at.recall, at.specificity, at.precision, at.f1) == (0, 1, None, 0)
    assert classification_metrics(LABEL, PROBABILITY / 2).precision is None
    only = confusion(np.array([1]), np.array([True]))
    assert only == Confusion(tn=0, fp=0, fn=0, tp=1)
    assert rates(only).specificity is None


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 1), st.booleans()), min_size=1, max_size=6))
def test_rates_are_scikit_learns_and_undefined_where_its_are(cases) -> None:
    label, called = np.array([one for one, _ in cases]), np.array([one for _, one in cases])
    found = rates(confusion(label, called))
    expected = {
        "recall": recall_score(label, called, zero_division=np.nan),
        "specificity": recall_score(label, called, pos_label=0, zero_division=np.nan),
        "precision": precision_score(label, called, zero_division=np.nan),
        "f1": f1_score(label, called, zero_division=np.nan),
    }
    for name, value in expected.items():
        assert getattr(found, name) == (None if np.isnan(value) else pytest.approx(value)), name


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=1))
def test_auc_is_the_mann_whitney_statistic(cases: list[tuple[bool, int]]) -> None:
    label = np.array([0, 1, *(int(positive) for positive, _ in cases)])
    probability = np.array([3, 4, *(score for _, score in cases)]) / 10
    u = mannwhitneyu(probability[label == 1], probability[label == 0]).statistic
    auc = classification_metrics(label, probability).roc_auc
    assert auc == pytest.approx(u / (label.sum() * (1 - label).sum()))


def test_curves() -> None:
    tables = curves(LABEL, PROBABILITY)
    assert np.trapezoid(tables["roc"]["tpr"], tables["roc"]["fpr"]) == pytest.approx(0.75)
    assert tables["pr"].iloc[-1].tolist() == [0, 1]
    assert tables["confusion"].value_counts().to_dict() == {
        ("benign", "benign"): 2, ("benign", "malignant"): 2, ("malignant", "malignant"): 3, ("malignant", "benign"): 1,
    }  # fmt: skip


def test_calibration_of_two_groups() -> None:
    label = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    probability = np.array([0.25] * 4 + [0.75] * 4)
    table = curves(label, probability)["calibration"]
    assert table.to_numpy().tolist() == [[0.25, 0.25], [0.75, 0.75]]


def test_partial_area_is_the_integral_above_four_fifths() -> None:
    rng = np.random.default_rng(0)
    label = np.tile([0, 1], 100)
    score = rng.normal(size=200) + 1.2 * label
    fpr, tpr, _ = roc_curve(label, score, drop_intermediate=False)
    height = np.linspace(0.8, 1, 200_001)
    start = np.interp(height, tpr, fpr)  # where the curve reaches that sensitivity, rightmost on steps
    assert partial_roc_auc(label, score) == pytest.approx(np.trapezoid(1 - start, height), abs=2e-4)
    assert partial_roc_auc(label, label.astype(float)) == pytest.approx(0.2)
    assert partial_roc_auc(label, np.zeros(200)) == pytest.approx(0.02)
