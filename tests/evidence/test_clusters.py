"""Photographs of one lesion say no more than lesions do, in whatever is computed from them."""

import numpy as np
import pytest
from statsmodels.api import OLS

from dermascreen.evidence.external import report_site
from dermascreen.evidence.intervals import metric_intervals
from dermascreen.evidence.lesions import EffectiveSizes, effective_size, kish_size
from dermascreen.evidence.operating_points import Band, Point
from dermascreen.evidence.paired import compare_errors
from dermascreen.evidence.point_reports import decided, measured
from dermascreen.evidence.sample import Sample
from dermascreen.evidence.shortcuts import report_strata
from dermascreen.evidence.thresholds import sweep


def test_a_photograph_of_each_lesion_counts_as_one() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 300):
        hit = rng.random(n) < 0.8
        assert kish_size(np.arange(n)) == n
        assert effective_size(hit, np.arange(n)) == pytest.approx(n)


def test_photographs_that_are_alike_count_as_their_lesion() -> None:
    hit = np.repeat(np.array([True, True, False, True, True]), 6)
    assert kish_size(np.repeat(np.arange(5), 6)) == 5
    assert effective_size(hit, np.repeat(np.arange(5), 6)) == pytest.approx(5)


def test_uneven_lesions_worked_by_hand() -> None:
    lesion = np.array([0, 0, 0, 1, 2])
    assert kish_size(lesion) == 25 / 11
    # All hits: nothing is known of how lesions differ.
    assert effective_size(np.ones(5, dtype=bool), lesion) == 25 / 11
    # Missed where there are most photographs: the sums of hit - 0.6 are -2.4 and six times 0.4, of squares 6.72 in all.
    missed = np.array([0, 0, 0, 0, 1, 2, 3, 4, 5, 6])
    assert kish_size(missed) == 100 / 22
    assert effective_size(missed > 0, missed) == pytest.approx(0.6 * 0.4 / (6.72 / 100))
    # Within each lesion the same share is hit, so that the estimate is 0: Kish's size stays.
    assert effective_size(np.array([True, False, True, False]), np.array([4, 4, 9, 9])) == 2
    assert effective_size(np.array([True, False]), np.array([4, 4])) == 1


def test_nothing_counts_as_nothing() -> None:
    nothing = np.array([], dtype=int)
    assert kish_size(nothing) == effective_size(nothing.astype(bool), nothing) == 0


def test_the_variance_is_that_of_statsmodels_for_clusters() -> None:
    rng = np.random.default_rng(3)
    lesion = np.repeat(np.arange(50), np.where(np.arange(50) % 5, 1, 8))
    hit = (rng.random(50) < np.where(np.arange(50) % 5, 0.9, 0.4))[lesion]  # the more photographs, the less often
    fitted = OLS(hit.astype(float), np.ones(len(hit))).fit(
        cov_type="cluster", cov_kwds={"groups": lesion, "use_correction": False}
    )
    expected = hit.mean() * (1 - hit.mean()) / fitted.bse[0] ** 2
    assert expected < kish_size(lesion)
    assert effective_size(hit, lesion) == pytest.approx(expected)


def test_the_sizes_of_a_recall_and_of_a_specificity_are_of_their_classes() -> None:
    label, lesion = np.repeat([0, 1], [6, 8]), np.repeat(np.arange(5), [3, 3, 4, 2, 2])
    found = EffectiveSizes.of(label, np.ones(14, dtype=bool), lesion)
    assert found == EffectiveSizes(recall=64 / 24, specificity=2.0)


def twice(n: int = 90) -> tuple[Sample, Sample]:
    """Lesions with a photograph each, a third of them malignant, and the same with each photograph twice."""
    rng = np.random.default_rng(1)
    label = (np.arange(n) % 3 == 0).astype(int)
    once = Sample(label, np.clip(0.35 + 0.3 * label + rng.normal(0, 0.2, n), 0.01, 0.99), np.arange(n))
    return once, Sample(*(np.repeat(part, 2) for part in once))


def strata(sample: Sample) -> object:
    label, probability, lesion = sample
    found = report_strata(label, probability, probability > 0.5, lesion, {"even": lesion % 2 == 0})["even"]
    return [(side.intervals.recall, side.intervals.specificity) for side in (found.yes, found.no)]


def rates(sample: Sample) -> object:
    found = metric_intervals(sample, draws=20, seed=0)
    return found.accuracy, found.recall, found.specificity, found.precision


def errors(sample: Sample) -> object:
    malignant = sample.label == 1
    wrong = [sample.probability[malignant] < at for at in (0.4, 0.6)]
    found = compare_errors(*wrong, sample.lesion[malignant])
    return found.around_first, found.around_second


BAND = Band(0.3, 0.6, "a rule", 0.9, 0.95, True, 93, 1, 59)


@pytest.mark.parametrize(
    "intervals",
    [
        lambda sample: measured(sample, Point(0.5, "a rule")).intervals,
        lambda sample: {at: one.intervals for at, one in measured(sample, Point(0.5, "a rule")).screening.items()},
        lambda sample: decided(sample, BAND).intervals,
        lambda sample: report_site(sample, sample, {"half": 0.5}, draws=20, seed=0).points["half"].intervals,
        lambda sample: report_site(sample, sample, {"half": 0.5}, draws=20, seed=0).points["half"].fall,
        lambda sample: sweep(sample)[["recall_n", "specificity_n"]].to_dict(),
        strata,
        rates,
        errors,
    ],
    ids=["point", "screening", "band", "site", "fall", "sweep", "strata", "rates", "errors"],
)
def test_the_same_photograph_twice_says_no_more(intervals) -> None:
    once, again = (numbers(intervals(sample)) for sample in twice())
    assert len(once) > 1
    assert again == pytest.approx(once)
    alone = numbers(intervals(twice()[1]._replace(lesion=np.arange(180))))
    assert alone != pytest.approx(once)


def numbers(found: object) -> list[float]:
    """All numbers in nested intervals, in order."""
    if isinstance(found, float | int):
        return [float(found)]
    parts = found if isinstance(found, tuple | list) else (found if isinstance(found, dict) else vars(found)).values()
    return [number for part in parts for number in numbers(part)]
