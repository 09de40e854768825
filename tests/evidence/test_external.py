"""Another site beside test here: the falls, their signs and their intervals."""

import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import brier_score_loss, roc_auc_score
from statsmodels.stats.proportion import confint_proportions_2indep
from worked_samples import single

from dermascreen.evidence.clusters import Clusters
from dermascreen.evidence.external import difference_interval, report_site
from dermascreen.evidence.intervals import Difference, Interval, delong, hoeffding
from dermascreen.evidence.metrics import Confusion
from dermascreen.evidence.sample import Sample

THRESHOLDS = {"default": 0.5, "all": 0.0}


def sample(seed: int, images: int, shift: float) -> Sample:
    """A place whose classes lie `shift` apart, two images a lesion."""
    lesion = np.arange(images) // 2
    label = lesion % 2
    score = np.random.default_rng(seed).normal(shift * (label - 0.5), 1)
    return Sample(label, norm.cdf(score), Clusters.of_lesions(lesion))


@pytest.fixture(scope="module")
def found():
    return report_site(sample(1, 80, 1), sample(0, 200, 2), THRESHOLDS, draws=200, seed=0)


def test_mover_of_a_case_worked_by_hand() -> None:
    interval = difference_interval(0.9, Interval(0.84, 0.94), 0.7, Interval(0.62, 0.77))
    assert tuple(interval) == pytest.approx((0.2 - math.hypot(0.06, 0.07), 0.2 + math.hypot(0.04, 0.08)))


def test_every_measure_there_and_here_is_scikit_learns(found) -> None:
    there, here = sample(1, 80, 1), sample(0, 200, 2)
    for name, score in (("roc_auc", roc_auc_score), ("brier", brier_score_loss)):
        measured, internal, fall = (getattr(part, name) for part in (found, found.internal, found.fall))
        assert measured == pytest.approx(score(there.label, there.probability))
        assert internal == pytest.approx(score(here.label, here.probability))
        assert fall.value == pytest.approx(internal - measured)
        assert fall.low < fall.value < fall.high
    assert found.fall.roc_auc.value > 0  # it does worse there
    assert found.fall.brier.value < 0
    assert set(vars(found.fall)) == {"roc_auc", "partial_roc_auc", "brier"}
    assert set(vars(found.points["default"].fall)) == {"recall", "specificity"}  # what prevalence leaves alone


def test_the_fall_of_the_auc_has_the_interval_of_two_variances_that_add(found) -> None:
    variances = [
        delong(place.label, place.clusters.patient, place.probability)[1][0, 0]
        for place in (sample(1, 80, 1), sample(0, 200, 2))
    ]
    half = norm.ppf(0.975) * math.sqrt(sum(variances))
    fall = found.fall.roc_auc
    assert (fall.low, fall.high) == pytest.approx((fall.value - half, fall.value + half), abs=0.02)  # by draws


def test_a_site_whose_benign_photographs_are_all_of_malignant_lesions_is_reported() -> None:
    rng = np.random.default_rng(0)
    site = Sample(np.array([0, 0, 1, 1, 1, 1]), rng.random(6), Clusters.of_lesions(np.array([0, 1, 0, 1, 2, 3])))
    found = report_site(site, sample(0, 200, 2), {"default": 0.5}, draws=20, seed=0)
    assert [*found.intervals.roc_auc] == ["hoeffding"]


def test_falls_of_rates_are_newcombes(found) -> None:
    at = found.points["default"]
    there, here = sample(1, 80, 1), sample(0, 200, 2)
    hits = [int(((place.probability >= 0.5) & (place.label == 1)).sum()) for place in (here, there)]
    expected = confint_proportions_2indep(  # of lesions, of which each has two images
        hits[0] / 2, 50, hits[1] / 2, 20, method="newcomb", compare="diff"
    )
    assert at.recall == hits[1] / 40
    assert at.internal.recall == hits[0] / 100
    assert (at.fall.recall.low, at.fall.recall.high) == pytest.approx(expected)
    assert [*at.intervals.recall] == ["wilson"]


def test_thresholds_are_applied_as_they_are(found) -> None:
    everything = found.points["all"]
    assert (everything.threshold, everything.recall, everything.specificity) == (0.0, 1.0, 0.0)
    assert everything.precision == 0.5
    assert everything.confusion == Confusion(tn=0, fp=40, fn=0, tp=40)
    assert everything.fall.recall.value == 0


def test_few_lesions_have_the_ranges_of_bounds() -> None:
    label = np.array([0, 0, 0, 1, 1])
    tiny = single(label, np.array([0.1, 0.2, 0.3, 0.35, 0.4]))
    found = report_site(tiny, sample(0, 200, 2), {"default": 0.5}, draws=50, seed=0)
    at = found.points["default"]
    assert (at.recall, at.precision) == (0, None)
    assert at.intervals.precision == {}
    assert at.internal.precision is not None
    assert found.intervals.roc_auc == {"hoeffding": Interval(pytest.approx(0.025**0.5), 1.0)}
    assert found.intervals.brier == {"hoeffding": hoeffding(found.brier, 5)}
    assert found.intervals.average_precision == {}
    for fall in (found.fall.roc_auc, found.fall.brier):
        assert fall.low < fall.value < fall.high
    assert found.fall.partial_roc_auc == Difference(
        pytest.approx(found.internal.partial_roc_auc - found.partial_roc_auc), None, None
    )


def test_a_place_does_not_fall_from_itself() -> None:
    place = sample(0, 60, 1)
    found = report_site(place, place, THRESHOLDS, draws=50, seed=0)
    falls = [*vars(found.fall).values(), *vars(found.points["default"].fall).values()]
    assert [fall.value for fall in falls] == [0] * 5
    assert all(fall.low < 0 < fall.high for fall in falls)
