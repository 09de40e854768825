import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint
from worked_samples import alone

from dermascreen.evidence.clusters import Clusters
from dermascreen.evidence.intervals import Interval, clopper_pearson, compare_aucs, delong_interval, hoeffding
from dermascreen.evidence.shortcuts import (
    baseline_scores,
    beside_network,
    near_duplicate_in,
    report_auc,
    report_baselines,
    report_covariates,
    report_interventions,
    report_strata,
)


def auc_by_pairs(label, score) -> float:
    """Won and half of the tied pairs, by another road than DeLong's."""
    won = mannwhitneyu(score[label == 1], score[label == 0]).statistic
    return won / (label.sum() * (1 - label).sum())


@pytest.fixture
def labels():
    rng = np.random.default_rng(0)
    return rng.integers(0, 2, 400), rng.integers(0, 2, 600)


def test_a_planted_cue_is_found(labels) -> None:
    train, test = labels
    rng = np.random.default_rng(1)
    features = [np.column_stack([rng.normal(size=(len(y), 5)), y + rng.normal(0, 0.4, len(y))]) for y in (train, test)]
    score = baseline_scores(features[0], train, features[1])
    assert roc_auc_score(test, features[1][:, 5]) > 0.95  # what the cue itself is worth
    assert roc_auc_score(test, score) > 0.95


def test_noise_holds_nothing(labels) -> None:
    train, test = labels
    rng = np.random.default_rng(2)
    score = baseline_scores(rng.normal(size=(400, 20)), train, rng.normal(size=(600, 20)))
    low, high = report_auc(test, score, alone(600)).intervals.roc_auc["delong"]
    assert low < 0.5 < high


@pytest.mark.parametrize("n", [4, 36, 400])
def test_constant_features_give_a_constant_score(labels, n) -> None:
    train = np.resize([0, 1, 1, 0], n)
    score = baseline_scores(np.full((n, 3), -1.0), train, np.full((600, 3), -1.0))
    assert len(np.unique(score)) == 1
    compared = report_baselines(labels[1], np.arange(600.0), alone(600), {"file": score})["file"]
    assert compared.roc_auc == 0.5
    fewer = min(np.bincount(labels[1]))
    assert compared.intervals.roc_auc == {"hoeffding": hoeffding(0.5, fewer)}


def test_categories_have_no_order() -> None:
    kind = np.tile(np.arange(40), 40)
    label = np.random.default_rng(4).integers(0, 2, 40)[kind]  # of each category, in no order
    values = kind[:, None].astype(float)
    scores = baseline_scores(values, label, values, np.array([True]))
    assert (scores[label == 1] > 0.5).all()
    renamed = np.random.default_rng(5).permutation(40)[kind][:, None].astype(float)
    few = kind % 40 < 13  # what was learnt of some must not tell of the others by their place among them
    for numbers in (values, renamed):
        unseen = baseline_scores(numbers[few], label[few], numbers[~few], np.array([True]))
        assert len(np.unique(unseen)) == 1
    some = np.where(np.arange(len(kind))[:, None] % 7, values, np.nan)
    assert np.isfinite(baseline_scores(some, label, some, np.array([True]))).all()


def test_the_picture_adds_what_the_covariates_do_not_tell(labels) -> None:
    rng = np.random.default_rng(5)
    val, test = labels
    told, seen = ([y + rng.normal(size=len(y)) for y in labels] for _ in range(2))  # independent given the label
    probability = [1 / (1 + np.exp(-score)) for score in told]
    both = beside_network(val, (probability[0], seen[0]), (probability[1], seen[1]))
    best = roc_auc_score(test, told[1] + seen[1])  # the likelihood ratio
    report = report_covariates(test, seen[1], alone(600), columns=("age",), alone=probability[1], both=both)
    assert report.together.roc_auc == pytest.approx(best, abs=0.005)
    for gain, than in ((report.picture_adds, probability[1]), (report.covariates_add, seen[1])):
        compared = compare_aucs(test, both, than, np.arange(600))
        assert (gain.difference, gain.low, gain.high) == (compared.difference, compared.low, compared.high)
        assert gain.low > 0
    assert report.picture_adds.gain.value == pytest.approx(best - report.alone.roc_auc, abs=0.005)


def test_sure_probabilities_do_not_break_the_combination() -> None:
    label, sure = np.tile([0, 1], 20), np.tile([0.0, 1.0], 20)
    assert np.isfinite(beside_network(label, (sure, label * 2.0), (sure, label * 2.0))).all()


