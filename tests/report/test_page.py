"""What the page says, and what it must not say."""

import copy
import dataclasses
import re
from html.parser import HTMLParser

import pytest
from pydantic import ValidationError
from typed import mapped, numbers, results_of

from dermascreen.artifacts.model.description import RANDOM
from dermascreen.core.params import with_changes
from dermascreen.report import figures as drawing
from dermascreen.report.page import SECTIONS, render
from dermascreen.report.results import Results

VOID = {"meta", "link", "img", "br"}
SHOWN_ELSEWHERE = (  # leaves that the page does not repeat
    r"evaluate\.\w+\.confusion\.",  # as in threshold.default
    r"evaluate\.\w+\.ece$",  # as in its calibration
    r"train\.best_(train|val)_(loss|roc_auc)$",
    r"threshold\.\w+\.val\.screening\.",  # what counts is test
    r"threshold\.source_protocol\.test\.(?!roc_auc|f1_optimal\.(f1|threshold)$|default\.confusion\.(fn|tp)$"
    r"|high_recall\.(confusion\.(fn|tp)|threshold)$)",
    r"threshold\.fn_reduction\.(default|high_recall)_fn$",  # as in the points
    r"explain\.outcomes\.",  # counted from the pictures
    r"external\.sites\.[^.]*\.left_out\.",  # of no lesion
    r"split\.columns\.(sex|age_approx)\.distinct$",  # the values or their range are shown
    # said where it is not guaranteed
    r"threshold\.abstention\.(confidence|lesions|false_alarms_allowed|lesions_needed|patients)$",
)


class Page(HTMLParser):
    """Tags with their attributes, in order, and the text a reader sees, with single spaces."""

    def __init__(self, html):
        super().__init__()
        self.tags, self._text, self._hidden, self.open = [], [], False, []
        self.feed(html)
        self.close()
        self.text = " ".join(" ".join(self._text).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._hidden = tag == "style"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self._hidden = False

    def handle_data(self, data):
        if not self._hidden:
            self._text.append(data)


@pytest.fixture
def html(metrics, figures, decision_curve, pictures, reproduction):
    """The page with other metrics, or another of what else it is made from."""

    def draw(changed=None, **other):
        made_from = {
            "figures": figures, "decision_curve": decision_curve, "pictures": pictures, "reproduction": reproduction
        }  # fmt: skip
        results = changed if isinstance(changed, Results) else results_of(changed or metrics)
        return render(results, **{"kaggles": True} | made_from | other)

    return draw


@pytest.fixture
def text(html):
    return lambda *args, **other: Page(html(*args, **other)).text


class Remembered(float):
    """A number, or a sum of such, that puts the names of what it is made of into `written` when it is written."""

    def __new__(cls, plain, _names, _written):
        return super().__new__(cls, plain)

    def __init__(self, plain, names, written):
        self.plain, self.names, self.written = plain, names, written

    def __add__(self, other):
        return Remembered(self.plain + other.plain, self.names | other.names, self.written)

    def __sub__(self, other):
        return Remembered(self.plain - other.plain, self.names | other.names, self.written)

    def __abs__(self):
        return Remembered(abs(self.plain), self.names, self.written)

    def __neg__(self):
        return Remembered(-self.plain, self.names, self.written)

    def __index__(self):
        return int(self.plain)

    def __format__(self, style):
        self.written |= self.names
        return format(self.plain, style)

    def __str__(self):
        return format(self)


def test_every_number_of_the_metrics_is_written(metrics, abstention, sites, html) -> None:
    metrics["threshold"]["abstention"] = abstention
    metrics["external"] = sites
    written, results = set(), results_of(metrics)
    remembered = mapped(results, lambda name, value: Remembered(value, {name}, written))
    assert html(remembered) == html(metrics)
    unwritten = {name for name in numbers(results) if name not in written}
    assert {name for name in unwritten if not any(re.match(these, name) for these in SHOWN_ELSEWHERE)} == set()
    unneeded = [these for these in SHOWN_ELSEWHERE if not any(re.match(these, name) for name in unwritten)]
    assert unneeded == []


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("audit.images", 9871, "9871 images show"),
        ("split.val.lesions", 9871, "val 163 9871 84"),
        ("train.best_val_roc_auc", 0.6543, "whose AUC on val is 0.654"),
        ("evaluate.temperature", 2.718, "one temperature, 2.718,"),
        ("evaluate.test.roc_auc", 0.6543, "0.654 ROC AUC on test"),
        ("evaluate.test.intervals.roc_auc.cluster_bootstrap.low", 0.6543, "ROC AUC on test 0.654 to 0.918"),
        ("evaluate.test.intervals.brier.cluster_bootstrap.high", 0.6543, "0.123 0.093 to 0.654 Log loss"),
        ("evaluate.val.calibration.before.ece_floor", 0.6543, "on average 0.654 0.034 0.033 0.034"),
        ("threshold.high_recall.threshold", 0.6543, "High recall, 0.654 the rule of high_recall"),
        ("threshold.high_recall.misses_allowed", 9871, "9871 may be missed,"),
        ("threshold.high_recall.test.confusion.fn", 9871, "9871 of 9948 malignant images missed at high recall"),
        ("threshold.youden.val.intervals.precision.clopper_pearson.low", 0.6543, "0.800 0.654 to 0.830"),
        ("threshold.default.test.screening.0.03.ppv", 0.6543, "3 % 0.654 0.130 to 0.330"),
        ("threshold.fn_reduction.relative", 0.6543, "65.4 % of what that misses"),
        ("threshold.source_protocol.test.high_recall.threshold", 0.6543, "Threshold of high recall 0.200 0.654 0.100"),
        ("shortcuts.baselines.frame.p_value", 0.6543, "frame alone 0.842 0.810 to 0.870, DeLong +0.046 +0.026 "
         "to +0.066 0.654"),
        ("shortcuts.interventions.reencoded.largest_logit_change", 0.6543, "0.862 \u22120.026 \u22120.046 to "
        "\u22120.006 0.012 0.654 metadata"),
        ("shortcuts.strata.exif.yes.recall", 0.6543, "with 30 30 0.654 0.960 to 1.020"),
        ("explain.frame_energy", 0.6543, "On average 65.4 % of a map"),
    ],
)  # fmt: skip
def test_another_number_is_another_text(path, value, expected, metrics, text) -> None:
    assert expected not in text(metrics)
    *sections, last = re.findall(r"0\.\d+|\w+", path)
    part = metrics
    for key in sections:
        part = part[key]
    assert last in part
    part[last] = value
    assert expected in text(metrics)


