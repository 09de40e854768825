"""Every interval and test against a computation of its own."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, norm
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint
from worked_samples import alone, single

from dermascreen.evidence import resampling
from dermascreen.evidence.clusters import Clusters
from dermascreen.evidence.external import difference_interval
from dermascreen.evidence.intervals import (
    FEWEST,
    Interval,
    auc_interval,
    clopper_pearson,
    cluster_bootstrap,
    compare_aucs,
    delong,
    delong_interval,
    hoeffding,
    metric_intervals,
    placements,
    rate_intervals,
    share_intervals,
    wilson,
)
from dermascreen.evidence.sample import Sample


def scores(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and two correlated scores with ties."""
    rng = np.random.default_rng(seed)
    label = (np.arange(n) % 3 == 0).astype(int)
    common = rng.normal(size=n) + label
    return label, np.round(common + rng.normal(size=n), 1), np.round(common + 0.5 * rng.normal(size=n), 1)


@pytest.mark.parametrize(("count", "n"), [(0, 10), (10, 10), (13, 300), (287, 300), (1, 2)])
def test_shares_agree_with_statsmodels(count, n) -> None:
    assert tuple(clopper_pearson(count, n)) == pytest.approx(proportion_confint(count, n, 0.05, "beta"))
    assert tuple(wilson(count, n, 0.9)) == pytest.approx(proportion_confint(count, n, 0.1, "wilson"))


@pytest.mark.parametrize("n", [1, 29, 30, 35, 38, 200, 25 / 11])
def test_the_ends_of_0_and_1_are_exact(n) -> None:
    assert wilson(n, n).high == clopper_pearson(n, n).high == 1
    assert wilson(0, n).low == clopper_pearson(0, n).low == 0


def test_no_images_say_nothing() -> None:
    assert clopper_pearson(0, 0) == wilson(0, 0) == Interval(0, 1)


def test_a_share_of_nothing_has_no_interval() -> None:
    nothing = np.array([], dtype=bool)
    assert share_intervals(nothing, Clusters.of_lesions(np.array([], dtype=int))) == {}
    hit = np.array([True, True, False, True])
    assert share_intervals(hit, alone(4)) == {"clopper_pearson": clopper_pearson(3, 4)}
    assert share_intervals(hit, alone(4), "wilson", 0.9) == {"wilson": wilson(3, 4, 0.9)}


def test_a_share_is_of_as_many_lesions_as_its_photographs_count() -> None:
    lesion = np.repeat(np.arange(20), 5)
    hit = lesion >= 2
    assert tuple(share_intervals(hit, Clusters.of_lesions(lesion))["clopper_pearson"]) == pytest.approx(
        tuple(clopper_pearson(18, 20))
    )
    uneven, n = np.array([0, 0, 0, 0, 1, 2, 3, 4, 5, 6]), 0.6 * 0.4 / (6.72 / 100)  # by hand in test_clusters.py
    for method, name in (("clopper_pearson", "beta"), ("wilson", "wilson")):
        (found,) = share_intervals(uneven > 0, Clusters.of_lesions(uneven), method).values()
        assert tuple(found) == pytest.approx(proportion_confint(0.6 * n, n, 0.05, name))


@pytest.mark.parametrize("within", [0.2, 1.0])
@pytest.mark.parametrize("chance", [0.7, 0.95])
def test_the_interval_of_a_share_covers_though_lesions_have_several_photographs(chance, within) -> None:
    rng = np.random.default_rng(0)
    found, alone = [], []
    for _ in range(300):
        lesion = np.repeat(np.arange(60), np.minimum(rng.geometric(0.4, 60), 8))
        score = rng.normal(size=60)[lesion] + within * rng.normal(size=len(lesion))
        hit = score < norm.ppf(chance) * np.sqrt(1 + within**2)
        for covers, of in ((found, lesion), (alone, np.arange(len(lesion)))):
            (interval,) = share_intervals(hit, Clusters.of_lesions(of)).values()
            covers.append(interval.low <= chance <= interval.high)
    assert np.mean(found) >= 0.95
    assert np.mean(alone) < 0.94


