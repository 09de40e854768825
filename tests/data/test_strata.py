"""How the metadata divide photographs, and what they do not tell."""

import numpy as np
import pandas as pd
import pytest

from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.core.errors import ParamsError
from dermascreen.data.strata import TOLD_BY, ages, describe, divide, require_groups, unread_ages, untold

PATHS = [f"{number}.jpg" for number in range(6)]


def metadata(**columns: list[str]) -> Metadata:
    nothing = [""] * len(PATHS)
    return Metadata.of(PATHS, pd.DataFrame({"lesion": nothing, "patient": nothing} | columns, index=pd.Index(PATHS)))


def test_values_divide_and_ages_are_banded() -> None:
    table = metadata(sex=["male", "female", "", "male", "male", "male"], age_approx=["29", "30", "85+", "", "50", "0"])
    found = divide(table, PATHS[::-1])
    assert found["sex"].tolist() == ["male", "male", "male", "not known", "female", "male"]
    assert found["age_approx"].tolist() == ["0 to 29", "50 to 69", "not known", "70 and over", "30 to 49", "0 to 29"]


@pytest.mark.parametrize(
    "column",
    [
        {"image_type": ["dermoscopic"] * 6},
        {"note": list("abcdef")},
        {"age": ["young", "old", "young", "young", "old", "b"]},
    ],
)
def test_what_divides_nothing_is_left_out(column, monkeypatch) -> None:
    monkeypatch.setattr("dermascreen.data.strata.MOST", 2)
    assert divide(metadata(**column), PATHS) == {}


def test_what_results_depend_on_comes_first_and_each_division_once() -> None:
    twice = {name: ["1", "2", "1", "2", "1", "1"] for name in ("pixels_x", "hospital")}
    found = divide(
        metadata(melanocytic=["a", "b", "b", "b", "b", "b"], **twice, sex=["m", "f", "f", "f", "m", "f"]), PATHS
    )
    assert list(found) == ["sex", "hospital", "melanocytic"]


@pytest.mark.parametrize(
    ("column", "what"),
    [
        ("patient_sex", "sex"), ("Age (years)", "age"), ("ageApprox", "age"), ("fitspatrick", "skin type"),
        ("skin_tone", "skin type"), ("anatom_site_general", "body site"), ("localization", "body site"),
        ("image_type", "camera"), ("dx_type", "how it was confirmed"), ("attribution", "acquisition site"),
    ],
)  # fmt: skip
def test_names_of_published_columns_are_understood(column, what) -> None:
    assert what not in untold(metadata(**{column: ["1"] * 6}))


@pytest.mark.parametrize("column", ["image_number", "image_width", "page", "package", "essex", "stage"])
def test_words_within_words_tell_nothing(column) -> None:
    assert untold(metadata(**{column: ["1"] * 6})) == tuple(TOLD_BY)


def test_ages_outside_the_bands_are_not_known() -> None:
    assert divide(metadata(age=["-1", "40", "40", "40", "40", "40"]), PATHS)["age"].tolist()[0] == "not known"


def test_only_what_no_column_tells_is_said_not_to_be_assessable() -> None:
    assert untold(Metadata.of(PATHS)) == tuple(TOLD_BY)
    table = metadata(
        age_approx=["1"] * 6, sex=["male"] * 6, anatom_site_general=["back"] * 6, diagnosis_3=["Nevus"] * 6,
        diagnosis_confirm_type=["histopathology"] * 6, attribution=["A"] * 6, fitzpatrick_skin_type=[""] * 6,
        image_type=["dermoscopic"] * 6,
    )  # fmt: skip
    assert untold(table) == ("skin type",), "a column without a value tells nothing"
    assert untold(metadata(site=["A"] * 6, dx=["nv"] * 6, localization=["face"] * 6, image=["x"] * 6)) == (
        "skin type", "age", "sex", "how it was confirmed", "camera",
    )  # fmt: skip


def test_groups_that_do_not_exist_are_named() -> None:
    groups = divide(metadata(sex=["male", "female"] * 3), PATHS)
    assert require_groups(["sex"], groups) == ["sex"]
    with pytest.raises(ParamsError, match=r"threshold\.groups names gender, but the columns .* are sex\."):
        require_groups(["gender"], groups)
    with pytest.raises(ParamsError, match=r"are none\."):
        require_groups(["sex"], {})


