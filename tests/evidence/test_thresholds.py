import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mapie.risk_control import BinaryClassificationController
from mapie.risk_control.risks import BinaryRisk
from scipy.stats import binom
from sklearn.metrics import f1_score, recall_score
from statsmodels.stats.proportion import proportion_confint
from worked_samples import LABEL, WORKED, of_classes, single

from dermascreen.evidence.clusters import Clusters
from dermascreen.evidence.operating_points import Band, HighRecall, OperatingPoints
from dermascreen.evidence.point_reports import decided, report_source_protocol
from dermascreen.evidence.sample import Sample
from dermascreen.evidence.thresholds import (
    EMPIRICAL_RULE,
    by_lesion,
    choose_band,
    choose_high_recall,
    choose_points,
    lesions_needed,
    misses_allowed,
    shortfalls,
    sweep,
)

# The rule


@pytest.mark.parametrize(
    ("lesions", "allowed"),
    [(58, None), (59, 0), (92, 0), (93, 1), (120, 1), (124, 2), (200, 4), (240, 6), (285, 7), (286, 8), (300, 8)],
)
def test_misses_allowed_for_95_and_95(lesions, allowed) -> None:
    assert misses_allowed(lesions, 0.95, 0.95) == allowed


@given(st.integers(1, 500), st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99]), st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99]))
def test_a_miss_is_allowed_while_the_one_sided_exact_bound_keeps_the_promise(lesions, target, confidence) -> None:
    def upper(misses) -> float:
        return proportion_confint(misses, lesions, alpha=2 * (1 - confidence), method="beta")[1]

    allowed = misses_allowed(lesions, target, confidence)
    if allowed is not None:
        assert upper(allowed) <= 1 - target + 1e-9
    too_many = 0 if allowed is None else allowed + 1
    if too_many < lesions:
        assert upper(too_many) > 1 - target


@given(st.floats(0.05, 0.99), st.floats(0.05, 0.99))
def test_lesions_needed_is_where_the_first_promise_is_possible(target, confidence) -> None:
    needed = lesions_needed(target, confidence)
    assert misses_allowed(needed, target, confidence) is not None
    assert needed == 1 or misses_allowed(needed - 1, target, confidence) is None


def test_lesions_needed_worked_by_hand() -> None:
    assert lesions_needed(0.95, 0.95) == 59  # 0.95 ^ 59 = 0.0485, 0.95 ^ 58 = 0.0510
    assert lesions_needed(0.9, 0.95) == 29  # 0.9 ^ 29 = 0.0471, 0.9 ^ 28 = 0.0523
    assert lesions_needed(0.5, 0.75) == 2  # 0.5 ^ 2 = 0.25, exactly what is left
    assert lesions_needed(0.9, 0.19) == 2  # 0.9 ^ 2 = 0.81, which is not exact in binary
    assert misses_allowed(2, 0.9, 0.19) == 0


# The rule on lesions


def test_each_lesion_counts_with_its_least_favourable_photograph() -> None:
    label = np.array([1, 1, 0, 0, 1, 0])
    lesion = np.array([7, 7, 3, 3, 5, 1])
    val = Sample(label, np.array([0.9, 0.3, 0.2, 0.6, 0.8, 0.1]), Clusters.of_lesions(lesion))
    for one, lesions, scores in ((1, [5, 7], [0.8, 0.3]), (0, [1, 3], [0.1, 0.6])):
        found = by_lesion(val, label=one)
        assert (found.clusters.lesion.tolist(), found.probability.tolist()) == (lesions, scores)
        assert set(found.label) == {one}


@pytest.mark.parametrize(("n", "threshold"), [(59, 1), (92, 1), (93, 2), (200, 5), (300, 9)])
def test_the_threshold_is_the_score_above_the_misses_allowed(n, threshold) -> None:
    malignant = np.random.default_rng(0).permutation(np.arange(1, n + 1)) / 1000
    point = choose_high_recall(of_classes([0.0], malignant), 0.95, 0.95)
    assert point == HighRecall(
        threshold=threshold / 1000,
        rule="highest that reaches the target recall: exact binomial rule on lesions (Neyman-Pearson umbrella)",
        target_recall=0.95,
        confidence=0.95,
        guaranteed=True,
        reached=True,
        lesions=n,
        misses_allowed=threshold - 1,
        lesions_needed=59,
        patients=n,
    )