def test_it_covers_also_where_lesions_that_are_missed_have_more_photographs() -> None:
    rng = np.random.default_rng(0)
    chance, covers = 0.9, []
    for _ in range(300):
        hit = rng.random(80) < chance
        photographs = np.where(hit, 1 + rng.integers(0, 2, 80), 4)
        lesion = np.repeat(np.arange(80), photographs)
        (interval,) = share_intervals(hit[lesion], Clusters.of_lesions(lesion)).values()
        truth = chance * 1.5 / (chance * 1.5 + (1 - chance) * 4)
        covers.append(interval.low <= truth <= interval.high)
    assert np.mean(covers) >= 0.95


def test_thirteen_misses_of_three_hundred() -> None:
    low, high = clopper_pearson(287, 300)
    assert (round(low, 3), round(high, 3)) == (0.927, 0.977)


def by_hand(label: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """AUCs and the variance of their difference from the m x n table of comparisons."""
    tables = []
    for score in (first, second):
        a, b = score[label == 1][:, None], score[label == 0][None]
        tables.append((a > b) + 0.5 * (a == b))
    difference = tables[0] - tables[1]
    m, n = difference.shape
    variance = difference.mean(1).var(ddof=1) / m + difference.mean(0).var(ddof=1) / n
    return tables[0].mean(), tables[1].mean(), variance


def test_delong_agrees_with_the_table_of_all_comparisons_and_with_other_libraries() -> None:
    label, first, second = scores()
    a, b, variance = by_hand(label, first, second)
    aucs, covariance = delong(label, np.arange(60), first, second)
    assert aucs == pytest.approx([a, b])
    assert aucs[0] == pytest.approx(roc_auc_score(label, first))
    u = mannwhitneyu(second[label == 1], second[label == 0]).statistic
    assert aucs[1] == pytest.approx(u / (20 * 40))
    assert covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1] == pytest.approx(variance)


def test_delong_by_hand_on_four_images() -> None:
    # Malignant 3 and 1, benign 2 and 0: shares of benign below are 1 and 1/2, of malignant above 1/2 and 1.
    label, score = np.array([1, 1, 0, 0]), np.array([3.0, 1.0, 2.0, 0.0])
    (auc,), ((variance,),) = delong(label, np.arange(4), score)
    assert auc == 0.75
    assert variance == pytest.approx(0.125 / 2 + 0.125 / 2)
    half = 1.959964 * variance**0.5 / (0.75 * 0.25)  # of the logit, ln 3
    expected = [1 / (1 + math.exp(-(math.log(3) + sign * half))) for sign in (-1, 1)]
    assert tuple(delong_interval(label, score, np.arange(4))) == pytest.approx(expected)


def test_photographs_of_one_lesion_are_added_up_as_obuchowski_does() -> None:
    label, first, second = scores()
    lesion = np.random.default_rng(5).integers(0, 25, 60)  # some of both labels
    aucs, found = delong(label, lesion, first, second)
    malignant, benign = label == 1, label == 0
    expected = np.zeros((2, 2))
    deviations = []
    for score in (first, second):
        table = (score[malignant][:, None] > score[benign]) + (score[malignant][:, None] == score[benign]) / 2
        above, below, auc = table.mean(1), table.mean(0), table.mean()
        deviations.append(
            [
                (sum(above[lesion[malignant] == one] - auc), sum(below[lesion[benign] == one] - auc))
                for one in np.unique(lesion)
            ]
        )
    m, n = len(set(lesion[malignant])), len(set(lesion[benign]))
    for row, ours in enumerate(deviations):
        for column, theirs in enumerate(deviations):
            s10 = m / (m - 1) * sum(a[0] * b[0] for a, b in zip(ours, theirs, strict=True)) / malignant.sum() ** 2
            s01 = n / (n - 1) * sum(a[1] * b[1] for a, b in zip(ours, theirs, strict=True)) / benign.sum() ** 2
            both = sum(a[0] * b[1] + a[1] * b[0] for a, b in zip(ours, theirs, strict=True))
            total = len(set(lesion))
            expected[row, column] = s10 + s01 + both / malignant.sum() / benign.sum() * total / (total - 1)
    assert found == pytest.approx(expected)
    assert aucs == pytest.approx([roc_auc_score(label, score) for score in (first, second)])