def test_every_metric_is_needed_unless_the_schema_says_otherwise(metrics, html) -> None:
    for path in (("audit", "lesions"), ("evaluate", "test", "intervals", "brier"), ("threshold", "high_recall", "val"),
                 ("shortcuts", "network"), ("explain", "frame_energy"), ("evaluate", "tta")):  # fmt: skip
        other = copy.deepcopy(metrics)
        part = other
        for key in path[:-1]:
            part = part[key]
        del part[path[-1]]
        with pytest.raises(ValidationError, match=rf"{'.'.join(path[1:])}\n.*missing"):
            html(other)


def test_the_header_says_what_it_is_and_what_it_is_not(text) -> None:
    assert "Not a medical device." in text()
    assert "A heat map is not a lesion\u2019s outline" in text()
    assert "It was fine-tuned from ImageNet-1k weights (torchvision, ResNet50_Weights.IMAGENET1K_V2; " in text()
    assert "Synthetic" not in text()


def test_random_weights_are_never_called_transfer_learning(metrics, text) -> None:
    metrics["train"] |= {"weights": "none", "start": RANDOM.model_dump()}
    drawn = text(metrics)
    assert "It was trained from random weights, not by transfer learning." in drawn
    assert drawn.count("transfer learning") == drawn.count("not by transfer learning") == 1
    assert "fine-tuned" not in drawn


def test_synthetic_images_are_never_called_photographs_of_skin(reproduction, text) -> None:
    params = with_changes(reproduction.params, {"data.source": "synthetic"})
    drawn = text(reproduction=dataclasses.replace(reproduction, params=params), kaggles=False)
    assert "Synthetic images. The images were drawn by a program: they show no skin" in drawn
    assert "ISIC" not in drawn
    assert "source project" not in drawn
    assert "as published" not in drawn


