"""What the model card says, and what it must not say."""

import dataclasses
import re

import pytest
from jinja2 import UndefinedError
from pydantic import ValidationError
from typed import read, results_of

from dermascreen.artifacts.dataset.details import AuditDetails
from dermascreen.artifacts.model.description import RANDOM
from dermascreen.core.params import with_changes
from dermascreen.report.card import render_card


@pytest.fixture
def card(metrics, reproduction):
    def render(changed=None, again=None, kaggles=True):
        return render_card(results_of(changed or metrics), again or reproduction, kaggles=kaggles).replace("\xa0", " ")

    return render


def tables(card):
    """Each table as a list of rows of cells; a border after a backslash is none."""
    for block in re.findall(r"(?:^\|.*\n)+", card, flags=re.MULTILINE):
        yield [re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()]


def test_what_another_compression_costs_is_told_at_the_top(card, metrics) -> None:
    again = metrics["shortcuts"]["interventions"]["reencoded"]
    again |= {"roc_auc": 0.8, "fall": 0.02, "low": -0.01, "high": 0.05}
    saved = "all test files saved again as JPEG in the same way,"
    told = f"With {saved} its AUC is 0.800, lower by 0.020 (from 0.050 lower to 0.010 higher)."
    assert f"\n\n{told}\n\nRanges are" in card()
    again["low"] = 0.01
    told = f"Its AUC depends on how files were saved: with {saved} it is 0.800, lower by 0.020 (0.010 to 0.050)."
    assert f"\n\n**{told}**\n\nRanges are" in card()


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("audit.test_near_duplicates_of_train", 9871, "9871 images for testing have a near-duplicate"),
        ("audit.label_conflicts", 9871, "| of 9871 lesions |"),
        ("split.train.malignant", 9871, "| train | 162 | 153 | 83 | 9871 |"),
        ("train.best_epoch", 9871, "of which number 9871 (from 0)"),
        ("train.best_val_roc_auc", 0.6543, "AUC on val, 0.654 |"),
        ("evaluate.temperature", 2.718, "| temperature | 2.718,"),
        ("evaluate.test.roc_auc", 0.6543, "| 0.654 (0.867 to 0.909 by DeLong; 0.858 to 0.918 by cluster"),
        ("evaluate.val.intervals.brier.cluster_bootstrap.low", 0.6543, "| Brier score | 0.123 (0.654 to 0.153) |"),
        ("evaluate.test.calibration.after.ece_floor_high", 0.6543, "| 0.031 (0.654) |"),
        ("threshold.high_recall.test.confusion.fn", 9871, "it misses 9871 of 9948 malignant images on test"),
        ("threshold.youden.threshold", 0.6543, "| Youden | 0.654 | 9 of 80 (8.3 % to 14.3 %) | 21 of 80 (23.2 % "
        "to 29.2 %) |"),
        ("threshold.default.test.intervals.recall.clopper_pearson.low", 0.6543, "| 0.863 (0.654 to 0.893) |"),
        ("threshold.high_recall.test.screening.0.01.npv", 0.6543, "| 0.654 (0.710 to 0.910) |"),
        ("threshold.high_recall.test.screening.0.1.missed_per_1000", 987.1, "| 987.1 (7.0 to 7.2) |"),
        ("threshold.high_recall.lesions", 9871, "patient counts as one) with 9871 malignant lesions,"),
        ("shortcuts.baselines.file.roc_auc", 0.6543, "file size and format alone | 0.654 (0.810 to 0.870 by DeLong) |"),
        ("shortcuts.interventions.frame_replaced.fall", 0.6543, "| frame painted over | 0.831 | \u22120.654 ("),
        ("explain.images", 9871, "HiResCAM of 9871 test images"),
    ],
)  # fmt: skip
def test_another_number_is_another_text(path, value, expected, metrics, card) -> None:
    expected = expected.replace("'", "\u2019")
    assert expected not in card()
    *sections, last = re.findall(r"0\.\d+|\w+", path)
    part = metrics
    for key in sections:
        part = part[key]
    assert last in part
    part[last] = value
    assert expected in card(metrics)


def test_the_name_of_a_column_is_literal_text(metrics, card) -> None:
    auc = {"roc_auc": 0.7, "intervals": {"roc_auc": {"delong": {"low": 0.65, "high": 0.75}}}}
    gain = {"difference": 0.01, "low": -0.01, "high": 0.03, "p_value": 0.3}
    metrics["shortcuts"]["covariates"] = {
        "columns": ["age ![x](https://example.org/x.png)"], "alone": auc, "together": auc,
        "picture_adds": gain, "covariates_add": gain,
    }  # fmt: skip
    assert "age !\\[x\\](https" in card(metrics)


def test_it_says_what_it_is_for_and_what_not(card) -> None:
    drawn = card()
    assert "**Not a medical device.**" in drawn
    assert "It must not be used\n\n- to decide" in drawn
    assert "fine-tuned from ImageNet-1k weights (torchvision, ResNet50\\_Weights.IMAGENET1K\\_V2; licence " in drawn
    assert "the rights are the archive's and its contributors'" in drawn
    assert "CC-0 or CC-BY-NC" in drawn
    assert "nothing is known about darker skin" in drawn
    assert "The data do not tell skin type, age: how the network performs by them cannot be assessed" in drawn


def test_random_weights_are_never_called_transfer_learning(metrics, card) -> None:
    metrics["train"] |= {"weights": "none", "start": RANDOM.model_dump()}
    drawn = card(metrics)
    assert drawn.count("transfer learning") == drawn.count("not by transfer learning") == 1
    assert "fine-tuned" not in drawn


