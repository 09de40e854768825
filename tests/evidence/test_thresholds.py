import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mapie.risk_control import BinaryClassificationController
from mapie.risk_control.risks import BinaryRisk
from scipy.stats import binom
from sklearn.metrics import f1_score, recall_score
from statsmodels.stats.proportion import proportion_confint

from dermascreen.evidence.thresholds import (
    EMPIRICAL_RULE,
    EXACT_RULE,
    OPTIMISTIC,
    Predictions,
    choose_band,
    choose_high_recall,
    choose_points,
    fn_reduction,
    lesion_scores,
    lesions_needed,
    misses_allowed,
    report_band,
    report_points,
    report_source_protocol,
    shortfalls,
    sweep,
)

LABEL = np.array([0, 0, 0, 0, 1, 1, 1, 1])
PROBABILITY = np.array([0.1, 0.2, 0.5, 0.8, 0.4, 0.6, 0.7, 0.9])


def single(label, probability) -> Predictions:
    """Every photograph shows a lesion of its own."""
    return Predictions(np.asarray(label), np.asarray(probability), np.arange(len(label)))


def of_classes(benign, malignant) -> Predictions:
    return single(np.repeat([0, 1], [len(benign), len(malignant)]), np.concatenate([benign, malignant]))


WORKED = single(LABEL, PROBABILITY)


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
    val = Predictions(label, np.array([0.9, 0.3, 0.2, 0.6, 0.8, 0.1]), lesion)
    assert sorted(lesion_scores(val, label=1)) == [0.3, 0.8]
    assert sorted(lesion_scores(val, label=0)) == [0.1, 0.6]


@pytest.mark.parametrize(("n", "threshold"), [(59, 1), (92, 1), (93, 2), (200, 5), (300, 9)])
def test_the_threshold_is_the_score_above_the_misses_allowed(n, threshold) -> None:
    malignant = np.random.default_rng(0).permutation(np.arange(1, n + 1)) / 1000
    point = choose_high_recall(of_classes([0.0], malignant), 0.95, 0.95)
    assert point == {
        "threshold": threshold / 1000,
        "rule": f"highest that reaches the target recall: {EXACT_RULE}",
        "target_recall": 0.95,
        "confidence": 0.95,
        "guaranteed": True,
        "reached": True,
        "lesions": n,
        "misses_allowed": threshold - 1,
        "lesions_needed": 59,
    }