def test_a_difference_of_aucs_is_covered_also_where_lesions_have_five_photographs() -> None:
    rng, covered, as_images = np.random.default_rng(3), 0, 0
    lesion = np.repeat(np.arange(80), 5)
    label = (lesion < 40).astype(int)
    for _ in range(300):
        first, second = (rng.normal(size=80)[lesion] + 0.3 * rng.normal(size=400) + label for _ in range(2))
        found, alone = compare_aucs(label, first, second, lesion), compare_aucs(label, first, second)
        covered += found.low <= 0 <= found.high
        as_images += alone.low <= 0 <= alone.high
    assert covered / 300 > 0.91
    assert as_images / 300 < 0.75  # which is why


def test_placements_that_cancel_within_each_lesion_do_not_make_an_auc_certain() -> None:
    label, lesion = np.repeat([0, 1], 24), np.repeat(np.arange(24), 2)
    score = np.tile([0.0, 1.0], 24)  # in each lesion one photograph is placed high and one low
    method, interval = auc_interval(label, score, lesion)
    assert (method, interval.high - interval.low > 0.5) == ("hoeffding", True)
    found = compare_aucs(label, score, np.zeros(48), lesion)
    assert (found.p_value, found.high - found.low > 0.5) == (None, True)


def test_a_lesion_of_very_many_photographs_leaves_no_standard_error() -> None:
    rng, covered = np.random.default_rng(0), 0
    lesion = np.concatenate([np.repeat(0, 50), np.arange(1, 80)])
    label = (lesion < 40).astype(int)
    for _ in range(100):
        score = rng.normal(size=80)[lesion] + 0.3 * rng.normal(size=len(lesion))
        method, (low, high) = auc_interval(label, score, lesion)
        compared = compare_aucs(label, score, rng.normal(size=80)[lesion], lesion)
        assert (method, compared.p_value) == ("hoeffding", None)
        covered += (low <= 0.5 <= high) + (compared.low <= 0 <= compared.high)
    assert covered == 200
    assert [
        *metric_intervals(Sample(label, norm.cdf(score), Clusters.of_lesions(lesion)), draws=5, seed=0).roc_auc
    ] == ["hoeffding"]


def test_a_lesion_of_very_many_photographs_weighs_in_hoeffdings_bound() -> None:
    rng, covered = np.random.default_rng(0), 0
    lesion = np.concatenate([np.repeat(0, 50), np.arange(1, 18)])
    label = np.concatenate([np.ones(58, dtype=int), np.zeros(9, dtype=int)])
    for _ in range(200):
        _, (low, high) = auc_interval(label, rng.normal(size=18)[lesion], lesion)
        covered += low <= 0.5 <= high
    assert covered == 200


def test_pairs_of_patients_with_both_classes_worked_by_hand() -> None:
    """One malignant and one benign photograph of each: the bound is that of 2 / (3 (1 / 30 + 1 / 30)) = 10 pairs."""
    label, patient = np.tile([0, 1], 30), np.repeat(np.arange(30), 2)
    assert auc_interval(label, label.astype(float), patient) == ("hoeffding", hoeffding(1.0, 10))
    assert auc_interval(label, label.astype(float), np.arange(60)) == ("hoeffding", hoeffding(1.0, 30))
    # 4 of the 31 malignant photographs and 1 of the 30 benign ones are of one patient.
    label, patient = np.append(label, [1, 1, 1]), np.append(patient, [0, 0, 0])
    pairs = int(2 / (3 * (4 / 33 + 1 / 30)))
    assert auc_interval(label, label.astype(float), patient) == ("hoeffding", hoeffding(1.0, pairs))
    alone = np.array([0, 1]), np.array([0.0, 1.0]), np.zeros(2, dtype=int)
    assert auc_interval(*alone) == ("hoeffding", hoeffding(1.0, 1))


@pytest.mark.slow
@pytest.mark.parametrize("patients", [20, 60])
def test_an_auc_is_covered_also_where_lesions_of_a_patient_are_alike(patients) -> None:
    """Each has 1 to 15 benign lesions, and a third have malignant ones too, whose scores have a part in common."""
    rng, covered, as_lesions, truth = np.random.default_rng(3), 0, 0, norm.cdf(2**0.5)  # of scores 2 apart
    for _ in range(400):
        benign = rng.integers(1, 16, patients)
        malignant = np.where(np.arange(patients) % 3, 0, 1 + np.arange(patients) % 2)
        patient = np.concatenate([np.repeat(np.arange(patients), benign), np.repeat(np.arange(patients), malignant)])
        label = np.repeat([0, 1], [benign.sum(), malignant.sum()])
        score = 0.4**0.5 * rng.normal(size=patients)[patient] + 0.6**0.5 * rng.normal(size=len(label)) + 2 * label
        for cluster in (patient, np.arange(len(label))):
            _, (low, high) = auc_interval(label, score, cluster)
            if cluster is patient:
                covered += low <= truth <= high
            else:
                as_lesions += low <= truth <= high
    assert covered / 400 >= 0.92
    assert as_lesions < covered