def test_only_kaggles_images_are_set_beside_the_source_projects_figures(text, reproduction) -> None:
    assert "Compared with the source project" in text()
    assert "0.9752" in text()
    params = with_changes(reproduction.params, {"data.source": "archive", "data.archive": "my/photographs"})
    own = text(reproduction=dataclasses.replace(reproduction, params=params), kaggles=False)
    for said in ("source project", "0.9752", "as published", "ISIC", "Kaggle"):
        assert said not in own.partition("Parameters seed")[0]
    assert "The photographs are those in my/photographs. Whose they are, and under which licence, is not known" in own
    assert "In the train and test folders as they were given, 17 images for testing have a near-duplicate" in own
    params = with_changes(params, {"split.protocol": "grouped"})
    elsewhere = text(reproduction=dataclasses.replace(reproduction, params=params))
    assert "the test images here were drawn from the whole data set" in elsewhere
    assert "the test images here were drawn from the whole data set" not in text()


def test_the_headline_has_intervals(text) -> None:
    drawn = text()
    assert "0.888 ROC AUC on test 0.858 to 0.918" in drawn  # of lesions drawn anew: DeLong's is too sure of itself
    assert "96.2 % sensitivity at high recall 93.2 % to 99.2 %" in drawn
    assert "51.2 % specificity at high recall 48.2 % to 54.2 %" in drawn
    assert (
        "3 of 80 malignant images missed at high recall (0.7 % to 6.8 %), with 39 of 80 benign ones called malignant"
        in drawn
    )


def test_a_guarantee_is_of_patients_where_they_have_several_lesions(metrics, text) -> None:
    of_patients = "how many of the group\u2019s patients the point misses a malignant lesion there"
    assert "The guarantee is for patients like those of val" in text()
    assert of_patients in text()
    metrics["threshold"]["high_recall"]["patients"] = metrics["threshold"]["high_recall"]["lesions"]
    assert "The guarantee is for lesions like those of val" in text(metrics)
    assert of_patients not in text(metrics)


def test_a_promise_that_cannot_be_made_is_marked(metrics, html) -> None:
    alarmed = (
        r'<strong class="alarm">High recall: The sensitivity of 95\s% that it aims at is not guaranteed with 90\s%'
    )
    assert not re.search(alarmed, html())
    metrics["threshold"]["high_recall"] |= {"guaranteed": False, "lesions": 31, "patients": 31, "misses_allowed": None}
    drawn = html(metrics)
    assert len(re.findall(alarmed, drawn)) == 2  # in the headline, and with the points
    assert "may be missed" not in drawn


def test_a_target_that_is_not_reached_is_said_plainly(metrics, html) -> None:
    metrics["threshold"]["high_recall"]["reached"] = False
    assert html(metrics).count('<strong class="alarm">High recall: This operating point is of no use') == 2


def test_results_are_those_of_val_and_test(text) -> None:
    drawn = text()
    assert "ROC AUC 0.913 0.892 to 0.934, DeLong 0.883 to 0.943, cluster bootstrap 0.888" in drawn
    assert "Images 151 160 Lesions 142 151" in drawn


def test_each_operating_point_has_its_misses_and_false_alarms_first(text) -> None:
    drawn = text()
    assert (
        "Default, 0.500 the rule of default val 4 of 80 2 % to 8 % 19 of 80 20.8 % to 26.8 % 0.950 0.920 to 0.980"
        in drawn
    )
    assert (
        "test 3 of 80 0.7 % to 6.8 % 39 of 80 45.8 % to 51.8 % 0.963 0.932 to 0.993 0.512 0.482 to 0.542 0.664" in drawn
    )
    assert (
        "On test high recall misses 3 of 80 malignant images (0.7 % to 6.8 %), 8 fewer than the default (72.7 "
        "% of what "
        "that misses), with 19 more benign ones called malignant."
    ) in drawn


def test_the_source_projects_figures_stand_beside_both_protocols(text) -> None:
    drawn = text()
    assert "Optimistic: chosen on test." in drawn
    assert "ROC AUC 0.888 0.888 0.9752" in drawn
    assert "Best F1, at threshold 0.821 at 0.421 0.852 at 0.310 0.924 at 0.200" in drawn
    assert "Malignant images missed at 0.5 11 of 80 10.7 % to 16.8 % 2 of 80 33 of 300" in drawn
    assert "2 of 80 13 of 300 Threshold of high recall 0.200 0.310 0.100" in drawn


def test_screening_is_told_by_prevalence(text) -> None:
    drawn = text()
    assert (
        "45.5 % of the test images are malignant. In screening, only a few in a hundred lesions are malignant" in drawn
    )
    assert "High recall, 0.200 1 % 0.210 0.110 to 0.310" in drawn
    assert "45.5 %, as here 0.655" in drawn
    assert "139.9 138.9 to 139.1 10 %" not in drawn  # 3 % stands between them