def test_photographs_of_one_lesion_are_not_trials() -> None:
    malignant = np.linspace(0.2, 0.9, 58)
    thrice = Predictions(
        np.repeat([0, 1], [1, 3 * 58]), np.append([0.1], np.repeat(malignant, 3)), np.append([99], np.arange(174) // 3)
    )
    point = choose_high_recall(thrice, 0.95, 0.95)
    assert (point["guaranteed"], point["lesions"]) == (False, 58)
    apart = choose_high_recall(single(thrice.label, thrice.probability), 0.95, 0.95)
    assert (apart["guaranteed"], apart["lesions"], apart["misses_allowed"]) == (True, 174, 3)


SCORES = st.lists(st.integers(0, 30), min_size=1, max_size=90)


@given(SCORES, SCORES, st.sampled_from([0.5, 0.8, 0.9, 0.95]), st.sampled_from([0.5, 0.9, 0.95]))
def test_no_higher_threshold_is_admitted_also_with_ties(benign, malignant, target, confidence) -> None:
    benign, malignant = np.array(benign) / 30, np.array(malignant) / 30
    allowed = misses_allowed(len(malignant), target, confidence)
    assume(allowed is not None)
    point = choose_high_recall(of_classes(benign, malignant), target, confidence)
    assert point["guaranteed"]
    assert (malignant < point["threshold"]).sum() <= allowed
    assert (malignant < np.nextafter(point["threshold"], 2)).sum() > allowed
    assert point["reached"] == (benign.min() < point["threshold"])


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
    assert controller.valid_predict_params.max() == ours["threshold"]

    misses = (malignant < np.unique(malignant)[:, None]).sum(axis=1)
    admitted = misses <= ours["misses_allowed"]
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
        val = Predictions(label, np.append([0.0], rng.uniform(size=lesions * photographs)), lesion)
        missed += recall_at(choose_high_recall(val, target, 0.95)["threshold"]) < target
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
        point = report_source_protocol(of_classes([0.0], malignant), 0.95)["test"]["high_recall"]
        broken += 1 - point["threshold"] < 0.95
    low, high = binom.ppf([0.0005, 0.9995], 100, binom.cdf(10, 200, 0.05))  # 10 of 200 are missed; 0.58
    assert low <= broken <= high


# Points


def test_worked_by_hand() -> None:
    # At or above 0.4: 4 tp, 2 fp, F1 0.8, Youden 0.5. At 0.6: 3 tp, 1 fp, F1 0.75, Youden 0.5: the lower one wins.
    points = choose_points(WORKED, 0.75, 0.95)
    assert {name: point["threshold"] for name, point in points.items()} == {
        "default": 0.5, "f1_optimal": 0.4, "youden": 0.4, "high_recall": 0.6,
    }  # fmt: skip
    assert choose_points(WORKED, 0.76, 0.95)["high_recall"]["threshold"] == 0.4
    # Four lesions: 0.75 ^ 4 = 0.316 is at most 1 - 0.6, but P(Binomial(4, 0.25) <= 1) = 0.738 is not.
    exact = choose_points(WORKED, 0.75, 0.6)["high_recall"]
    assert (exact["threshold"], exact["guaranteed"], exact["misses_allowed"]) == (0.4, True, 0)


def test_too_few_lesions_are_said_and_val_decides() -> None:
    point = choose_high_recall(WORKED, 0.95, 0.95)
    assert point == {
        "threshold": 0.4,
        "rule": f"highest that reaches the target recall: {EMPIRICAL_RULE}",
        "target_recall": 0.95,
        "confidence": 0.95,
        "guaranteed": False,
        "reached": True,
        "lesions": 4,
        "misses_allowed": None,
        "lesions_needed": 59,
    }
    assert shortfalls({"high_recall": point}) == [
        "A recall of 0.95 cannot be promised with confidence 0.95: val has 4 malignant lesions, and 59 are needed; "
        "the threshold is the one at which val's own recall reaches it."
    ]


def test_a_target_reached_by_flagging_everything_is_not_reached() -> None:
    point = choose_high_recall(single(LABEL, np.full(8, 0.3)), 0.95, 0.95)
    assert (point["threshold"], point["reached"]) == (0.3, False)
    promised = choose_high_recall(of_classes([0.3, 0.9], np.linspace(0.2, 0.8, 59)), 0.95, 0.95)
    assert (promised["threshold"], promised["guaranteed"], promised["reached"]) == (0.2, True, False)
    assert shortfalls({"high_recall": promised}) == [
        "A recall of 0.95 is reached only by calling every benign val image malignant."
    ]


CASES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=1, max_size=60)


