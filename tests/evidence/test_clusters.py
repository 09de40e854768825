"""Photographs of one lesion, or of one patient, say no more than they do, in whatever is computed from them."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.api import OLS
from worked_samples import alone, single

from dermascreen.evidence.clusters import Clusters, EffectiveSizes, effective_size, kish_size
from dermascreen.evidence.external import report_site
from dermascreen.evidence.intervals import metric_intervals, share_intervals
from dermascreen.evidence.operating_points import Band, HighRecall, Point
from dermascreen.evidence.paired import compare_errors
from dermascreen.evidence.point_reports import decided, measured, report_high_recall
from dermascreen.evidence.sample import Sample
from dermascreen.evidence.shortcuts import report_auc, report_baselines, report_strata
from dermascreen.evidence.thresholds import sweep
from dermascreen.report.bands import curve_bands


def test_a_photograph_of_each_lesion_counts_as_one() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 300):
        hit = rng.random(n) < 0.8
        assert kish_size(np.arange(n)) == n
        assert effective_size(hit, alone(n)) == pytest.approx(n)


def test_photographs_that_are_alike_count_as_their_lesion() -> None:
    hit = np.repeat(np.array([True, True, False, True, True]), 6)
    assert kish_size(np.repeat(np.arange(5), 6)) == 5
    assert effective_size(hit, Clusters.of_lesions(np.repeat(np.arange(5), 6))) == pytest.approx(5)


def test_uneven_lesions_worked_by_hand() -> None:
    lesion = np.array([0, 0, 0, 1, 2])
    assert kish_size(lesion) == 25 / 11
    # All hits: nothing is known of how lesions differ.
    assert effective_size(np.ones(5, dtype=bool), Clusters.of_lesions(lesion)) == 25 / 11
    # Missed where there are most photographs: the sums of hit - 0.6 are -2.4 and six times 0.4, of squares 6.72 in all.
    missed = np.array([0, 0, 0, 0, 1, 2, 3, 4, 5, 6])
    assert kish_size(missed) == 100 / 22
    assert effective_size(missed > 0, Clusters.of_lesions(missed)) == pytest.approx(0.6 * 0.4 / (6.72 / 100))
    # The same photographs, of 30 lesions in all.
    thrice = Clusters(np.arange(30), np.repeat(missed, 3))
    students = stats.t.ppf(0.975, 29) / stats.t.ppf(0.975, 100 / 22 - 1)
    expected = 0.6 * 0.4 / (6.72 / 100) * (78 / 100) / (29 / 30) * students**2
    assert effective_size(thrice.patient > 0, thrice) == pytest.approx(expected)
    # Within each lesion the same share is hit, so that the estimate is 0: Kish's size stays.
    assert effective_size(np.array([True, False, True, False]), Clusters.of_lesions(np.array([4, 4, 9, 9]))) == 2
    assert effective_size(np.array([True, False]), Clusters.of_lesions(np.array([4, 4]))) == 1


def test_whose_photographs_they_are() -> None:
    clusters = Clusters(np.array([5, 5, 6, 7]), np.array([1, 1, 1, 2]))
    assert (len(clusters), clusters.unit, alone(3).unit) == (4, "patient", "lesion")
    assert clusters[np.array([False, True, False, True])].lesion.tolist() == [5, 7]
    assert clusters[np.array([3, 2])].patient.tolist() == [2, 1]
    assert clusters[np.array([1, 3])].unit == "lesion"


def test_nothing_counts_as_nothing() -> None:
    nothing = np.array([], dtype=int)
    assert kish_size(nothing) == effective_size(nothing.astype(bool), Clusters.of_lesions(nothing)) == 0


def test_the_variances_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(3)
    lesion = np.repeat(np.arange(50), np.where(np.arange(50) % 5, 1, 8))
    hit = (rng.random(50) < np.where(np.arange(50) % 5, 0.9, 0.4))[lesion]  # the more photographs, the less often
    fitted = OLS(hit.astype(float), np.ones(len(hit))).fit(
        cov_type="cluster", cov_kwds={"groups": lesion, "use_correction": False}
    )
    expected = hit.mean() * (1 - hit.mean()) / fitted.bse[0] ** 2
    assert expected < kish_size(lesion)
    assert effective_size(hit, Clusters.of_lesions(lesion)) == pytest.approx(expected)


@pytest.mark.parametrize("confidence", [0.95, 0.999])
def test_the_variances_of_patients_of_one_size_are_those_of_statsmodels(confidence) -> None:
    rng, patient = np.random.default_rng(3), np.repeat(np.arange(30), 4)
    hit = np.where(rng.random(120) < 0.5, (rng.random(30) < 0.7)[patient], rng.random(120) < 0.7)
    model = OLS(hit.astype(float), np.ones(120))
    kept_together = model.fit(cov_type="cluster", cov_kwds={"groups": patient})
    students = stats.t.isf((1 - confidence) / 2, 119) / stats.t.isf((1 - confidence) / 2, 29)
    expected = 120 * (model.fit().bse[0] / kept_together.bse[0] * students) ** 2
    assert effective_size(hit, Clusters(np.arange(120), patient), confidence) == pytest.approx(expected)


def test_lesions_of_a_patient_count_as_they_differ() -> None:
    patient = np.repeat(np.arange(40), 5)
    clusters, rng = Clusters(np.arange(200), patient), np.random.default_rng(4)
    assert effective_size(rng.random(200) < 0.7, clusters) > 120  # independent
    assert 36 < effective_size((rng.random(40) < 0.7)[patient], clusters) <= 40  # all alike
    some = np.where(rng.random(200) < 0.5, (rng.random(40) < 0.7)[patient], rng.random(200) < 0.7)
    assert 60 < effective_size(some, clusters) < 120


def test_too_few_patients_with_a_miss_count_as_patients() -> None:
    patient = np.repeat(np.arange(40), 5)
    clusters = Clusters(np.arange(200), patient)
    for missed, most in ((0, 40), (9, 40), (10, 200)):
        hit = ~((patient < missed) & (np.arange(200) % 5 == 0))
        size = effective_size(hit, clusters)
        assert size == 40 if most == 40 else 150 < size <= 200
        assert effective_size(~hit, clusters) == size
    again = Clusters(np.repeat(np.arange(100), 2), patient)  # two photographs of each lesion: half as many at most
    assert effective_size((patient >= 10) | (np.arange(200) % 5 != 0), again) <= 100


@pytest.mark.slow
@pytest.mark.parametrize("alike", [0.0, 0.2, 0.4])
@pytest.mark.parametrize("patients", [20, 120])
def test_the_interval_of_a_share_covers_the_true_one(patients, alike) -> None:
    """Patients with one lesion to many each, whose scores correlate with `alike`."""
    rng, covered, runs = np.random.default_rng(6), 0, 500
    for _ in range(runs):
        patient = np.repeat(np.arange(patients), rng.integers(1, 24, patients))
        shared, own = rng.normal(size=patients)[patient], rng.normal(size=len(patient))
        right = alike**0.5 * shared + (1 - alike) ** 0.5 * own < stats.norm.ppf(0.9)
        low, high = share_intervals(right, Clusters(np.arange(len(patient)), patient))["clopper_pearson"]
        covered += low <= 0.9 <= high
    assert covered / runs > 0.93


def test_the_sizes_of_a_recall_and_of_a_specificity_are_of_their_classes() -> None:
    label, lesion = np.repeat([0, 1], [6, 8]), np.repeat(np.arange(5), [3, 3, 4, 2, 2])
    found = EffectiveSizes.of(label, np.ones(14, dtype=bool), Clusters.of_lesions(lesion))
    assert found == EffectiveSizes(recall=64 / 24, specificity=2.0)


def twice(n: int = 90) -> tuple[Sample, Sample]:
    """Lesions with a photograph each, a third of them malignant, and the same with each photograph twice."""
    rng = np.random.default_rng(1)
    label = (np.arange(n) % 3 == 0).astype(int)
    once = single(label, np.clip(0.35 + 0.3 * label + rng.normal(0, 0.2, n), 0.01, 0.99))
    return once, once.part(np.repeat(np.arange(n), 2))


def strata(sample: Sample) -> object:
    label, probability, clusters = sample
    even = {"even": clusters.patient % 2 == 0}
    found = report_strata(label, probability, probability > 0.5, clusters, even)["even"]
    return [(side.intervals.recall, side.intervals.specificity) for side in (found.yes, found.no)]


def rates(sample: Sample) -> object:
    found = metric_intervals(sample, draws=20, seed=0)
    return found.accuracy, found.recall, found.specificity, found.precision


def wrong_at(sample: Sample, *thresholds: float) -> list[np.ndarray]:
    """Which of malignant photographs are below each threshold."""
    return [sample.probability < at for at in thresholds]


def errors(sample: Sample) -> object:
    malignant = sample.label == 1
    found = compare_errors(*wrong_at(sample.part(malignant), 0.4, 0.6), sample.clusters[malignant])
    return found.around_first, found.around_second


HIGH_RECALL = HighRecall(0.5, "a rule", 0.95, 0.95, True, True, 93, 1, 59)
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
    of_patients = twice()[1]._replace(clusters=Clusters(np.arange(180), np.repeat(np.arange(90), 2)))
    assert numbers(intervals(of_patients)) == pytest.approx(once, rel=0.1, abs=0.01), "nor do lesions that are alike"
    apart = numbers(intervals(twice()[1]._replace(clusters=alone(180))))
    assert apart != pytest.approx(once)


@pytest.mark.parametrize(
    "found",
    [
        lambda sample: tuple(metric_intervals(sample, draws=50, seed=0).roc_auc["delong"]),
        lambda sample: tuple(report_auc(*sample).intervals.roc_auc["delong"]),
        lambda sample: report_baselines(*sample, {"file": np.sin(40 * sample.probability)})["file"].low,
        lambda sample: np.log(compare_errors(*wrong_at(sample, 0.4, 0.6), sample.clusters).p_by_cluster),
        lambda sample: tuple(report_high_recall(HIGH_RECALL, sample, sample).test_lesions.intervals["clopper_pearson"]),
        lambda sample: curve_bands(sample, draws=50, seed=0).roc.low.mean(),
    ],
    ids=["metrics", "auc", "baseline", "errors", "lesions", "band"],
)
def test_a_second_lesion_of_a_patient_that_is_alike_says_no_more(found) -> None:
    once, again = twice(300)
    of_patients = again._replace(clusters=Clusters(np.arange(600), np.repeat(np.arange(300), 2)))
    assert found(of_patients) == pytest.approx(found(once), rel=0.005)
    assert found(again._replace(clusters=alone(600))) != pytest.approx(found(once), rel=0.005)


def numbers(found: object) -> list[float]:
    """All numbers in nested intervals, in order."""
    if isinstance(found, float | int):
        return [float(found)]
    parts = found if isinstance(found, tuple | list) else (found if isinstance(found, dict) else vars(found)).values()
    return [number for part in parts for number in numbers(part)]