def test_without_a_band_no_section_speaks_of_one(metrics, abstention, html) -> None:
    assert "referred" not in Page(html()).text
    metrics["threshold"]["abstention"] = abstention
    drawn = Page(html(metrics))
    assert "at least 0.200 and below 0.713 is not decided but referred" in drawn.text
    assert "val 40 of 160 0.750 0.720 to 0.780 0.933" in drawn.text
    assert "is not guaranteed" not in drawn.text
    metrics["threshold"]["abstention"] = abstention | {"guaranteed": False}
    assert "The specificity of 90 % that it aims at is not guaranteed" in Page(html(metrics)).text
    metrics["threshold"]["abstention"] = abstention | {"high": abstention["low"]}
    drawn = Page(html(metrics)).text
    assert "No image is referred: the threshold of high recall, 0.200, also reaches the specificity of 90 %" in drawn
    assert "is not decided" not in drawn


def test_each_section_is_there_once_and_linked(metrics, abstention, html) -> None:
    for band in ({}, {"abstention": abstention}):
        metrics["threshold"] |= band
        drawn = Page(html(metrics))
        expected = [name for name in SECTIONS if band or name != "abstention"]
        assert [tags["id"] for tag, tags in drawn.tags if tag == "section"] == expected
        assert [tags["href"] for tag, tags in drawn.tags if tag == "a"] == [f"#{name}" for name in expected]


@pytest.mark.parametrize(("ece", "expected"), [(0.0469, "is no more than"), (0.0471, "is more than")])
def test_calibration_is_set_against_what_chance_does(ece, expected, metrics, text) -> None:
    metrics["evaluate"]["test"]["calibration"]["after"]["ece"] = ece
    assert expected in text(metrics)


def test_the_best_baseline_is_named_beside_the_network(metrics, text) -> None:
    expected = (
        "Without the lesion\u2019s structure, colours of the whole image alone give an AUC of 0.853 on test; "
        "the network\u2019s is higher by 0.035 (0.015 to 0.055)."
    )
    assert text().count(expected) == 2
    metrics["shortcuts"]["baselines"]["colour"] |= {"roc_auc": 0.9, "network_minus_baseline": -0.0124, "low": -0.03}
    assert "the network\u2019s is lower by 0.012 (from 0.030 lower to 0.055 higher)." in text(metrics)


def test_what_another_compression_costs_is_told_at_the_top(metrics, text, html) -> None:
    again = metrics["shortcuts"]["interventions"]["reencoded"]
    again |= {"roc_auc": 0.8, "fall": 0.02, "low": -0.01, "high": 0.05}
    saved = "all test files saved again as JPEG in the same way,"
    assert f"With {saved} its AUC is 0.800, lower by 0.020 (from 0.050 lower to 0.010 higher)." in text(metrics)
    again["low"] = 0.01
    told = f"Its AUC depends on how files were saved: with {saved} it is 0.800, lower by 0.020 (0.010 to 0.050)."
    assert f'<strong class="alarm">{told}</strong>' in html(metrics).replace("\n", " ")


def test_a_stratum_without_images_or_a_class_is_left_empty(text) -> None:
    drawn = text()
    assert (
        "A near-duplicate in the train folder, as the images were given with 17 0 0.600 0.570 to 0.630 without 143 "
        "80 0.960" in drawn
    )
    assert "A coarse JPEG with 0 0 without 160 80" in drawn
    assert "The data do not tell skin type, age, so nothing here shows how the network performs by them." in drawn


def test_no_other_site_is_said(text) -> None:
    assert "from an AUC of 0.95-0.97 at their own site to 0.80-0.89 elsewhere (arXiv 2606.13135)" in text()


def test_other_sites_stand_beside_test(metrics, sites, text) -> None:
    metrics["external"] = sites
    drawn = text(metrics)
    assert "arXiv" not in drawn
    assert "Oslo <b>| $1 (110 of 120 images used, 30 malignant; 6 left out" in drawn
    assert "0.767 to 0.835, cluster bootstrap 0.888 \u22120.087 \u22120.127 to \u22120.037" in drawn
    assert "Average precision 0.612 0.582 to 0.642 0.872 Brier score 0.201" in drawn  # which prevalence decides
    assert "Brier score 0.201 0.171 to 0.231 0.123 +0.078 +0.038 to +0.128" in drawn
    assert (
        "High recall, 0.200: 8 of 30 malignant images missed, 30 of 80 benign ones called "
        "malignant sensitivity 0.733" in drawn
    )