def test_the_same_input_gives_the_same_scores(labels) -> None:
    train, test = labels
    rng = np.random.default_rng(3)
    features = rng.normal(size=(1000, 4))
    first, second = (baseline_scores(features[:400], train, features[400:]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == test.shape


LABEL = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
NETWORK = np.array([-2.0, -1.5, -1.0, 0.2, -0.4, -0.3, 0.5, 1.0, 2.0, 3.0])
CALLED = NETWORK >= -0.35
LESION = np.arange(10)


def known(intervals) -> set[str]:
    """What has an interval."""
    return {name for name, found in vars(intervals).items() if found}


def test_strata_worked_by_hand() -> None:
    near_duplicate = np.array([1, 1, 0, 1, 0, 1, 0, 1, 0, 1], dtype=bool)
    coarse = np.array([0, 0, 0, 0, 0, 0, 1, 1, 0, 1], dtype=bool)
    lone = np.array([1, 0, 0, 0, 0, 1, 1, 0, 0, 0], dtype=bool)  # one benign, two malignant
    nothing = np.zeros(10, dtype=bool)
    report = report_strata(
        LABEL,
        NETWORK,
        CALLED,
        Clusters.of_lesions(LESION),
        {"near_duplicate": near_duplicate, "coarse": coarse, "lone": lone, "exif": nothing},
    )

    # Near-duplicates: benign -2, -1.5, 0.2 (called) and malignant -0.3, 1, 3, all called. Pairs won: 2 + 3 + 3 of 9.
    near_duplicates = report["near_duplicate"].yes
    assert (near_duplicates.n, near_duplicates.malignant) == (6, 3)
    assert near_duplicates.recall == 1
    assert near_duplicates.specificity == pytest.approx(2 / 3)
    assert near_duplicates.roc_auc == pytest.approx(8 / 9)
    exact = proportion_confint(2, 3, method="beta")
    assert list(near_duplicates.intervals.specificity["clopper_pearson"]) == pytest.approx(exact)
    assert near_duplicates.intervals.recall["clopper_pearson"].high == 1
    assert near_duplicates.intervals.roc_auc == {"hoeffding": hoeffding(8 / 9, 3)}

    assert (report["coarse"].yes.specificity, report["coarse"].yes.roc_auc) == (None, None)
    assert report["coarse"].yes.recall is not None
    assert known(report["coarse"].yes.intervals) == {"recall"}
    assert known(report["coarse"].no.intervals) == {"recall", "specificity", "roc_auc"}
    assert known(report["lone"].yes.intervals) == {"recall", "specificity"}
    assert report["lone"].yes.roc_auc is None
    assert report["exif"].yes is None
    assert report["exif"].no.n == 10


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3), st.booleans()), min_size=1))
def test_both_sides_of_a_stratum_make_the_whole(images) -> None:
    label, network, inside = (np.array(column) for column in zip(*images, strict=True))
    called = network >= 0
    everything = {"whole": np.ones(len(label), dtype=bool), "part": inside.astype(bool)}
    report = report_strata(label, network.astype(float), called, alone(len(label)), everything)
    whole, parts = report["whole"].yes, [side for side in vars(report["part"]).values() if side]
    assert whole.n == sum(part.n for part in parts)
    assert whole.malignant == sum(part.malignant for part in parts)
    found = sum((part.recall or 0) * part.malignant for part in parts)
    assert (whole.recall or 0) * whole.malignant == pytest.approx(found)


def test_a_stratum_of_eight_that_is_told_apart_is_not_certain() -> None:
    label, network = np.repeat([0, 1, 0, 1], [4, 4, 40, 40]), np.random.default_rng(0).normal(size=88)
    inside = np.arange(88) < 8
    network[inside] = label[inside]
    stratum = report_strata(label, network, network > 0.5, alone(88), {"exif": inside})["exif"]
    assert stratum.yes.roc_auc == 1
    assert stratum.yes.intervals.roc_auc == {"hoeffding": Interval(pytest.approx(0.025**0.25), 1)}
    assert stratum.yes.intervals.recall == {"clopper_pearson": clopper_pearson(4, 4)}
    delong = delong_interval(label[~inside], network[~inside], np.arange(80))
    assert stratum.no.intervals.roc_auc == {"delong": delong}
    # Both photographs of a lesion say no more than one.
    pairs = report_strata(label, network, network > 0.5, Clusters.of_lesions(np.arange(88) // 2), {"exif": inside})[
        "exif"
    ]
    assert pairs.yes.intervals.roc_auc["hoeffding"].low == pytest.approx(0.025**0.5)


def test_baselines_and_interventions_are_compared_in_pairs() -> None:
    other = NETWORK.copy()
    other[7] = -3.0  # loses all its five pairs: an AUC of 24/25 becomes 19/25
    compared = compare_aucs(LABEL, NETWORK, other)
    fall = report_interventions(LABEL, NETWORK, Clusters.of_lesions(LESION), {"reencoded": other})["reencoded"]
    assert auc_by_pairs(LABEL, NETWORK) == pytest.approx(24 / 25)
    assert fall.roc_auc == pytest.approx(auc_by_pairs(LABEL, other))
    assert fall.fall == pytest.approx(0.2)
    assert (fall.low, fall.high, fall.p_value) == compared[3:]
    assert fall.largest_logit_change == 4

    beside = report_baselines(LABEL, NETWORK, Clusters.of_lesions(LESION), {"frame": other})["frame"]
    assert beside.network_minus_baseline == pytest.approx(0.2)
    assert beside.roc_auc == pytest.approx(19 / 25)
    assert (beside.low, beside.high, beside.p_value) == compared[3:]


def test_what_changes_nothing_makes_nothing_fall() -> None:
    same = report_interventions(LABEL, NETWORK, Clusters.of_lesions(LESION), {"exif_stripped": NETWORK.copy()})[
        "exif_stripped"
    ]
    assert (same.fall, same.low, same.high, same.largest_logit_change) == (0, 0, 0, 0)
    assert same.p_value == 1


def test_a_near_duplicate_is_another_photograph_of_the_lesion_in_the_folder() -> None:
    lesion = np.array([0, 0, 1, 2, 2, 3, 3, 5])
    folder = np.array([1, 0, 1, 1, 1, 0, 0, 0], dtype=bool)
    assert near_duplicate_in(lesion, folder).tolist() == [False, True, False, True, True, False, False, False]
