"""Page, card and figures of a good, a useless and a tiny model, whose details the stages' own functions wrote."""

import dataclasses
import re
from functools import cache

import pytest
import reported_models
from reported_models import TRAINING, Model
from typed import results_of

from dermascreen.artifacts.dataset.kaggle import content, is_kaggles
from dermascreen.core.params import with_changes
from dermascreen.report.card import render_card
from dermascreen.report.figures import draw, svg
from dermascreen.report.page import render
from dermascreen.report.results import Results

from .test_page import Page

NAMES = ("good", "useless", "tiny")


@cache
def model(name: str) -> Model:
    return getattr(reported_models, name)()


@pytest.fixture
def said(pictures, reproduction):
    """The text of a model's page, and its card, without the parameters."""

    def told(name: str, kaggles: bool = False) -> tuple[str, str]:
        made = model(name)
        params = with_changes(reproduction.params, {"data.source": "archive", "data.archive": "mine"})
        again = dataclasses.replace(reproduction, params=params)
        drawn = draw(made.results, made.predictions, made.shortcuts, made.decision_curve, TRAINING, draws=20, seed=0)
        figures = {figure: svg(figure, one) for figure, one in drawn.items()}
        page = Page(render(made.results, figures, made.decision_curve, pictures, again, kaggles=kaggles)).text
        card = " ".join(render_card(made.results, again, kaggles=kaggles).replace("\xa0", " ").split())
        return page.partition("Parameters seed:")[0], card.partition("```yaml")[0]

    return told


def schema(value, path=()):
    """The names in a tree of details; intervals by method, other sites and patients are a matter of the images."""
    if isinstance(value, dict):
        free = (path and path[-1] in {"sites", "strata", "yes", "no", "left_out", "columns"}) or (
            len(path) > 1 and path[-2] == "intervals"
        )
        return (
            {} if free else {key: schema(part, (*path, key)) for key, part in value.items() if key != "test_patients"}
        )
    return None


def test_the_details_of_the_other_tests_are_those_that_stages_write(metrics, abstention, sites) -> None:
    metrics["threshold"]["abstention"], metrics["external"] = abstention, sites
    ours, theirs = results_of(metrics), model("good").results
    for stage in ("evaluate", "threshold", "shortcuts", "external", "train", "explain", "audit"):
        made, written = (getattr(results, stage).model_dump(mode="json") for results in (ours, theirs))
        assert schema(made) == schema(written), stage
        assert schema(metrics[stage]) == schema(written) or stage in {"explain", "shortcuts"}, stage
    (ours,), (theirs,) = (results.external.sites.values() for results in (ours, theirs))
    assert schema(dataclasses.asdict(ours)) == schema(dataclasses.asdict(theirs))


@pytest.mark.parametrize("name", NAMES)
def test_what_stages_write_is_read_as_it_was(name, tmp_path) -> None:
    for details in vars(model(name).results).values():
        details.write(tmp_path / details.PATH)
        assert type(details).read(tmp_path / details.PATH) == details
    assert Results.read(tmp_path) == model(name).results


@pytest.mark.parametrize("name", NAMES)
def test_no_range_lacks_width_and_nothing_is_in_the_wrong_number(name, said) -> None:
    for text in said(name):
        assert not re.search(r"\b1 (images|lesions|maps|files|epochs|have|cancers|test images)\b", text)
        for low, high in re.findall(r"([+\u2212]?[\d.]+(?: %)?) to ([+\u2212]?[\d.]+(?: %)?)", text):
            assert low != high, f"{low} to {high}"
        assert "None" not in text
        assert "nan" not in text.split()


@pytest.mark.parametrize("name", NAMES)
def test_no_count_of_missed_cancers_is_without_what_it_allows(name, said) -> None:
    page, card = said(name)
    assert re.search(
        r"to reassure: at the high-recall point it misses \d+ of \d+ malignant images on test, so it may miss", card
    )
    assert re.search(r"\d+ of \d+ malignant images missed at high recall \([\d.]+ % to [\d.]+ %\)", page)
    high = model(name).results.threshold.high_recall.test.confusion
    rows = re.findall(r"test (\d+ of \d+) ([\d.]+ % to [\d.]+ %) (\d+ of \d+) ([\d.]+ % to [\d.]+ %) [\d.]+", page)
    assert f"{high.fn} of {high.malignant}" in [row[0] for row in rows]


