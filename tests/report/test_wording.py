"""Numbers are not rounded to certainty, and sentences say what the numbers do."""

import re

import jinja2
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermascreen.report.wording import (
    amount,
    benefit_of,
    counted,
    environment,
    literal,
    p_value,
    percent,
    share,
    signed,
    source_of,
    span,
    start_of,
    verdict_of,
)

FILLER = {"lesions": 231, "misses_allowed": 6, "lesions_needed": 59, "confidence": 0.95, "target_recall": 0.95}


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
    assert span({"low": 0.5, "high": 0.95}, "percent") == "50\xa0% to 95\xa0%"
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
    assert start_of("none") == "It was trained from random weights, not transfer learning."
    assert "transfer" not in start_of("pretrained/skin.pt")
    assert "pretrained/skin.pt" in start_of("pretrained/skin.pt")


def test_rights_are_claimed_of_photographs_that_have_them() -> None:
    data = {"slug": "someone/some-set", "archive": "data/archive"}
    kaggle, archive, synthetic = (
        source_of({**data, "source": source}) for source in ("kaggle", "archive", "synthetic")
    )
    assert "Kaggle's someone/some-set" in kaggle
    assert "If they are Kaggle's" in archive
    for known in (kaggle, archive):
        assert "ISIC Archive, each under CC-0 or CC-BY-NC" in known
        assert "the rights are the archive's" in known
    assert "ISIC" not in synthetic


@pytest.mark.parametrize(
    ("guaranteed", "test", "high", "expected"),
    [
        (True, 0.96, 0.98, "On val\u2019s 231 malignant lesions, where at least 59 are needed, the high-recall point "
         "may miss 6, so that with 95 % confidence it finds at least 95 % of all lesions like them. On test it finds"),
        (True, 0.94, 0.96, "finds 94 % (90 % to 96 %): less than the target, which chance may explain."),
        (True, 0.92, 0.949, "finds 92 % (90 % to 94.9 %): less than the target, and by more than chance."),
        (False, 0.96, 0.98, "Not guaranteed: to promise 95 % with 95 % confidence takes 59 malignant lesions in val, "
         "which has 231; the threshold only reaches the target among val\u2019s own images (95.5 %). On test"),
    ],
)  # fmt: skip
def test_the_verdict(guaranteed, test, high, expected) -> None:
    measured = {"recall": test, "intervals": {"recall": {"clopper_pearson": {"low": 0.9, "high": high}}}}
    point = {**FILLER, "guaranteed": guaranteed, "reached": True, "val": {"recall": 0.955}, "test": measured}
    assert expected in verdict_of(point).replace("\xa0", " ")
    assert verdict_of(point | {"reached": False}).endswith("so this point is of no use.")


def test_where_the_model_does_good(decision_curve) -> None:
    assert benefit_of(decision_curve) == (
        "At 2 of the 4 thresholds drawn, from 0.1 to 0.2, acting on the model does more good than treating everyone or "
        "no one."
    )
    useless = pd.DataFrame({"threshold": [0.1], "model": [0.3], "treat_all": [0.3], "treat_none": [0.0]})
    assert benefit_of(useless).startswith("At no threshold")