def test_near_duplicates_across_train_and_test_are_told(metrics, text, reproduction) -> None:
    drawn = text()
    assert "402 images show 371 lesions" in drawn
    assert (
        "In the data set as published, 17 images for testing have a near-duplicate among those for training. Here no"
        in drawn
    )
    assert "1 file is an exact copy of another" in drawn
    assert "2 lesions carry both labels" in drawn
    assert "near-equal perceptual hashes 18" in drawn
    metrics["audit"]["label_conflicts"] = 0
    assert "both labels" not in text(metrics)
    params = with_changes(reproduction.params, {"split.protocol": "official_with_duplicates"})
    leaky = text(reproduction=dataclasses.replace(reproduction, params=params))
    assert "near-duplicate among those for training. Here too" in leaky


def test_a_protocol_that_excludes_nothing_has_no_such_row(metrics, text) -> None:
    assert "excluded 160" in text()
    del metrics["split"]["excluded"]
    assert "excluded 160" not in text(metrics)


def test_the_gallery_shows_the_most_confident_first_with_their_decisions(text) -> None:
    drawn = text()
    assert "Missed cancers (1 shown of 3 on test)" in drawn
    assert "Cancers found (0 shown of 77 on test)" in drawn
    assert (
        "Malignant , probability of malignant 0.100 (0.030 to 0.160), flat map test/malignant/7.jpg "
        "Default benign wrong Best F1 benign wrong Youden benign wrong High recall benign wrong"
    ) in drawn
    assert (
        "Benign , probability of malignant 0.450 (0.380 to 0.510) test/benign/<b>&8.jpg Default benign right "
        "Best F1 malignant wrong Youden benign right High recall malignant wrong"
    ) in drawn
    assert drawn.index("test/benign/9.jpg") < drawn.index("test/benign/<b>&8.jpg")


def test_the_frames_share_is_set_against_chance(metrics, text) -> None:
    drawn = text()
    assert "On average 51.2 % of a map lies in the outer eighth of the image" in drawn
    assert "would have 43.8 %" in drawn
    assert "1 map is flat" in drawn
    metrics["explain"] |= {"frame_energy": None, "flat_maps": 0}
    assert "On average" not in text(metrics)
    assert "flat:" not in text(metrics)


def test_it_says_how_to_get_the_numbers_again(reproduction, text) -> None:
    drawn = text()
    assert f"Git revision {'f' * 40} ." in drawn
    assert "reports/predictions.csv 0123456789abcdef0123456789abcdef" in drawn
    assert "python 3.99.1, torch 2.98.7" in drawn
    assert "target_recall: 0.95" in drawn
    assert "with changes" in text(reproduction=dataclasses.replace(reproduction, changed=True))
    assert "revision is not known" in text(reproduction=dataclasses.replace(reproduction, revision=None))


def test_each_check_of_the_maps_says_what_it_must_be(text) -> None:
    page = text()
    for title, relation, criterion in [
        ("shuffled weights", "within \N{PLUS-MINUS SIGN}", "0.0"),
        ("gain over a random map", "interval above", "0.01"),
        ("where lesions are", "at most", "0.02"),
        ("gain over a uniform map", "below", "0.03"),
        ("excess over a uniform map", "at least", "0.04"),
    ]:
        assert re.search(rf"{title} \S+( \S+ to \S+)? {re.escape(relation)} {criterion} passed", page), title


def test_text_from_outside_cannot_write_html(metrics, sites, html) -> None:
    metrics["external"] = sites
    drawn = html(metrics)
    assert "test/benign/&lt;b&gt;&amp;8.jpg" in drawn
    assert "Oslo &lt;b&gt;| $1" in drawn
    assert "<b>&" not in drawn
    assert "<b>|" not in drawn


@pytest.fixture
def whole(metrics, abstention, sites, drawings, html):
    """The page with all sections and real drawings."""
    metrics["threshold"]["abstention"] = abstention
    metrics["external"] = sites
    return html(metrics, figures=drawings)


