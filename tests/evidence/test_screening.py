from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import f1_score, precision_score
from statsmodels.stats.proportion import proportion_confint

from dermascreen.evidence.clusters import EffectiveSizes
from dermascreen.evidence.metrics import Confusion
from dermascreen.evidence.screening import Screening, screened, screening

COUNTS = Confusion(tn=80, fp=20, fn=10, tp=90)
MEASURES = ["ppv", "npv", "f1", "missed_per_1000", "false_alarms_per_1000"]


def of_lesions(counts: Confusion) -> Screening:
    """Where each image shows a lesion of its own."""
    return screening(counts, EffectiveSizes(counts.malignant, counts.benign))


def test_worked_by_hand() -> None:
    # 1,000 screened, 10 of them with a cancer: 9 found, 1 missed; of 990 others 198 called, 792 cleared.
    assert vars(screened(0.9, 0.8, 0.01)) == pytest.approx(
        {"ppv": 9 / 207, "npv": 792 / 793, "f1": 18 / 217, "missed_per_1000": 1, "false_alarms_per_1000": 198}
    )
    at = of_lesions(COUNTS)["0.01"]
    assert at.prevalence == 0.01
    assert {name: getattr(at, name) for name in MEASURES} == pytest.approx(vars(screened(0.9, 0.8, 0.01)))


def test_at_the_images_own_share_the_measures_are_those_of_the_images() -> None:
    label = np.repeat([0, 0, 1, 1], [80, 20, 10, 90])
    called = np.repeat([0, 1, 0, 1], [80, 20, 10, 90])
    own = of_lesions(COUNTS)["own"]
    assert own.prevalence == 0.5
    assert own.ppv == pytest.approx(precision_score(label, called))
    assert own.npv == pytest.approx(precision_score(1 - label, 1 - called))
    assert own.f1 == pytest.approx(f1_score(label, called))
    assert own.missed_per_1000 == pytest.approx(50)
    assert own.false_alarms_per_1000 == pytest.approx(100)


def test_the_box_worked_by_hand() -> None:
    def exact(count, alpha) -> tuple[float, float]:
        return proportion_confint(count, 100, alpha=alpha, method="beta")

    joint, plain = 0.025, 0.05
    (low_sensitivity, high_sensitivity), (low_specificity, high_specificity) = exact(90, joint), exact(80, joint)
    intervals = of_lesions(COUNTS)["0.03"].intervals
    assert list(vars(intervals)) == MEASURES

    ppv = intervals.ppv["clopper_pearson_box"]
    assert ppv.low == pytest.approx(1 / (1 + (1 - low_specificity) * 0.97 / (low_sensitivity * 0.03)))
    assert ppv.high == pytest.approx(1 / (1 + (1 - high_specificity) * 0.97 / (high_sensitivity * 0.03)))
    npv = intervals.npv["clopper_pearson_box"]
    assert npv.low == pytest.approx(1 / (1 + (1 - low_sensitivity) * 0.03 / (low_specificity * 0.97)))
    assert npv.high == pytest.approx(1 / (1 + (1 - high_sensitivity) * 0.03 / (high_specificity * 0.97)))
    missed = intervals.missed_per_1000["clopper_pearson_box"]
    assert tuple(missed) == pytest.approx(tuple(30 * share for share in exact(10, plain)))
    alarms = intervals.false_alarms_per_1000["clopper_pearson_box"]
    assert tuple(alarms) == pytest.approx(tuple(970 * share for share in exact(20, plain)))


def test_the_box_is_of_as_many_lesions_as_the_images_count() -> None:
    many = screening(Confusion(tn=160, fp=40, fn=20, tp=180), EffectiveSizes(recall=100.0, specificity=100.0))["0.03"]
    once = of_lesions(COUNTS)["0.03"]
    for name in MEASURES:
        found, expected = (getattr(one.intervals, name)["clopper_pearson_box"] for one in (many, once))
        assert tuple(found) == pytest.approx(tuple(expected))


SHARE = st.floats(0, 1)


@given(SHARE, SHARE, SHARE, SHARE, st.floats(0.001, 0.999))
def test_all_are_monotone(first, second, third, fourth, prevalence) -> None:
    (sensitivity, more_sensitive), (specificity, more_specific) = sorted([first, second]), sorted([third, fourth])
    base = screened(sensitivity, specificity, prevalence)
    for other in (screened(more_sensitive, specificity, prevalence), screened(sensitivity, more_specific, prevalence)):
        for name in ("ppv", "npv", "f1"):
            if getattr(base, name) is not None and getattr(other, name) is not None:
                assert getattr(base, name) <= getattr(other, name) + 1e-12
        for name in ("missed_per_1000", "false_alarms_per_1000"):
            assert getattr(base, name) >= getattr(other, name) - 1e-9


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_an_interval_holds_its_measure_and_no_ratio_leaves_its_range(tn, fp, fn, tp) -> None:
    assume(tn + fp + fn + tp)
    for at in of_lesions(Confusion(tn, fp, fn, tp)).values():
        for name in MEASURES:
            if getattr(at, name) is None:
                assert getattr(at.intervals, name) == {}
                continue
            low, high = getattr(at.intervals, name)["clopper_pearson_box"]
            assert low - 1e-12 <= getattr(at, name) <= high + 1e-9
            assert 0 <= low < high <= (1000 if name.endswith("1000") else 1)


def test_what_nobody_is_called_has_no_predictive_value() -> None:
    nothing = of_lesions(Confusion(tn=30, fp=0, fn=24, tp=0))["0.03"]
    assert (nothing.ppv, nothing.f1) == (None, 0)
    assert nothing.intervals.ppv == {}
    assert nothing.npv == pytest.approx(0.97)
    everything = of_lesions(Confusion(tn=0, fp=30, fn=0, tp=24))["0.03"]
    assert everything.npv is None
    assert everything.ppv == pytest.approx(0.03)


def test_without_malignant_images_nothing_is_known_of_cancers() -> None:
    at = of_lesions(Confusion(tn=8, fp=2, fn=0, tp=0))
    assert [getattr(at["0.1"], name) for name in MEASURES[:4]] == [None] * 4
    assert at["0.1"].false_alarms_per_1000 == pytest.approx(180)
    assert at["own"].prevalence == 0
    assert at["own"].intervals.ppv == {}


@pytest.fixture(scope="module")
def outcomes():
    """Everything that 12 malignant and 15 benign lesions can show."""
    pairs = product(range(13), range(16))
    return {(tp, tn): of_lesions(Confusion(tn, 15 - tn, 12 - tp, tp)) for tp, tn in pairs}


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.9, 0.8), (0.95, 0.5), (0.6, 0.97)])
@pytest.mark.parametrize("prevalence", ["0.01", "0.1"])
def test_the_box_covers_with_at_least_95_percent(outcomes, sensitivity, specificity, prevalence) -> None:
    """Exactly, by summing the chances of the outcomes whose box holds the truth."""
    truth = screened(sensitivity, specificity, float(prevalence))
    covered = dict.fromkeys(MEASURES, 0.0)
    for (tp, tn), report in outcomes.items():
        chance = binom.pmf(tp, 12, sensitivity) * binom.pmf(tn, 15, specificity)
        for name in MEASURES:
            intervals = getattr(report[prevalence].intervals, name)
            if not intervals:  # where nobody is called malignant, nothing is said of the PPV
                covered[name] += chance
                continue
            low, high = intervals["clopper_pearson_box"]
            covered[name] += chance * (low <= getattr(truth, name) <= high)
    assert min(covered.values()) >= 0.95
    assert min(covered.values()) < 1 - 1e-9
