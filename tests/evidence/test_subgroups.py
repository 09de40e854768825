"""For whom results hold: by hand, against other libraries, and by simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from statsmodels.api import OLS
from statsmodels.stats.proportion import proportion_confint
from worked_samples import alone, single

from dermascreen.evidence.clusters import Clusters
from dermascreen.evidence.intervals import hoeffding
from dermascreen.evidence.operating_points import HighRecall
from dermascreen.evidence.sample import Sample
from dermascreen.evidence.subgroups import calibration_error, promise, report_subgroups
from dermascreen.evidence.thresholds import choose_high_recall, choose_points


def sample(label: list[int], probability: list[float], lesion: list[int] | None = None) -> Sample:
    return Sample(
        np.array(label),
        np.array(probability),
        Clusters.of_lesions(np.arange(len(label)) if lesion is None else np.array(lesion)),
    )


def point(threshold: float) -> HighRecall:
    return HighRecall(
        threshold, "a rule", target_recall=0.95, confidence=0.95, guaranteed=True, reached=True, lesions=60,
        misses_allowed=0, lesions_needed=59,
    )  # fmt: skip


def drawn(n: int, seed: int, shift: float = 0.0) -> Sample:
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.4).astype(int)
    return single(label, 1 / (1 + np.exp(-rng.normal(3 * label - 1.5 + shift, 1.5))))


def test_the_measures_of_a_group_are_those_of_its_images_alone() -> None:
    val, test = drawn(200, 0), drawn(300, 1)
    names = np.where(np.arange(300) % 3, "a", "b").astype(object)
    found = report_subgroups(
        (val, {"sex": np.full(200, "a", dtype=object)}), (test, {"sex": names}), point(0.3)
    ).columns["sex"]  # fmt: skip
    for name, group in found.items():
        label, probability = test.label[names == name], test.probability[names == name]
        called = probability >= 0.3
        assert (group.images, group.malignant, group.benign) == (len(label), label.sum(), (1 - label).sum())
        assert group.roc_auc == pytest.approx(roc_auc_score(label, probability))
        assert group.recall == called[label == 1].mean()
        assert group.specificity == (~called[label == 0]).mean()
        assert group.calibration_error == pytest.approx(probability.mean() - label.mean())
        low, high = proportion_confint(called[label == 1].sum(), label.sum(), 0.05 / 8, "beta")
        (interval,) = group.intervals.recall.values()
        assert (interval.low, interval.high) == (pytest.approx(low), pytest.approx(high))
    assert (found["b"].promise.lesions, found["b"].promise.kept) == (0, False)


def test_intervals_are_widened_for_their_number() -> None:
    val, test = drawn(200, 0), drawn(300, 1)
    groups = [{"one": np.arange(len(part.label)) % 5, "two": np.zeros(len(part.label), int)} for part in (val, test)]
    groups = [
        {name: np.array([f"{n}" for n in values], dtype=object) for name, values in part.items()} for part in groups
    ]
    found = report_subgroups((val, groups[0]), (test, groups[1]), point(0.3))
    assert (found.looked_at, found.confidence) == (24, pytest.approx(1 - 0.05 / 24))


def test_a_group_that_only_val_or_only_test_has_is_reported_without_numbers() -> None:
    val, test = drawn(40, 0), drawn(40, 1)
    here, there = ({"c": np.full(40, name, dtype=object)} for name in ("here", "there"))
    found = report_subgroups((val, here), (test, there), point(0.3)).columns["c"]
    assert (found["here"].images, found["here"].recall, found["here"].roc_auc) == (0, None, None)
    assert found["here"].promise.lesions == val.label.sum()
    assert (found["there"].images, found["there"].promise.lesions) == (40, 0)


def test_a_column_that_is_the_label_in_other_words_is_no_group() -> None:
    val, test = drawn(200, 0), drawn(300, 1)
    groups = [{"diagnosis": np.array(["nevus", "melanoma"], dtype=object)[part.label]} for part in (val, test)]
    finer = [{"diagnosis": one["diagnosis"] + (np.arange(len(one["diagnosis"])) % 2).astype(str)} for one in groups]
    assert report_subgroups((val, groups[0]), (test, groups[1]), point(0.3)).columns == {}
    assert len(report_subgroups((val, finer[0]), (test, finer[1]), point(0.3)).columns["diagnosis"]) == 4


def test_a_lesion_counts_once_and_by_its_least_favourable_photograph() -> None:
    label = [1] * 12 + [1] * 12 + [0] * 12 + [0] * 12
    probability = [0.9] * 12 + [0.9] * 9 + [0.1] * 3 + [0.2] * 12 + [0.2] * 6 + [0.8] * 6
    lesion = [*range(12), *range(12), *range(20, 32), *range(20, 32)]
    test, column = sample(label, probability, lesion), {"c": np.full(48, "x", dtype=object)}
    group = report_subgroups((test, column), (test, column), point(0.5)).columns["c"]["x"]
    assert (group.images, group.malignant, group.benign) == (48, 12, 12)
    assert (group.recall, group.specificity) == (9 / 12, 6 / 12)
    assert group.calibration_error == pytest.approx((0.9 * 9 + 0.5 * 3 + 0.2 * 6 + 0.5 * 6) / 24 - 0.5)


def test_no_number_is_given_where_a_class_is_too_small() -> None:
    label = [1] * 9 + [0] * 10
    test = sample(label, [0.5] * 19)
    column = {"c": np.full(19, "x", dtype=object)}
    group = report_subgroups((test, column), (test, column), point(0.3)).columns["c"]["x"]
    assert (group.recall, group.roc_auc, group.calibration_error) == (None, None, None)
    assert group.specificity == 0
    assert (group.intervals.recall, group.intervals.roc_auc) == ({}, {})
    twice = sample([1] * 18 + [0] * 10, [0.5] * 28, [*range(9), *range(9), *range(20, 30)])
    column = {"c": np.full(28, "x", dtype=object)}
    assert report_subgroups((twice, column), (twice, column), point(0.3)).columns["c"]["x"].recall is None, "9 lesions"


def test_the_error_of_calibration_is_a_mean_of_lesions() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 100)
    probability = rng.random(100)
    alone = calibration_error(single(label, probability))
    difference = probability - label
    half = norm.isf(0.025) * difference.std(ddof=1) / 10
    assert alone[0] == pytest.approx(difference.mean())
    ends = (pytest.approx(difference.mean() - half), pytest.approx(difference.mean() + half))
    assert {method: tuple(found) for method, found in alone[1].items()} == {"normal": ends}


def test_the_error_of_calibration_adds_up_the_lesions_of_a_patient() -> None:
    rng, patient = np.random.default_rng(0), np.repeat(np.arange(30), 4)
    label = rng.integers(0, 2, 120)
    probability = np.clip(rng.random(30)[patient] + rng.normal(0, 0.1, 120), 0, 1)
    _, found = calibration_error(Sample(label, probability, Clusters(np.arange(120), patient)))
    fitted = OLS(probability - label, np.ones(120)).fit(cov_type="cluster", cov_kwds={"groups": patient})
    assert tuple(found["normal"]) == pytest.approx(fitted.conf_int()[0])
    sure = np.where(patient < 9, 1 - label, label) * 1.0  # nine patients have lesions on the wrong side of 1/2
    _, found = calibration_error(Sample(label, sure, Clusters(np.arange(120), patient)))
    error = float((sure - label).mean())
    low, high = hoeffding((1 + error) / 2, 30)
    assert tuple(found["hoeffding"]) == pytest.approx((2 * low - 1, 2 * high - 1))


def test_rates_and_aucs_of_a_group_count_patients() -> None:
    plain, groups = drawn(400, 7), {"sex": np.full(400, "a", dtype=object)}
    alike = plain._replace(clusters=Clusters(np.arange(400), np.argsort(np.argsort(plain.probability)) // 10))
    once, together = (
        report_subgroups((one, groups), (one, groups), point(0.3)).columns["sex"]["a"] for one in (plain, alike)
    )
    for name in ("recall", "specificity", "roc_auc", "calibration_error"):
        assert getattr(once, name) == getattr(together, name)
        (narrow,), (wide,) = (getattr(one.intervals, name).values() for one in (once, together))
        assert wide.high - wide.low > 1.1 * (narrow.high - narrow.low), name
    malignant = alike.part(alike.label == 1)
    worst = pd.Series(malignant.probability).groupby(malignant.clusters.patient).min()
    assert (once.promise.lesions, together.promise.lesions) == (len(malignant.label), len(worst))
    assert together.promise.missed == (worst < 0.3).sum() < once.promise.missed


def test_an_error_of_calibration_has_a_width_also_where_no_lesion_is_on_the_wrong_side() -> None:
    label = np.repeat([0, 1], 15)
    error, intervals = calibration_error(single(label, np.abs(label - 1e-9)), confidence=0.95)
    assert error == pytest.approx(0)
    assert [*intervals] == ["hoeffding"]
    half = (1 - 40 ** (-2 / 30)) ** 0.5  # as by hand for hoeffding, of twice the range
    assert tuple(intervals["hoeffding"]) == pytest.approx((-half, half))


@pytest.mark.parametrize(
    ("lesions", "missed", "kept", "allowed"),
    [(58, 0, False, None), (59, 0, True, 0), (59, 1, False, 0), (120, 1, True, 1), (120, 2, False, 1)],
)
def test_a_promise_takes_the_groups_own_lesions(lesions, missed, kept, allowed) -> None:
    val = sample([1] * lesions + [0], [0.1] * missed + [0.9] * (lesions - missed) + [0.5])
    found = promise(val, point(0.5))
    assert (found.kept, found.lesions, found.missed, found.allowed) == (kept, lesions, missed, allowed)


def test_a_threshold_for_groups_keeps_the_promise_in_each() -> None:
    val = drawn(1500, 3)
    harder = drawn(1500, 4, shift=-1.0)
    both = Sample(
        np.concatenate([val.label, harder.label]), np.concatenate([val.probability, harder.probability]), alone(3000)
    )
    groups = {"sex": np.array(["a"] * 1500 + ["b"] * 1500, dtype=object)}
    plain, lowered = choose_high_recall(both, 0.95, 0.95), choose_high_recall(both, 0.95, 0.95, groups)
    assert not report_subgroups((both, groups), (both, groups), plain).promises["sex", "b"].kept
    assert all(one.kept for one in report_subgroups((both, groups), (both, groups), lowered).promises.values())
    assert lowered.threshold == choose_high_recall(harder, 0.95, 0.95).threshold < plain.threshold
    assert lowered.rule.endswith(", and in each group of sex with lesions enough for it")
    assert choose_points(both, 0.95, 0.95, None, groups).high_recall == lowered
    too_small = groups | {"age": np.arange(3000).astype(str).astype(object)}
    assert choose_high_recall(both, 0.95, 0.95, too_small) == lowered  # whose rule does not name age
    of_patients = both._replace(clusters=Clusters(both.clusters.lesion, both.clusters.lesion // 2))
    assert choose_high_recall(of_patients, 0.95, 0.95, groups).rule.endswith("group of sex with patients enough for it")


def test_a_group_without_lesions_enough_changes_nothing_and_is_named() -> None:
    val = drawn(400, 5)
    groups = {"sex": np.array(["a"] * 380 + ["b"] * 20, dtype=object)}
    chosen = choose_high_recall(val, 0.95, 0.95, {"sex": np.full(400, "a", dtype=object)})
    lowered = choose_high_recall(val, 0.95, 0.95, groups)
    assert lowered.threshold <= chosen.threshold
    few = {"sex": np.arange(400).astype(str).astype(object)}
    assert choose_high_recall(val, 0.95, 0.95, few) == choose_high_recall(val, 0.95, 0.95)
    found = report_subgroups((val, groups), (val, groups), lowered)
    n = int(val.label[380:].sum())
    assert found.shortfalls(["sex"], lowered) == [
        f"A recall of 0.95 cannot be promised for sex b: of its malignant lesions val has {n}, and 59 are needed."
    ]


@pytest.mark.parametrize("shift", [-1.0, 0.0, 1.0])
@pytest.mark.slow
def test_the_promise_of_a_group_is_broken_no_more_often_than_it_says(shift) -> None:
    """A group with easier or harder cancers than the rest; its true recall at a threshold is known."""
    rng, broken, promised, draws = np.random.default_rng(8), 0, 0, 400
    for _ in range(draws):
        scores = np.concatenate([rng.normal(0, 1, 150), rng.normal(shift, 1, 150)])
        val = single(np.ones(300, dtype=int), norm.cdf(scores))
        val = single(np.append(val.label, 0), np.append(val.probability, 0.0))
        chosen = choose_high_recall(val, 0.95, 0.95)
        group = val.part(np.arange(150, 300))
        kept = promise(group, chosen).kept
        true_recall = norm.sf(norm.ppf(chosen.threshold) - shift)
        promised += kept
        broken += kept and true_recall < 0.95
    limit = 0.05 * draws + 3 * np.sqrt(0.05 * 0.95 * draws)
    assert broken <= limit
    assert promised == 0 if shift < 0 else promised > 0