@settings(max_examples=50)
@given(CASES, st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_points_are_the_best_of_all_thresholds(cases, target) -> None:
    label = np.array([0, 1, *(positive for positive, _ in cases)])
    probability = np.array([7, 7, *(score for _, score in cases)]) / 20
    points = report_source_protocol(single(label, probability), target)["test"]  # whose rules promise nothing
    thresholds = np.unique(probability)
    recall = {t: recall_score(label, probability >= t) for t in thresholds}
    assert points["high_recall"]["threshold"] == max(t for t in thresholds if recall[t] >= target)
    f1 = {t: f1_score(label, probability >= t) for t in thresholds}
    best = points["f1_optimal"]["threshold"]
    assert f1[best] == pytest.approx(max(f1.values()))
    youden = {t: recall[t] + recall_score(1 - label, probability < t) for t in thresholds}
    assert youden[points["youden"]["threshold"]] == pytest.approx(max(youden.values()))


def test_test_labels_do_not_move_the_points_but_do_move_the_source_protocol() -> None:
    points = choose_points(WORKED, 0.95, 0.95)
    flipped = single(1 - LABEL, PROBABILITY)
    honest = report_points(points, {"val": WORKED, "test": WORKED})
    turned = report_points(points, {"val": WORKED, "test": flipped})
    assert honest["high_recall"]["threshold"] == turned["high_recall"]["threshold"] == 0.4
    assert honest["high_recall"]["test"]["confusion"] == {"tn": 2, "fp": 2, "fn": 0, "tp": 4}
    assert turned["high_recall"]["test"]["confusion"] == {"tn": 0, "fp": 4, "fn": 2, "tp": 2}
    assert turned["high_recall"]["val"] == honest["high_recall"]["val"]
    assert honest["fn_reduction"] == {"default_fn": 1, "high_recall_fn": 0, "fewer_missed": 1, "relative": 1.0}
    source = report_source_protocol(flipped, 0.95)
    assert source["note"] == OPTIMISTIC
    assert source["test"]["roc_auc"] == 0.25
    assert source["test"]["high_recall"]["threshold"] == 0.1
    assert source["test"]["high_recall"]["confusion"]["fn"] == 0
    assert source["test"]["fn_reduction"]["default_fn"] == 2


def test_the_source_protocol_keeps_its_empirical_rule_where_val_would_promise() -> None:
    malignant = np.arange(1, 201) / 1000
    test = of_classes([0.0], malignant)
    assert report_source_protocol(test, 0.95)["test"]["high_recall"]["threshold"] == 0.011  # 10 of 200 below it
    assert choose_high_recall(test, 0.95, 0.95)["threshold"] == 0.005  # 4 of 200


def test_each_point_has_its_intervals_and_screening() -> None:
    at = report_points(choose_points(WORKED, 0.95, 0.95), {"val": WORKED, "test": WORKED})["default"]["test"]
    assert (at["recall"], at["specificity"], at["precision"]) == (0.75, 0.5, 0.6)
    for name, count, total in (("recall", 3, 4), ("specificity", 2, 4), ("precision", 3, 5)):
        expected = proportion_confint(count, total, method="beta")
        assert tuple(at["intervals"][name]["clopper_pearson"].values()) == pytest.approx(expected)
    assert list(at["screening"]) == ["0.01", "0.03", "0.1", "own"]
    assert at["screening"]["own"]["ppv"] == pytest.approx(at["precision"])


def test_nothing_can_be_reduced_where_nothing_was_missed() -> None:
    none, one = {"confusion": {"fn": 0}}, {"confusion": {"fn": 1}}
    assert fn_reduction(none, none)["relative"] is None
    assert fn_reduction(none, one)["fewer_missed"] == -1


# Abstention


def test_no_band_without_a_target() -> None:
    points = choose_points(WORKED, 0.95, 0.95)
    assert choose_band(WORKED, points, None, 0.95) == {}
    assert report_band({}, {"test": WORKED}) == {}


def test_a_band_worked_by_hand() -> None:
    # high_recall is 0.4. Of four benign images 0.75 spares three: those to 0.5; 0.8 is called malignant.
    points = choose_points(WORKED, 0.95, 0.95)
    band = choose_band(WORKED, points, 0.75, 0.95)
    assert band["abstention"] == {
        "low": 0.4,
        "high": np.nextafter(0.5, 1),
        "rule": f"high is the lowest that reaches the target specificity: {EMPIRICAL_RULE}",
        "target_specificity": 0.75,
        "confidence": 0.95,
        "guaranteed": False,
        "lesions": 4,
        "false_alarms_allowed": None,
        "lesions_needed": 11,  # 0.75 ^ 11 = 0.042, 0.75 ^ 10 = 0.056
    }
    assert shortfalls(points | band)[1] == (
        "A specificity of 0.75 cannot be promised with confidence 0.95: val has 4 benign lesions, and 11 are needed; "
        "the threshold is the one at which val's own specificity reaches it."
    )
    # Referred: 0.4 (malignant) and 0.5 (benign). Decided: 0.1, 0.2 benign; 0.8 a false alarm; 0.6, 0.7, 0.9 found.
    test = report_band(band, {"test": WORKED})["abstention"]["test"]
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


def test_a_band_on_enough_lesions_counts_each_benign_one_with_its_highest_photograph() -> None:
    benign = np.arange(1, 94) / 100  # 93 lesions allow one false alarm: 0.93 is called malignant, 0.92 is not
    val = Predictions(
        np.repeat([0, 0, 1], [93, 93, 59]),
        np.concatenate([benign / 2, benign, np.full(59, 0.3)]),
        np.concatenate([np.arange(93), np.arange(93), np.arange(100, 159)]),
    )
    points = choose_points(val, 0.95, 0.95)
    band = choose_band(val, points, 0.95, 0.95)["abstention"]
    assert (band["low"], band["high"]) == (0.3, np.nextafter(0.92, 1))
    assert (band["guaranteed"], band["lesions"], band["false_alarms_allowed"]) == (True, 93, 1)
    assert shortfalls(points | {"abstention": band}) == []


@given(SCORES, SCORES, st.sampled_from([0.5, 0.8, 0.9, 0.95]), st.sampled_from([0.5, 0.9, 0.95]))
def test_no_lower_threshold_spares_enough(benign, malignant, target, confidence) -> None:
    benign = np.array(benign) / 30
    val = of_classes(benign, np.array(malignant) / 30)
    band = choose_band(val, {"high_recall": {"threshold": 0.0}}, target, confidence)["abstention"]
    allowed = band["false_alarms_allowed"]
    below = np.nextafter(band["high"], -1)  # also a benign score
    if band["guaranteed"]:
        assert (benign >= band["high"]).sum() <= allowed < (benign >= below).sum()
    else:
        assert (benign < band["high"]).mean() >= target > (benign < below).mean()


@given(CASES, st.integers(0, 20), st.integers(0, 20))
def test_what_is_decided_and_what_is_referred_make_the_whole(cases, low, width) -> None:
    label, probability = np.array([positive for positive, _ in cases]), np.array([s for _, s in cases]) / 20
    low, high = low / 20, (low + width) / 20
    point = {"abstention": {"low": low, "high": high}}
    at = report_band(point, {"test": single(label, probability)})["abstention"]["test"]
    assert at["referred"] == ((low <= probability) & (probability < high)).sum()
    assert at["decided"] + at["referred"] == len(label)
    assert at["decided"] == sum(at["confusion"].values())
    assert at["confusion"]["tp"] == label[probability >= high].sum()
    assert at["confusion"]["fn"] == label[probability < low].sum()
    json.dumps(at, allow_nan=False)


def test_where_nothing_is_decided_no_rate_is_said() -> None:
    point = {"abstention": {"low": 0.0, "high": 1.0}}
    at = report_band(point, {"test": single(LABEL, PROBABILITY)})["abstention"]["test"]
    assert (at["coverage"], at["referred"], at["decided"]) == (0, 8, 0)
    assert [at[name] for name in ("recall", "specificity", "precision", "error")] == [None] * 4
    assert [at["intervals"][name] for name in ("recall", "specificity", "error")] == [{}] * 3
    assert at["intervals"]["coverage"]["clopper_pearson"]["low"] == 0


def test_where_one_threshold_keeps_both_promises_nothing_is_referred() -> None:
    val = of_classes(np.full(60, 0.1), np.full(60, 0.9))
    points = choose_points(val, 0.95, 0.95)
    band = choose_band(val, points, 0.95, 0.95)
    assert (band["abstention"]["low"], band["abstention"]["high"]) == (0.9, 0.9)
    assert report_band(band, {"test": val})["abstention"]["test"]["referred"] == 0
    assert shortfalls(points | band) == [
        "No image is referred: high_recall's threshold also reaches the target specificity."
    ]


def test_sweep_runs_from_everything_to_nothing() -> None:
    table = sweep(LABEL, PROBABILITY)
    assert len(table) == 101
    assert table.columns.tolist() == ["threshold", "recall", "specificity", "tn", "fp", "fn", "tp"]
    malignant = int(LABEL.sum())
    assert table.iloc[0].tolist() == [0, 1, 0, 0, len(LABEL) - malignant, 0, malignant]
    assert table.iloc[100].tolist() == [1, 0, 1, len(LABEL) - malignant, 0, malignant, 0]
    assert table.loc[table["threshold"].eq(0.7), ["recall", "specificity"]].to_numpy().tolist() == [[0.5, 0.75]]
