"""Every interval and test against a computation of its own."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from dermascreen.evidence import resampling
from dermascreen.evidence.external import difference_interval
from dermascreen.evidence.intervals import (
    clopper_pearson,
    cluster_bootstrap,
    compare_aucs,
    compare_aucs_unpaired,
    delong,
    delong_interval,
    metric_intervals,
    wilson,
)


def scores(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and two correlated scores with ties."""
    rng = np.random.default_rng(seed)
    label = (np.arange(n) % 3 == 0).astype(int)
    common = rng.normal(size=n) + label
    return label, np.round(common + rng.normal(size=n), 1), np.round(common + 0.5 * rng.normal(size=n), 1)


@pytest.mark.parametrize(("count", "n"), [(0, 10), (10, 10), (13, 300), (287, 300), (1, 2)])
def test_shares_agree_with_statsmodels(count, n) -> None:
    assert clopper_pearson(count, n) == pytest.approx(proportion_confint(count, n, 0.05, "beta"))
    assert wilson(count, n, 0.9) == pytest.approx(proportion_confint(count, n, 0.1, "wilson"))


def test_no_images_say_nothing() -> None:
    assert clopper_pearson(0, 0) == wilson(0, 0) == (0, 1)


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
    aucs, covariance = delong(label, first, second)
    assert aucs == pytest.approx([a, b])
    assert aucs[0] == pytest.approx(roc_auc_score(label, first))
    u = mannwhitneyu(second[label == 1], second[label == 0]).statistic
    assert aucs[1] == pytest.approx(u / (20 * 40))
    assert covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1] == pytest.approx(variance)


def test_delong_by_hand_on_four_images() -> None:
    # Malignant 3 and 1, benign 2 and 0: shares of benign below are 1 and 1/2, of malignant above 1/2 and 1.
    label, score = np.array([1, 1, 0, 0]), np.array([3.0, 1.0, 2.0, 0.0])
    (auc,), ((variance,),) = delong(label, score)
    assert auc == 0.75
    assert variance == pytest.approx(0.125 / 2 + 0.125 / 2)
    assert delong_interval(label, score) == pytest.approx((0.75 - 1.959964 * variance**0.5, 1.0))


def test_paired_comparison() -> None:
    label, first, second = scores()
    a, b, variance = by_hand(label, first, second)
    found = compare_aucs(label, first, second)
    z = (a - b) / variance**0.5
    assert found.p_value == pytest.approx(2 * norm.cdf(-abs(z)))
    assert (found.low, found.high) == pytest.approx(norm.interval(0.95, a - b, variance**0.5))
    same = compare_aucs(label, first, first)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_unpaired_comparison_adds_variances() -> None:
    label, first, _ = scores()
    other, _, second = scores(90, seed=1)
    found = compare_aucs_unpaired((label, first), (other, second))
    error = (delong(label, first)[1].item() + delong(other, second)[1].item()) ** 0.5
    assert found.high - found.low == pytest.approx(2 * 1.959964 * error)
    assert found.difference == pytest.approx(roc_auc_score(label, first) - roc_auc_score(other, second))


def test_delong_interval_covers_as_often_as_it_says() -> None:
    # Scores N(1, 1) and N(0, 1) have the AUC Phi(1 / sqrt 2).
    rng, true, covered = np.random.default_rng(0), norm.cdf(0.5**0.5), 0
    label = np.r_[np.ones(100, int), np.zeros(100, int)]
    for _ in range(2000):
        low, high = delong_interval(label, rng.normal(size=200) + label)
        covered += low <= true <= high
    assert 0.935 < covered / 2000 < 0.965


def test_bootstrap_of_a_mean_agrees_with_its_standard_error() -> None:
    rng = np.random.default_rng(0)
    label, value = np.tile([0, 1], 150), rng.normal(size=300)
    mean = {"mean": lambda _, s, weights: weights @ s / 300}
    found = cluster_bootstrap(mean, label, value, np.arange(300), draws=4000, seed=0)
    error = (value[label == 0].var() / 150 + value[label == 1].var() / 150) ** 0.5 / 2
    assert found["mean"] == pytest.approx(norm.interval(0.95, value.mean(), error), abs=0.006)


def test_copies_of_a_lesion_add_no_certainty() -> None:
    label, first, _ = scores()
    auc = {"auc": resampling.roc_auc}
    (once,) = cluster_bootstrap(auc, label, first, np.arange(60), draws=500, seed=0).values()
    copies = [np.repeat(part, 4) for part in (label, first, np.arange(60))]
    (again,) = cluster_bootstrap(auc, *copies, draws=500, seed=0).values()
    assert again == pytest.approx(once)
    alone = delong_interval(copies[0], copies[1])
    assert again.high - again.low > 1.5 * (alone.high - alone.low)


def test_difference_of_shares_is_newcombes() -> None:
    first, second = (45, 60), (70, 110)
    expected = confint_proportions_2indep(*first, *second, method="newcomb", compare="diff")
    found = difference_interval(45 / 60, wilson(*first), 70 / 110, wilson(*second))
    assert found == pytest.approx(expected)


def test_every_measure_lies_in_its_interval() -> None:
    label, first, _ = scores(300)
    probability = 1 / (1 + np.exp(-first))
    found = metric_intervals(label, probability, np.arange(300), draws=200, seed=0)
    assert [*found] == [
        "roc_auc", "partial_roc_auc", "average_precision", "brier", "accuracy", "recall", "specificity", "precision",
    ]  # fmt: skip
    assert [*found["roc_auc"]] == ["delong", "lesion_bootstrap"]
    for method in found["roc_auc"].values():
        assert method["low"] < roc_auc_score(label, probability) < method["high"]