def test_a_good_model_keeps_its_promise_and_says_what_it_costs(said) -> None:
    page, card = said("good", kaggles=True)
    for text in (page, card):
        assert (
            "Chosen on val\u2019s 73 malignant lesions, where at least 59 are needed and 0 may be missed, the" in text
        )
        assert "cannot be distinguished" not in text
        assert "of no use" not in text
    assert "9 fewer than the default (81.8 % of what that misses), with 32 more benign ones called malignant" in page
    assert "0.9752" in page
    assert "Hoeffding\u2019s bound" in page.partition("With and without a cue Test")[2]  # of four and four
    assert "with 8 4 1.000 0.398 to 1.000 0.000 0.000 to 0.602 1.000 0.398 to 1.000, Hoeffding\u2019s bound" in page
    assert "the band holds" in page


def test_a_useless_model_is_not_praised(said) -> None:
    page, card = said("useless")
    for text in (page, card):
        assert "This operating point is of no use" in text
        assert "On test its AUC cannot be distinguished from 0.5, which is that of chance." in text
        assert "fewer than the default" not in text
        assert "0.9752" not in text
        assert "source project" not in text
    assert "Precision at 0.5 none called malignant none called malignant F1 at 0.5 0.000 0.000" in page
    assert "Default: no test image is called malignant, so every cancer is missed, and there is no precision." in page
    assert "High recall: every test image is called malignant, so nothing is decided." in page
    assert "3 % none called malignant 0.970 0.965 to 0.976" in page  # no PPV at the default
    assert "none called benign" in page  # no NPV at high recall
    assert "precision none called malignant none called malignant" in page  # in the site, and here
    assert "it misses 0 of 24 malignant images on test, so it may miss up to 16.4 % of all images like them" in card
    assert "the network\u2019s is lower by" in page


def test_of_a_tiny_test_hardly_anything_is_said(said) -> None:
    page, card = said("tiny")
    assert "1.000 ROC AUC on test 0.025 to 1.000" in page
    assert "ROC AUC 1.000 0.158 to 1.000, Hoeffding\u2019s bound 1.000 0.025 to 1.000, Hoeffding\u2019s bound" in page
    assert "Brier score (lower is better) 0.121 <0.001 to 0.654, Hoeffding\u2019s bound" in page
    assert "which show 2;" in page
    assert "with 1 0" in page  # a stratum of one
    assert "too few" in page.partition("network minus this model")[2]  # for a p-value
    assert "the band holds" not in page
    assert "No image is referred" in page
    for text in (page, card):
        assert "On test its AUC cannot be distinguished from 0.5" in text
    assert "it misses 0 of 1 malignant images on test, so it may miss up to 97.5 %" in card


def test_no_band_is_drawn_of_curves_that_few_lesions_give() -> None:
    for name, banded in (("good", 1), ("tiny", 0)):
        made = model(name)
        drawn = draw(made.results, made.predictions, made.shortcuts, made.decision_curve, TRAINING, draws=5, seed=0)
        assert len(drawn["roc"].axes[0].collections) == len(drawn["precision_recall"].axes[0].collections) == banded


@pytest.mark.parametrize(
    ("data", "files", "expected"),
    [
        ({"source": "kaggle", "slug": "fanconic/skin-cancer-malignant-vs-benign"}, ["aa"], True),
        ({"source": "kaggle", "slug": "someone/else"}, ["aa"], False),
        ({"source": "archive", "slug": "fanconic/skin-cancer-malignant-vs-benign"}, ["aa"], False),
        ({"source": "archive", "slug": "any/thing"}, ["bb", "aa"], True),
        ({"source": "synthetic", "slug": "fanconic/skin-cancer-malignant-vs-benign"}, ["aa"], False),
    ],
)
def test_the_data_set_is_known_by_its_name_on_kaggle_or_by_its_content(
    data, files, expected, params, monkeypatch
) -> None:
    monkeypatch.setattr("dermascreen.artifacts.dataset.kaggle.CONTENT", content(["aa", "bb"]))
    assert is_kaggles(params.data.model_copy(update=data), files) is expected