def test_paired_comparison() -> None:
    label, first, second = scores()
    a, b, variance = by_hand(label, first, second)
    found = compare_aucs(label, first, second)
    z = (a - b) / variance**0.5
    assert found.p_value == pytest.approx(2 * norm.cdf(-abs(z)))
    assert (found.low, found.high) == pytest.approx(norm.interval(0.95, a - b, variance**0.5))
    same = compare_aucs(label, first, first)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)


@pytest.mark.parametrize("n", [1, 4, 24, 300])
def test_hoeffdings_bound_at_the_ends_is_clopper_and_pearsons(n) -> None:
    assert tuple(hoeffding(1.0, n)) == pytest.approx(tuple(clopper_pearson(n, n)))
    assert tuple(hoeffding(0.0, n)) == pytest.approx(tuple(clopper_pearson(0, n)))
    assert hoeffding(1.0, n).low == pytest.approx(0.025 ** (1 / n))


def test_hoeffdings_bound_worked_by_hand() -> None:
    # KL(1/2, t) = -log(4 t (1 - t)) / 2, and is log(40) / n where 4 t (1 - t) = 40^(-2/n).
    half = (1 - 40 ** (-2 / 24)) ** 0.5 / 2
    assert tuple(hoeffding(0.5, 24)) == pytest.approx((0.5 - half, 0.5 + half))


@given(st.floats(0, 1), st.integers(1, 400), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_hoeffdings_bound_has_a_width_holds_its_mean_and_is_turned_round_with_it(mean, n, confidence) -> None:
    low, high = hoeffding(mean, n, confidence)
    assert 0 <= low <= mean <= high <= 1
    assert high - low > 1e-4
    turned = hoeffding(1 - mean, n, confidence)
    assert tuple(turned) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    if n > 1:
        wider = hoeffding(mean, n - 1, confidence)
        assert wider.low <= low + 1e-9
        assert wider.high >= high - 1e-9


def apart(benign: int, malignant: int) -> tuple[np.ndarray, np.ndarray]:
    """Images whose classes a score tells apart without an error."""
    label = np.repeat([0, 1], [benign, malignant])
    return label, label + np.linspace(0, 0.5, benign + malignant)


@pytest.mark.parametrize(("benign", "malignant"), [(1, 1), (4, 4), (30, 24), (360, 300)])
def test_an_auc_without_an_error_is_not_certain(benign, malignant) -> None:
    label, score = apart(benign, malignant)
    least = 0.025 ** (1 / min(benign, malignant))
    for one, expected in ((score, (least, 1.0)), (-score, (0.0, 1 - least))):
        method, interval = auc_interval(label, one)
        assert method == "hoeffding"
        assert tuple(interval) == pytest.approx(expected)


def test_photographs_of_a_lesion_that_are_told_apart_count_once() -> None:
    label, score = apart(8, 8)
    assert auc_interval(label, score, np.arange(16) // 2)[1].low == pytest.approx(0.025 ** (1 / 4))


def test_a_constant_score_has_an_interval_with_a_width() -> None:
    label = np.tile([0, 1], 24)
    assert auc_interval(label, np.zeros(48)) == ("hoeffding", hoeffding(0.5, 24))


def test_delongs_interval_needs_ten_lesions_of_each_class_ranked_wrongly_and_ten_rightly() -> None:
    def with_errors(count: int) -> tuple[np.ndarray, np.ndarray]:
        """20 of each class, of which the `count` lowest malignant lie below the `count` highest benign."""
        label = np.repeat([0, 1], 20)
        score = np.concatenate([np.arange(20), np.arange(20) + 20 - count])
        return label, score + np.where(label == 1, 0.5, 0.0) - np.where(label == 1, 1.0, 0.0)

    label, score = with_errors(FEWEST)
    wrong = placements(label, score) < 1
    assert [wrong[label == one].sum() for one in (0, 1)] == [10, 10]
    assert auc_interval(label, score) == ("delong", delong_interval(label, score, np.arange(40)))
    assert auc_interval(label, -score)[0] == "delong"
    label, score = with_errors(FEWEST - 1)
    assert auc_interval(label, score)[0] == auc_interval(label, -score)[0] == "hoeffding"
    twice = [np.repeat(part, 2) for part in (label, score)]
    assert auc_interval(*twice)[0] == "delong"
    assert auc_interval(*twice, np.repeat(np.arange(40), 2))[0] == "hoeffding"  # the same lesions say no more


SCORES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), max_size=40)