def test_covariates_are_numbers_of_what_is_known_before_the_diagnosis() -> None:
    table = metadata(
        sex=["male", "female", "", "male", "male", "male"],
        age_approx=["29", "30", "85+", "", "50", "0"],
        anatom_site_general=["leg", "arm", "arm", "leg", "", "leg"],
        diagnosis=list("abcdef"),
        age_at_diagnosis=list("123456"),
        age_at_biopsy=list("123456"),
        location_of_metastasis=list("ababab"),
        age_at_excision=list("123456"),
        clinic_location=list("ababab"),
        hospital=list("ababab"),
        anatom_site_special=["leg"] * 6,
    )
    found = describe(table, PATHS[::-1], PATHS)
    assert found.columns == ("sex", "age_approx", "anatom_site_general")
    assert found.categorical.tolist() == [True, False, True]
    np.testing.assert_array_equal(found.numbers[:, 0], [0, 0, 0, np.nan, 1, 0])
    np.testing.assert_array_equal(found.numbers[:, 1], [0, 50, np.nan, 85, 30, 29])
    np.testing.assert_array_equal(found.numbers[:, 2], [0, np.nan, 0, 1, 1, 0])


def test_nothing_known_is_no_covariate(monkeypatch) -> None:
    found = describe(metadata(note=list("abcdef")), PATHS, PATHS)
    assert (found.columns, found.numbers.shape, found.categorical.shape) == ((), (6, 0), (0,))
    monkeypatch.setattr("dermascreen.data.strata.MOST_CATEGORIES", 1)
    rare = describe(metadata(sex=["m", "m", "f", "f", "m", "x"], age=["young", "old", "", "b", "c", "d"]), PATHS, PATHS)
    np.testing.assert_array_equal(rare.numbers[:, 0], [0, 0, np.nan, np.nan, 0, np.nan])


def test_a_column_that_says_nothing_of_what_is_learnt_is_no_covariate() -> None:
    table = metadata(sex=["f", "m", "f", "f", "f", "m"], age=["", "", "", "", "50", "60"], region=["a", *"bbbbb"])
    assert describe(table, PATHS, PATHS[:4]).columns == ("sex", "region")
    assert describe(table, PATHS[4:], PATHS[1:4]).columns == ("sex",)


def test_ages_are_read_as_people_write_them() -> None:
    spelt = ["1 year", "33y", "33 yrs", "61 Years old", "\u226585", "~40", "85+ years", "-1", "999", "55.0", ""]
    found = ages("age", pd.Series(spelt))
    assert found is not None
    assert found.fillna(-7).tolist() == [1, 33, 33, 61, 85, 40, 85, -7, -7, 55, -7]
    assert ages("age", pd.Series(["10-20", "adult", "30 to 49", "45 %"])) is None


def test_a_column_of_ages_that_is_taken_for_words_is_named() -> None:
    half = ["30", "40", "fifty", "60", "old", ""]
    assert [*unread_ages(metadata(age=half, dose=half, patient_age=["30"] * 6, age_group=["young"] * 6))] == [
        "age is not read as ages, since more than a tenth of its values are none, such as fifty, old."
    ]


@pytest.mark.parametrize("odd", ["4O", "unknown", "999", "-5", "inf", "1e400"])
def test_one_odd_age_does_not_take_away_all_of_them(odd) -> None:
    paths = [f"{number}.jpg" for number in range(20)]
    written = ["20", "40,5", "> 85", "60 years", "70"] * 4
    table = pd.DataFrame({"lesion": "", "patient": "", "age": [odd, *written[1:]]}, index=pd.Index(paths))
    found = describe(Metadata.of(paths, table), paths, paths)
    np.testing.assert_array_equal(found.numbers[:6, 0], [np.nan, 40.5, 85, 60, 70, 20])
    assert not found.categorical[0]
    groups = divide(Metadata.of(paths, table), paths)["age"]
    assert [*groups[:4]] == ["not known", "30 to 49", "70 and over", "50 to 69"]