def test_tags_are_closed_and_pictures_are_described(whole) -> None:
    drawn = Page(whole)
    assert drawn.open == []
    images = [attributes for tag, attributes in drawn.tags if tag == "img"]
    assert len(images) == 12  # beside each of three, its map and its two nearest training images
    assert all(len(image["alt"]) > 20 for image in images)
    assert "flat" in images[1]["alt"]
    assert "supported malignant" in images[5]["alt"]
    described = [attributes["aria-label"] for _, attributes in drawn.tags if attributes.get("class") == "drawing"]
    assert described == [drawing.FIGURES[name][1] for name in drawing.FIGURES]
    assert all(attributes["role"] == "img" for _, attributes in drawn.tags if attributes.get("class") == "drawing")
    assert [tag for tag, _ in drawn.tags].count("svg") == len(drawing.FIGURES)


def test_no_name_within_the_page_is_given_twice(whole) -> None:
    tags = Page(whole).tags
    names = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(names) == len(set(names))
    used = {
        value[1:]
        for _, attributes in tags
        for key, value in attributes.items()
        if key.endswith("href") and value[0] == "#"
    }
    assert used <= set(names)


def test_nothing_is_fetched_from_elsewhere(whole) -> None:
    drawn = Page(whole)
    assert not {"script", "iframe", "object", "embed", "base", "form", "audio", "video"} & {
        tag for tag, _ in drawn.tags
    }
    for _, attributes in drawn.tags:
        for key, value in attributes.items():
            assert key not in {"srcset", "action", "background", "poster", "ping", "data"}
            if key in {"src", "href", "xlink:href"}:
                assert value.startswith(("data:", "#")), value
    assert re.findall(r"url\((?!#)|@import|image-set", whole) == []
    assert set(re.findall(r"\w+://[^\s\"'<]+", whole)) == {"http://www.w3.org/1999/xlink", "http://www.w3.org/2000/svg"}


def test_the_page_is_small_and_always_the_same(whole, metrics, drawings, html) -> None:
    assert len(whole) < 500_000
    assert html(metrics, figures=drawings) == whole


def test_whom_the_results_hold_for_is_said_at_the_top_and_by_group(metrics, text, html) -> None:
    top, _, rest = text().partition("Results The epoch")
    assert "A recall of 95 % is promised by their own patients of val for sex male, with 90 % confidence." in top
    assert "It is not for sex female (misses 4 of 61 patients, where 0 are allowed)." in top
    few = "malignant lesions in val to promise anything, of the 59 needed: hospital <North> (17)."
    assert f"Too few patients with {few}" in top
    assert "of the 59 needed: hospital <North> (17). Val has no malignant lesion of 1 further group." in top
    assert "There are 4 intervals, and each has 98.8 % confidence" in rest
    assert "male 93 39 of 80 0.910 0.880 to 0.940 0.630" in rest
    assert "female 67 29 of 60 0.640 0.610 to 0.670 no: misses 4 of 61 0 allowed" in rest
    assert "<North> 31 8 of 21 too few: 17 of 59 misses 1" in rest
    metrics["threshold"]["high_recall"]["patients"] = metrics["threshold"]["high_recall"]["lesions"]
    of_lesions = text(metrics)
    assert "A recall of 95 % is promised by their own lesions of val for sex male, with 90 % confidence." in of_lesions
    assert "It is not for sex female (misses 4 of 61 lesions, where 0 are allowed)." in of_lesions
    assert f"Too few {few}" in of_lesions
    metrics["threshold"]["subgroups"]["columns"] = {}
    assert "For whom" not in text(metrics)
    assert 'href="#groups"' not in html(metrics)


def test_what_the_table_says_is_shown_by_split(metrics, text) -> None:
    drawn = text()
    assert "sex 391 of 402 female 83, male 76" in drawn
    assert "age_approx 388 of 402 4.5 to 89.5" in drawn
    assert (
        "Of 7 photographs the data do not tell the patient. If each lesion there is of a patient of its own, they are "
        "of 298 patients, and all photographs of a patient are in one split."
    ) in drawn
    metrics["audit"]["of_unknown_patients"] = 0
    known = text(metrics)
    assert "They are of 298 patients as far as the data tell, and all photographs of a patient are in one" in known
    assert "do not tell the patient" not in known
    assert "4 pairs show what the table calls two lesions." in drawn


def test_where_images_were_set_aside_val_is_not_said_to_have_chosen_the_epoch(metrics, text) -> None:
    assert "it does not account for choosing the epoch on val" in text()
    assert "whose AUC on val is" in text()
    metrics["split"]["selection"] = metrics["split"]["val"]
    aside = text(metrics)
    assert "The epoch was chosen on images set aside for it" in aside
    assert "for this network as it is." in aside
    assert "whose AUC on the images that chose it is" in aside
    assert "epoch on val" not in aside