@given(SCORES)
def test_no_interval_of_an_auc_lacks_width(cases) -> None:
    label = np.array([0, 1, *(one for one, _ in cases)])
    score = np.array([0, 3, *(value for _, value in cases)], dtype=float)
    _, (low, high) = auc_interval(label, score)
    assert 0 <= low <= roc_auc_score(label, score) <= high <= 1
    assert high - low > 0.01


@pytest.mark.parametrize(("images", "auc"), [(4, 0.9), (12, 0.95), (30, 0.99), (100, 0.76)])
def test_the_interval_covers_as_often_as_it_says_also_of_few_images(images, auc) -> None:
    rng, covered, alone = np.random.default_rng(1), 0, 0
    label = np.repeat([0, 1], images)
    for _ in range(400):
        score = rng.normal(size=2 * images) + label * norm.ppf(auc) * 2**0.5
        low, high = auc_interval(label, score)[1]
        covered += low <= auc <= high
        low, high = delong_interval(label, score, np.arange(2 * images))
        alone += low <= auc <= high
    assert covered / 400 > 0.92
    assert images == 100 or alone / 400 < 0.9  # which is why


def test_two_scores_without_an_error_may_differ_by_what_few_lesions_allow() -> None:
    label, first = apart(30, 24)
    found = compare_aucs(label, first, 2 * first + 1)
    most = 1 - 0.0125 ** (1 / 24)  # of pairs ranked better by the one, and by the other, each at half the risk
    assert found[:5] == pytest.approx((1, 1, 0, -most, most))
    assert found.p_value is None


def test_a_difference_on_few_lesions_is_bounded_by_the_pairs_ranked_differently() -> None:
    label, first = apart(5, 4)
    second = np.where(label == 1, -first, first)  # every pair is ranked wrongly
    found = compare_aucs(label, first, second)
    better, worse = hoeffding(1.0, 4, 0.975), hoeffding(0.0, 4, 0.975)
    assert found == (1, 0, 1, pytest.approx(better.low - worse.high), pytest.approx(1), None)
    tied = compare_aucs(label, first, np.zeros(9))  # every pair is half a pair worse
    assert tied[:3] == (1, 0.5, 0.5)
    assert tied.low == pytest.approx(hoeffding(0.5, 4, 0.975).low - worse.high)


def test_a_perfect_score_beside_a_constant_one_has_no_certain_difference() -> None:
    label, first = apart(30, 30)
    found = compare_aucs(label, first, np.zeros(60))
    assert found.difference == 0.5
    assert found.low < 0.5 < found.high
    assert found.p_value is None


@given(SCORES, st.integers(0, 3))
def test_no_interval_of_a_difference_lacks_width_unless_nothing_differs(cases, seed) -> None:
    label = np.array([0, 1, *(one for one, _ in cases)])
    first = np.array([0, 3, *(value for _, value in cases)], dtype=float)
    second = np.random.default_rng(seed).permutation(first)
    found = compare_aucs(label, first, second)
    assert found.low <= found.difference <= found.high
    assert found.difference == pytest.approx(roc_auc_score(label, first) - roc_auc_score(label, second))
    assert (found.high - found.low > 0.01) != np.array_equal(first, second)
    other = compare_aucs(label, second, first)
    assert (other.low, other.high) == pytest.approx((-found.high, -found.low))


def test_delong_interval_covers_as_often_as_it_says() -> None:
    # Scores N(1, 1) and N(0, 1) have the AUC Phi(1 / sqrt 2).
    rng, true, covered = np.random.default_rng(0), norm.cdf(0.5**0.5), 0
    label = np.r_[np.ones(100, int), np.zeros(100, int)]
    for _ in range(2000):
        low, high = delong_interval(label, rng.normal(size=200) + label, np.arange(200))
        covered += low <= true <= high
    assert 0.935 < covered / 2000 < 0.965


