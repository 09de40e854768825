"""What operating points make of images, counted by hand and against statsmodels."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint
from worked_samples import LABEL, PROBABILITY, WORKED, of_classes, single

from dermascreen.evidence.clusters import Clusters
from dermascreen.evidence.metrics import Confusion
from dermascreen.evidence.operating_points import Band, HighRecall
from dermascreen.evidence.point_reports import (
    OPTIMISTIC,
    FnReduction,
    decided,
    fn_reduction,
    report_band,
    report_high_recall,
    report_point,
    report_source_protocol,
)
from dermascreen.evidence.sample import Sample
from dermascreen.evidence.thresholds import choose_high_recall, choose_points


def band(low: float, high: float) -> Band:
    return Band(low, high, "a rule", 0.9, 0.95, True, 93, 1, 59)


def test_test_labels_do_not_move_the_points_but_do_move_the_source_protocol() -> None:
    points = choose_points(WORKED, 0.95, 0.95, None)
    flipped = single(1 - LABEL, PROBABILITY)
    honest = report_high_recall(points.high_recall, WORKED, WORKED)
    turned = report_high_recall(points.high_recall, WORKED, flipped)
    assert honest.threshold == turned.threshold == 0.4
    assert honest.test.confusion == Confusion(tn=2, fp=2, fn=0, tp=4)
    assert turned.test.confusion == Confusion(tn=0, fp=4, fn=2, tp=2)
    assert turned.val == honest.val
    default = report_point(points.default, WORKED, WORKED)
    assert fn_reduction(default.test.confusion, honest.test.confusion) == FnReduction(
        default_fn=1, high_recall_fn=0, fewer_missed=1, relative=1.0
    )
    source = report_source_protocol(flipped, 0.95)
    assert source.note == OPTIMISTIC
    assert source.test.roc_auc == 0.25
    assert source.test.high_recall.threshold == 0.1
    assert source.test.high_recall.confusion.fn == 0
    assert source.test.fn_reduction.default_fn == 2


def test_the_source_protocol_keeps_its_empirical_rule_where_val_would_promise() -> None:
    malignant = np.arange(1, 201) / 1000
    test = of_classes([0.0], malignant)
    assert report_source_protocol(test, 0.95).test.high_recall.threshold == 0.011  # 10 of 200 below it
    assert choose_high_recall(test, 0.95, 0.95).threshold == 0.005  # 4 of 200


def test_each_point_has_its_intervals_and_screening() -> None:
    point = choose_points(WORKED, 0.95, 0.95, None).default
    at = report_point(point, WORKED, WORKED).test
    assert (at.recall, at.specificity, at.precision) == (0.75, 0.5, 0.6)
    for name, count, total in (("recall", 3, 4), ("specificity", 2, 4), ("precision", 3, 5)):
        expected = proportion_confint(count, total, method="beta")
        assert tuple(getattr(at.intervals, name)["clopper_pearson"]) == pytest.approx(expected)
    assert list(at.screening) == ["0.01", "0.03", "0.1", "own"]
    assert at.screening["own"].ppv == pytest.approx(at.precision)


def test_a_recall_that_is_promised_of_patients_is_counted_of_patients() -> None:
    # 100 patients with two malignant lesions each, and one benign one; 14 have one lesion that is missed.
    patient = np.repeat(np.arange(100), 3)
    label = np.tile([0, 1, 1], 100)
    missed = (patient < 14) & (np.tile([0, 1, 2], 100) == 2)
    test = Sample(label, np.where(missed, 0.1, np.where(label == 1, 0.9, 0.0)), Clusters(np.arange(300), patient))
    point = HighRecall(0.5, "a rule", 0.95, 0.95, True, True, 200, 1, 59, patients=100)
    found = report_high_recall(point, test, test)
    assert (found.test_lesions.number, found.test_lesions.found) == (200, 186)
    assert found.test_patients is not None
    assert (found.test_patients.number, found.test_patients.found, found.test_patients.share) == (100, 86, 0.86)
    exact = proportion_confint(86, 100, method="beta")
    assert tuple(found.test_patients.intervals["clopper_pearson"]) == pytest.approx(exact)
    assert found.promised is found.test_patients
    of_lesions = report_high_recall(dataclasses.replace(point, patients=200), test, test)
    assert of_lesions.test_patients is None
    assert of_lesions.promised is of_lesions.test_lesions


def test_nothing_can_be_reduced_where_nothing_was_missed() -> None:
    none, one = Confusion(tn=1, fp=0, fn=0, tp=1), Confusion(tn=1, fp=0, fn=1, tp=0)
    assert fn_reduction(none, none).relative is None
    assert fn_reduction(none, one).fewer_missed == -1


def test_a_band_worked_by_hand() -> None:
    # Referred: 0.4 (malignant) and 0.5 (benign). Decided: 0.1, 0.2 benign; 0.8 a false alarm; 0.6, 0.7, 0.9 found.
    report = report_band(band(0.4, np.nextafter(0.5, 1)), WORKED, WORKED)
    assert report.val == report.test
    assert (report.low, report.high) == (0.4, np.nextafter(0.5, 1))
    test = dataclasses.asdict(report.test)
    intervals = test.pop("intervals")
    assert test == {
        "coverage": 0.75,
        "referred": 2,
        "decided": 6,
        "recall": 1.0,
        "specificity": 2 / 3,
        "precision": 0.75,
        "error": 1 / 6,
        "confusion": {"tn": 2, "fp": 1, "fn": 0, "tp": 3},
    }
    counts = {"coverage": (6, 8), "recall": (3, 3), "specificity": (2, 3), "error": (1, 6)}
    assert set(intervals) == set(counts)
    for name, (count, total) in counts.items():
        expected = proportion_confint(count, total, method="beta")
        assert tuple(intervals[name]["clopper_pearson"].values()) == pytest.approx(expected)


CASES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=1, max_size=60)


@given(CASES, st.integers(0, 20), st.integers(0, 20))
def test_what_is_decided_and_what_is_referred_make_the_whole(cases, low, width) -> None:
    label, probability = np.array([positive for positive, _ in cases]), np.array([s for _, s in cases]) / 20
    low, high = low / 20, (low + width) / 20
    at = decided(single(label, probability), band(low, high))
    assert at.referred == ((low <= probability) & (probability < high)).sum()
    assert at.decided + at.referred == len(label)
    assert at.decided == at.confusion.total
    assert at.confusion.tp == label[probability >= high].sum()
    assert at.confusion.fn == label[probability < low].sum()
    json.dumps(dataclasses.asdict(at), allow_nan=False)


def test_where_nothing_is_decided_no_rate_is_said() -> None:
    at = decided(WORKED, band(0.0, 1.0))
    assert (at.coverage, at.referred, at.decided) == (0, 8, 0)
    assert (at.recall, at.specificity, at.precision, at.error) == (None,) * 4
    assert at.intervals.recall == at.intervals.specificity == at.intervals.error == {}
    assert at.intervals.coverage["clopper_pearson"].low == 0