def test_photographs_of_one_lesion_are_not_trials() -> None:
    malignant = np.linspace(0.2, 0.9, 58)
    thrice = Sample(
        np.repeat([0, 1], [1, 3 * 58]),
        np.append([0.1], np.repeat(malignant, 3)),
        Clusters.of_lesions(np.append([99], np.arange(174) // 3)),
    )
    point = choose_high_recall(thrice, 0.95, 0.95)
    assert (point.guaranteed, point.lesions) == (False, 58)
    assert (point.patients, thrice.clusters.unit) == (58, "lesion")
    pairs = Clusters(thrice.clusters.lesion, thrice.clusters.lesion // 2)
    assert choose_high_recall(thrice._replace(clusters=pairs), 0.95, 0.95) == (dataclasses.replace(point, patients=29))
    apart = choose_high_recall(single(thrice.label, thrice.probability), 0.95, 0.95)
    assert (apart.guaranteed, apart.lesions, apart.misses_allowed) == (True, 174, 3)


def test_a_guarantee_counts_patients_each_by_the_least_favourable_lesion() -> None:
    rng = np.random.default_rng(0)
    label, patient, probability = rng.integers(0, 2, 900), rng.integers(0, 160, 900), rng.random(900)
    val = Sample(label, probability, Clusters(np.arange(900), patient))
    rows = pd.DataFrame({"label": label, "patient": patient, "probability": probability}).groupby(["label", "patient"])
    worst = rows["probability"].agg(["min", "max", "size"])
    malignant, benign = worst.loc[1], worst.loc[0]
    points = choose_points(val, 0.95, 0.95, 0.5)
    alone = choose_points(of_classes(benign["max"], malignant["min"]), 0.95, 0.95, 0.5)

    point, band = points.high_recall, points.abstention
    assert (point.lesions, point.patients) == (malignant["size"].sum(), len(malignant))
    assert (band.lesions, band.patients) == (benign["size"].sum(), len(benign))
    assert (point.threshold, point.misses_allowed) == (alone.high_recall.threshold, alone.high_recall.misses_allowed)
    assert (band.high, band.false_alarms_allowed) == (alone.abstention.high, alone.abstention.false_alarms_allowed)
    assert alone.high_recall.lesions == alone.high_recall.patients == len(malignant)
    assert point.rule == alone.high_recall.rule.replace("on lesions", "on patients")
    assert band.rule == alone.abstention.rule.replace("on lesions", "on patients")
    missed = (malignant["min"] < point.threshold).sum()
    assert missed == point.misses_allowed < (probability[label == 1] < point.threshold).sum() + 1

    group = np.where(patient < 80, "easy", "hard").astype(object)
    harder = val._replace(probability=np.where(patient < 80, 1 + probability, probability) / 2)
    of_hard = choose_high_recall(harder.part(group == "hard"), 0.95, 0.95)
    assert of_hard.guaranteed
    both = choose_high_recall(harder, 0.95, 0.95, {"sex": group})
    assert both.threshold == of_hard.threshold < choose_high_recall(harder, 0.95, 0.95).threshold


def test_lesions_of_too_few_patients_guarantee_nothing() -> None:
    malignant = np.linspace(0.2, 0.9, 116)
    label, clusters = np.repeat([0, 1], [1, 116]), Clusters(np.arange(117), np.append([99], np.arange(116) // 2))
    point = choose_high_recall(Sample(label, np.append([0.1], malignant), clusters), 0.95, 0.95)
    assert (point.guaranteed, point.lesions, point.patients, point.misses_allowed) == (False, 116, 58, None)
    assert shortfalls(with_high_recall(point))[0].startswith(
        "A recall of 0.95 cannot be guaranteed with confidence 0.95: val has 58 patients with malignant lesions, and "
        "59 are needed; "
    )


SCORES = st.lists(st.integers(0, 30), min_size=1, max_size=90)


@given(SCORES, SCORES, st.sampled_from([0.5, 0.8, 0.9, 0.95]), st.sampled_from([0.5, 0.9, 0.95]))
def test_no_higher_threshold_is_admitted_also_with_ties(benign, malignant, target, confidence) -> None:
    benign, malignant = np.array(benign) / 30, np.array(malignant) / 30
    allowed = misses_allowed(len(malignant), target, confidence)
    assume(allowed is not None)
    point = choose_high_recall(of_classes(benign, malignant), target, confidence)
    assert point.guaranteed
    assert (malignant < point.threshold).sum() <= allowed
    assert (malignant < np.nextafter(point.threshold, 2)).sum() > allowed
    assert point.reached == (benign.min() < point.threshold)


# MAPIE counts k misses as ceil(n * (k / n)), which rounding makes one too many at some n; not at these.
@pytest.mark.parametrize("n", [59, 93, 124, 200, 240, 300])
@pytest.mark.parametrize("distinct", [40, 10_000])
def test_mapie_finds_the_same_threshold(n, distinct) -> None:
    """Learn-then-test with a fixed sequence, from the lowest threshold up, is the same rule on the same p-values."""
    rng = np.random.default_rng(n)
    malignant = np.round(rng.beta(4, 2, n) * distinct) / distinct
    missed = BinaryRisk(
        risk_occurrence=lambda y_true, y_pred: y_pred == 0,  # noqa: ARG005
        risk_condition=lambda y_true, y_pred: y_true == 1,  # noqa: ARG005
        higher_is_better=False,
    )
    controller = BinaryClassificationController(
        lambda scores: np.column_stack([1 - scores, scores]),
        risk=missed,
        target_level=1 - 0.95,
        confidence_level=0.95,
        best_predict_param_choice="predicted_positive_fraction",
        list_predict_params=np.unique(malignant),
        fwer_method="fixed_sequence",
    )
    controller.calibrate(malignant, np.ones(n, dtype=int))
    ours = choose_high_recall(of_classes([0.0], malignant), 0.95, 0.95)
    assert controller.valid_predict_params.max() == ours.threshold

    misses = (malignant < np.unique(malignant)[:, None]).sum(axis=1)
    admitted = misses <= ours.misses_allowed
    assert admitted.tolist() == (controller.p_values[:, 0] <= 0.05).tolist()
    assert controller.p_values[admitted, 0] == pytest.approx(binom.cdf(misses[admitted], n, 0.05), rel=1e-9)


# The promise


def missed_promises(draws, recall_at, lesions, photographs, target=0.95) -> int:
    """How often the true recall at the chosen threshold, known in closed form, is below the target."""
    rng = np.random.default_rng(20_180_200)
    label = np.append(np.zeros(1, dtype=int), np.ones(lesions * photographs, dtype=int))
    lesion = np.append([-1], np.repeat(np.arange(lesions), photographs))
    missed = 0
    for _ in range(draws):
        val = Sample(label, np.append([0.0], rng.uniform(size=lesions * photographs)), Clusters.of_lesions(lesion))
        missed += recall_at(choose_high_recall(val, target, 0.95).threshold) < target
    return missed


@pytest.mark.parametrize(
    ("lesions", "photographs", "recall_at"),
    [
        (59, 1, lambda t: 1 - t),  # scores are uniform on 0 to 1
        (200, 1, lambda t: 1 - t),
        (100, 3, lambda t: (1 - t) ** 3),  # a lesion is found if all of its three independent photographs are
    ],
)
def test_the_promise_is_broken_as_seldom_as_said_and_no_seldomer(lesions, photographs, recall_at) -> None:
    draws = 2000
    exactly = binom.cdf(misses_allowed(lesions, 0.95, 0.95), lesions, 0.05)
    assert 0.02 < exactly <= 0.05  # the rule uses most of what it may
    low, high = binom.ppf([0.0005, 0.9995], draws, exactly)
    missed = missed_promises(draws, recall_at, lesions, photographs)
    assert low <= missed <= high
    assert missed <= binom.ppf(0.9995, draws, 0.05)


def test_recall_on_val_alone_would_break_the_promise_in_more_than_half_of_the_draws() -> None:
    rng = np.random.default_rng(5)
    broken = 0
    for _ in range(100):
        malignant = rng.uniform(size=200)
        point = report_source_protocol(of_classes([0.0], malignant), 0.95).test.high_recall
        broken += 1 - point.threshold < 0.95
    low, high = binom.ppf([0.0005, 0.9995], 100, binom.cdf(10, 200, 0.05))  # 10 of 200 are missed; 0.58
    assert low <= broken <= high


# Points


def test_worked_by_hand() -> None:
    # At or above 0.4: 4 tp, 2 fp, F1 0.8, Youden 0.5. At 0.6: 3 tp, 1 fp, F1 0.75, Youden 0.5: the lower one wins.
    points = choose_points(WORKED, 0.75, 0.95, None)
    assert points.thresholds == {
        "default": 0.5, "f1_optimal": 0.4, "youden": 0.4, "high_recall": 0.6,
    }  # fmt: skip
    assert choose_points(WORKED, 0.76, 0.95, None).high_recall.threshold == 0.4
    # Four lesions: 0.75 ^ 4 = 0.316 is at most 1 - 0.6, but P(Binomial(4, 0.25) <= 1) = 0.738 is not.
    exact = choose_points(WORKED, 0.75, 0.6, None).high_recall
    assert (exact.threshold, exact.guaranteed, exact.misses_allowed) == (0.4, True, 0)


def with_high_recall(point: HighRecall) -> OperatingPoints:
    return dataclasses.replace(choose_points(WORKED, 0.95, 0.95, None), high_recall=point)


def test_too_few_lesions_are_said_and_val_decides() -> None:
    point = choose_high_recall(WORKED, 0.95, 0.95)
    assert point == HighRecall(
        threshold=0.4,
        rule=f"highest that reaches the target recall: {EMPIRICAL_RULE}",
        target_recall=0.95,
        confidence=0.95,
        guaranteed=False,
        reached=True,
        lesions=4,
        misses_allowed=None,
        lesions_needed=59,
        patients=4,
    )
    assert shortfalls(with_high_recall(point)) == [
        "A recall of 0.95 cannot be guaranteed with confidence 0.95: val has 4 malignant lesions, and 59 are needed; "
        "the threshold is the one at which recall on val reaches the target."
    ]


def test_a_target_reached_by_flagging_everything_is_not_reached() -> None:
    point = choose_high_recall(single(LABEL, np.full(8, 0.3)), 0.95, 0.95)
    assert (point.threshold, point.reached) == (0.3, False)
    promised = choose_high_recall(of_classes([0.3, 0.9], np.linspace(0.2, 0.8, 59)), 0.95, 0.95)
    assert (promised.threshold, promised.guaranteed, promised.reached) == (0.2, True, False)
    assert shortfalls(with_high_recall(promised)) == [
        "A recall of 0.95 is reached only by calling every benign val image malignant."
    ]


CASES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=1, max_size=60)


@settings(max_examples=50)
@given(CASES, st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_points_are_the_best_of_all_thresholds(cases, target) -> None:
    label = np.array([0, 1, *(positive for positive, _ in cases)])
    probability = np.array([7, 7, *(score for _, score in cases)]) / 20
    points = report_source_protocol(single(label, probability), target).test  # whose rules promise nothing
    thresholds = np.unique(probability)
    recall = {t: recall_score(label, probability >= t) for t in thresholds}
    assert points.high_recall.threshold == max(t for t in thresholds if recall[t] >= target)
    f1 = {t: f1_score(label, probability >= t) for t in thresholds}
    best = points.f1_optimal.threshold
    assert f1[best] == pytest.approx(max(f1.values()))
    youden = {t: recall[t] + recall_score(1 - label, probability < t) for t in thresholds}
    assert youden[points.youden.threshold] == pytest.approx(max(youden.values()))


# Abstention


def test_no_band_without_a_target() -> None:
    points = choose_points(WORKED, 0.95, 0.95, None)
    assert points.abstention is None
    assert "abstention" not in list(points)
    assert points.in_use == "high_recall"


def test_a_band_worked_by_hand() -> None:
    # high_recall is 0.4. Of four benign images 0.75 spares three: those to 0.5; 0.8 is called malignant.
    points = choose_points(WORKED, 0.95, 0.95, 0.75)
    assert points.abstention == Band(
        low=0.4,
        high=np.nextafter(0.5, 1),
        rule=f"high is the lowest that reaches the target specificity: {EMPIRICAL_RULE}",
        target_specificity=0.75,
        confidence=0.95,
        guaranteed=False,
        lesions=4,
        false_alarms_allowed=None,
        lesions_needed=11,  # 0.75 ^ 11 = 0.042, 0.75 ^ 10 = 0.056
        patients=4,
    )
    assert shortfalls(points)[1] == (
        "A specificity of 0.75 cannot be guaranteed with confidence 0.95: val has 4 benign lesions, and 11 are needed; "
        "the threshold is the one at which specificity on val reaches the target."
    )


def test_a_band_on_enough_lesions_counts_each_benign_one_with_its_highest_photograph() -> None:
    benign = np.arange(1, 94) / 100  # 93 lesions allow one false alarm: 0.93 is called malignant, 0.92 is not
    val = Sample(
        np.repeat([0, 0, 1], [93, 93, 59]),
        np.concatenate([benign / 2, benign, np.full(59, 0.3)]),
        Clusters.of_lesions(np.concatenate([np.arange(93), np.arange(93), np.arange(100, 159)])),
    )
    points = choose_points(val, 0.95, 0.95, 0.95)
    band = points.abstention
    assert (band.low, band.high) == (0.3, np.nextafter(0.92, 1))
    assert (band.guaranteed, band.lesions, band.false_alarms_allowed) == (True, 93, 1)
    assert shortfalls(points) == []


@given(SCORES, SCORES, st.sampled_from([0.5, 0.8, 0.9, 0.95]), st.sampled_from([0.5, 0.9, 0.95]))
def test_no_lower_threshold_spares_enough(benign, malignant, target, confidence) -> None:
    benign = np.array(benign) / 30
    val = of_classes(benign, np.array(malignant) / 30)
    band = choose_band(val, 0.0, target, confidence)
    allowed = band.false_alarms_allowed
    below = np.nextafter(band.high, -1)  # also a benign score
    if band.guaranteed:
        assert (benign >= band.high).sum() <= allowed < (benign >= below).sum()
    else:
        assert (benign < band.high).mean() >= target > (benign < below).mean()


def test_where_one_threshold_keeps_both_promises_nothing_is_referred() -> None:
    val = of_classes(np.full(60, 0.1), np.full(60, 0.9))
    points = choose_points(val, 0.95, 0.95, 0.95)
    assert (points.abstention.low, points.abstention.high) == (0.9, 0.9)
    assert decided(val, points.abstention).referred == 0
    assert shortfalls(points) == ["No image is referred: high_recall's threshold also reaches the target specificity."]


def test_sweep_runs_from_everything_to_nothing() -> None:
    table = sweep(WORKED)
    assert len(table) == 101
    of_counts = ["threshold", "recall", "specificity", "tn", "fp", "fn", "tp"]
    assert table.columns.tolist() == [*of_counts, "recall_n", "specificity_n"]
    malignant = int(LABEL.sum())
    benign = len(LABEL) - malignant
    assert table.iloc[0].tolist() == [0, 1, 0, 0, benign, 0, malignant, malignant, benign]
    assert table.iloc[100].tolist() == [1, 0, 1, benign, 0, malignant, 0, malignant, benign]
    assert table.loc[table["threshold"].eq(0.7), ["recall", "specificity"]].to_numpy().tolist() == [[0.5, 0.75]]