def test_bootstrap_of_a_mean_agrees_with_its_standard_error() -> None:
    rng = np.random.default_rng(0)
    label, value = np.tile([0, 1], 150), rng.normal(size=300)
    mean = {"mean": lambda _, s, weights: weights @ s / 300}
    found = cluster_bootstrap(mean, label, value, np.arange(300), draws=4000, seed=0)
    error = (value[label == 0].var() / 150 + value[label == 1].var() / 150) ** 0.5 / 2
    assert tuple(found["mean"]) == pytest.approx(norm.interval(0.95, value.mean(), error), abs=0.006)


def test_copies_of_a_lesion_add_no_certainty() -> None:
    label, first, _ = scores()
    auc = {"auc": resampling.roc_auc}
    (once,) = cluster_bootstrap(auc, label, first, np.arange(60), draws=500, seed=0).values()
    copies = [np.repeat(part, 4) for part in (label, first, np.arange(60))]
    (again,) = cluster_bootstrap(auc, *copies, draws=500, seed=0).values()
    assert tuple(again) == pytest.approx(tuple(once))
    assert tuple(delong_interval(*copies)) == pytest.approx(tuple(delong_interval(label, first, np.arange(60))))
    alone = delong_interval(copies[0], copies[1], np.arange(240))
    assert again.high - again.low > 1.5 * (alone.high - alone.low)


def test_difference_of_shares_is_newcombes() -> None:
    first, second = (45, 60), (70, 110)
    expected = confint_proportions_2indep(*first, *second, method="newcomb", compare="diff")
    found = difference_interval(45 / 60, wilson(*first), 70 / 110, wilson(*second))
    assert tuple(found) == pytest.approx(expected)


def test_every_measure_lies_in_its_interval() -> None:
    label, first, _ = scores(300)
    probability = 1 / (1 + np.exp(-first))
    found = metric_intervals(single(label, probability), draws=200, seed=0)
    assert [*vars(found)] == [
        "roc_auc", "partial_roc_auc", "average_precision", "brier", "accuracy", "recall", "specificity", "precision",
    ]  # fmt: skip
    assert [*found.roc_auc] == ["delong", "cluster_bootstrap"]
    for interval in found.roc_auc.values():
        assert interval.low < roc_auc_score(label, probability) < interval.high


def test_measures_of_few_lesions_have_no_interval_that_has_no_width() -> None:
    label, score = apart(4, 4)
    found = metric_intervals(single(label, score / 2), draws=50, seed=0)
    assert found.roc_auc == {"hoeffding": hoeffding(1.0, 4)}
    assert found.partial_roc_auc == found.average_precision == {}
    assert found.brier == {"hoeffding": hoeffding(((score / 2 - label) ** 2).mean(), 8)}
    assert found.recall == {"clopper_pearson": clopper_pearson(4, 4)}
    many = metric_intervals(Sample(*apart(40, 40), alone(80)), draws=50, seed=0)
    assert [*many.roc_auc] == ["hoeffding"]
    assert many.average_precision == {}
    assert [*many.brier] == ["hoeffding"]  # no photograph is on the wrong side of 1/2
    constant = metric_intervals(single(label.repeat(10), np.full(80, 0.3)), draws=50, seed=0)
    assert [*constant.brier] == ["hoeffding"]  # 40 are, but every draw is the same
    assert constant.precision == {}  # none is called malignant


def test_rates_have_exact_intervals() -> None:
    label, called = np.repeat([0, 0, 1, 1], [80, 20, 10, 90]), np.repeat([False, True, False, True], [80, 20, 10, 90])
    intervals = rate_intervals(label, called, alone(200))
    for name, count, total in (("recall", 90, 100), ("specificity", 80, 100), ("precision", 90, 110)):
        expected = proportion_confint(count, total, method="beta")
        assert tuple(getattr(intervals, name)["clopper_pearson"]) == pytest.approx(expected)
    halved = rate_intervals(label.repeat(2), called.repeat(2), Clusters.of_lesions(np.arange(200).repeat(2)))
    for name, of in vars(halved).items():
        assert tuple(of["clopper_pearson"]) == pytest.approx(tuple(getattr(intervals, name)["clopper_pearson"]))


def test_where_nothing_is_called_precision_has_no_interval() -> None:
    assert rate_intervals(np.repeat([0, 1], 5), np.zeros(10, dtype=bool), alone(10)).precision == {}