def test_synthetic_images_have_no_archive(card, reproduction) -> None:
    params = with_changes(reproduction.params, {"data.source": "synthetic"})
    drawn = card(again=dataclasses.replace(reproduction, params=params), kaggles=False)
    assert "**The images were drawn by a program" in drawn
    assert "ISIC" not in drawn


def test_the_sample_size_is_of_what_the_guarantee_counts(metrics, card) -> None:
    of_patients = "to guarantee high recall takes 59 patients with malignant lesions in val, which has 71 |"
    assert of_patients in card()
    assert "The promise is of val: patients with malignant lesions, not all of which are found there," in card()
    metrics["threshold"]["high_recall"] |= {"lesions": 90, "patients": 90}
    assert "to guarantee high recall takes 59 malignant lesions in val, which has 90 |" in card(metrics)
    assert "The promise is of val: malignant lesions missed there," in card(metrics)


def test_a_promise_that_cannot_be_made_is_marked(metrics, card) -> None:
    assert "not guaranteed" not in card()
    metrics["threshold"]["high_recall"] |= {"guaranteed": False, "misses_allowed": None}
    assert "**High recall: The sensitivity of 95 % that it aims at is not guaranteed with 90 % confidence." in card(
        metrics
    )


def test_a_band_is_told_where_there_is_one(metrics, abstention, card) -> None:
    assert "referred" not in card()
    metrics["threshold"]["abstention"] = abstention
    assert "From 0.200 to below 0.713 an image is referred: 37 of 157 test images." in card(metrics)
    assert "is not guaranteed" not in card(metrics)
    metrics["threshold"]["abstention"] = abstention | {"guaranteed": False}
    assert (
        "**The specificity of 90 % that it aims at is not guaranteed with 90 % confidence. That would take 29"
        in card(metrics)
    )
    metrics["threshold"]["abstention"] = abstention | {"high": abstention["low"]}
    assert "also reaches the specificity that the band aims at, so no image is referred: 37 of 157" in card(metrics)


def test_other_sites(metrics, sites, card) -> None:
    assert "0.80-0.89 elsewhere (arXiv 2606.13135)" in card()
    assert "other sites: none" in card()
    metrics["external"] = sites
    drawn = card(metrics)
    assert "arXiv" not in drawn
    assert "| Oslo \\<b\\>\\| $1 | 110 | 0.801 (" in drawn
    assert "other sites: 1 |" in drawn


def test_what_cannot_be_known_here_is_apart(card) -> None:
    filled, empty = card().split("Not filled in, because a pipeline cannot know them")
    assert "ethical approval" in empty
    assert "ethical approval" not in filled
    assert "TRIPOD+AI" in filled
    assert "CLAIM" in filled


def test_tables_are_whole(metrics, abstention, sites, card) -> None:
    metrics["threshold"]["abstention"] = abstention
    for external in ({"sites": {}}, sites):
        metrics["external"] = external
        found = list(tables(card(metrics)))
        assert len(found) == 11 + bool(external["sites"])
        for rows in found:
            assert {len(row) for row in rows} == {len(rows[0])}
            assert {cell.strip() for cell in rows[1]} == {"---"}


def test_it_says_how_to_get_the_numbers_again(card, reproduction) -> None:
    drawn = card()
    assert f"Git revision `{'f' * 40}`; `dvc repro`." in drawn
    assert "| reports/predictions.csv | 0123456789abcdef0123456789abcdef |" in drawn
    assert f"```yaml\n{reproduction.yaml}```\n" in drawn
    assert drawn.endswith("python 3.99.1, torch 2.98.7\n")
    assert "not committed" in card(again=dataclasses.replace(reproduction, changed=True))
    assert "revision is not known" in card(again=dataclasses.replace(reproduction, revision=None))


def test_it_is_tidy_and_always_the_same(metrics, abstention, sites, card) -> None:
    for guaranteed in (True, False):
        metrics["threshold"]["high_recall"]["guaranteed"] = guaranteed
        metrics["threshold"]["abstention"] = abstention | {"guaranteed": guaranteed}
        metrics["external"] = sites if guaranteed else {"sites": {}}
        assert "\n\n\n" not in card(metrics)
        assert not re.search(r"[^\n]\n#+ ", card(metrics).partition("```yaml")[0])  # headings stand alone
        assert not re.search(r"^[^|\n]+\n\|", card(metrics), flags=re.MULTILINE)  # so do tables
    assert not re.search(r"[ \t]+$", card(), flags=re.MULTILINE)
    assert card() == card()


def test_a_missing_metric_is_an_error_and_not_a_blank(metrics, reproduction) -> None:
    results = results_of(metrics)
    del metrics["audit"]["exact_duplicates"]
    with pytest.raises(ValidationError, match="exact_duplicates"):
        read(AuditDetails, metrics["audit"])
    results = dataclasses.replace(results, audit=AuditDetails.model_construct(**metrics["audit"]))
    with pytest.raises(UndefinedError, match="exact_duplicates"):
        render_card(results, reproduction, kaggles=False)


def test_the_card_says_for_whom(card, metrics) -> None:
    drawn = card()
    assert "| sex female | 67 | 29 of 60 | - | 0.640 (0.610 to 0.670) | - | no: 4 of 61, 0 allowed |" in drawn
    assert "| hospital \\<North\\> | 31 | 8 of 21 | - | - | - | too few: 1 of 17 |" in drawn
    assert "- It is not for sex female (misses 4 of 61 patients, where 0 are allowed)." in drawn
    assert "| sex | 391 of 402 | female 83, male 76 |" in drawn
    metrics["threshold"]["subgroups"]["columns"] = {}
    assert "For whom" not in card(metrics)
