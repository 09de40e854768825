"""What the page says, and what it must not say."""

import copy
import re
from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError

from dermascreen.report.page import FIGURES, Picture, counted, percent, render, share, start_of, verdict_of


def rates(tn, fp, fn, tp):
    return {
        "recall": tp / (tp + fn),
        "specificity": tn / (tn + fp),
        "precision": tp / (tp + fp),
        "f1": 2 * tp / (2 * tp + fp + fn),
        "confusion": {"tn": tn, "fp": fp, "fn": fn, "tp": tp},
    }


def measures(n, auc):
    return {
        "n": n,
        "roc_auc": auc,
        "average_precision": 0.87,
        "accuracy": 0.81,
        "brier": 0.123,
        **rates(60, 20, 11, 69),
    }


POINTS = {"default": 0.5, "f1_optimal": 0.421, "youden": 0.467, "high_recall": 0.2}
COUNTS = {
    "default": (60, 20, 11, 69),
    "f1_optimal": (58, 22, 9, 71),
    "youden": (59, 21, 9, 71),
    "high_recall": (41, 39, 3, 77),
}

METRICS = {
    "audit": {
        "images": 402, "exact_duplicates": 1, "lesions": 371, "lesions_with_several_images": 26,
        "test_images_with_train_twin": 17, "label_conflicts": 0,
    },
    "split": {
        name: {"images": 160, "lesions": 151, "benign": 80, "malignant": 80}
        for name in ("excluded", "test", "train", "val")
    },
    "train": {"weights": "IMAGENET1K_V2", "best_epoch": 3, "epochs": 5, "val_roc_auc": 0.913},
    "evaluate": {"val": measures(151, 0.913), "test": measures(160, 0.8876)},
    "threshold": {
        **{
            name: {"threshold": POINTS[name], "val": rates(61, 19, 4, 76), "test": rates(*COUNTS[name])}
            for name in POINTS
        },
        "fn_reduction": {"default_fn": 11, "high_recall_fn": 3, "fewer_missed": 8, "relative": 8 / 11},
        "source_protocol": {
            "note": "Optimistic: chosen on test.",
            "test": {
                "roc_auc": 0.8876, **{name: {"threshold": 0.31, **rates(55, 25, 2, 78)} for name in POINTS},
            },
        },
    },
    "explain": {
        "images": 2, "flat_maps": 1, "outcomes": {"fn": 1, "fp": 1, "tp": 0, "tn": 0},
        "frame_energy": 0.512, "frame_energy_uniform": 0.4375,
    },
}  # fmt: skip
METRICS["threshold"]["high_recall"] |= {"target_recall": 0.95, "reached": True}

PICTURES = [
    Picture("test/malignant/7.jpg", 1, 0.1, "fn", "images/000.png", "images/000-map.png", flat=True),
    Picture("test/benign/<b>&8.jpg", 0, 0.45, "fp", "images/001.png", "images/001-map.png", flat=False),
]


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
        if tag not in {"meta", "link", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self._hidden = False

    def handle_data(self, data):
        if not self._hidden:
            self._text.append(data)


def page(**changes):
    metrics = copy.deepcopy(METRICS)
    for path, value in changes.items():
        section, *keys, last = path.split("__")
        part = metrics[section]
        for key in keys:
            part = part[key]
        part[last] = value
    return Page(render(metrics, PICTURES))


def test_the_header_says_what_it_is_and_what_it_is_not() -> None:
    text = page().text
    assert "Not a medical device." in text
    assert "A heat map is not a lesion\u2019s outline" in text
    assert "It was fine-tuned from ImageNet weights (IMAGENET1K_V2): transfer learning." in text


def test_random_weights_are_never_called_transfer_learning() -> None:
    text = page(train__weights="none").text
    assert "It was trained from random weights, not transfer learning." in text
    assert text.count("transfer learning") == text.count("not transfer learning") == 1
    assert "fine-tuned" not in text
    assert "transfer" not in start_of("pretrained/skin.pt")
    assert "pretrained/skin.pt" in start_of("pretrained/skin.pt")


def test_results_are_those_of_val_and_test() -> None:
    text = page().text
    assert "ROC AUC 0.913 0.888" in text
    assert "Images 151 160" in text
    assert "Sensitivity at 0.5 0.863 0.863" in text


def test_each_operating_point_has_its_misses_and_false_alarms_first() -> None:
    text = page().text
    assert "Default, 0.500 val 4 of 80 19 of 80" in text
    assert (
        "High recall, 0.200 val 4 of 80 19 of 80 0.950 0.762 0.800 0.869 test 3 of 80 39 of 80 0.963 0.512 0.664"
        in text
    )
    assert "On test, the high-recall point misses 3 cancers where the default misses 11: 72.7 % fewer." in text


def test_fewer_misses_are_not_claimed_where_there_are_none() -> None:
    none = {"default_fn": 1, "high_recall_fn": 1, "fewer_missed": 0, "relative": 0.0}
    assert "misses 1 cancer where the default misses 1." in page(threshold__fn_reduction=none).text


def test_a_target_that_is_not_reached_is_said_plainly() -> None:
    drawn = page(threshold__high_recall__reached=False)
    assert "The target sensitivity of 95 % is not reached" in drawn.text
    assert "is reached on val" not in drawn.text


@pytest.mark.parametrize(
    ("reached", "test", "expected"),
    [
        (True, 0.96, "The target sensitivity of 95 % is reached on val (95.5 %) and on test (96 %)."),
        (True, 0.94, "The target sensitivity of 95 % is reached on val (95.5 %), where the threshold was chosen. "
         "On test it is not: sensitivity there is 94 %."),
        (False, 1.0, "The target sensitivity of 95 % is not reached: on val only calling every image malignant gets "
         "there, so this point is of no use."),
    ],
)  # fmt: skip
def test_the_verdict(reached, test, expected) -> None:
    point = {"target_recall": 0.95, "reached": reached, "val": {"recall": 0.955}, "test": {"recall": test}}
    assert verdict_of(point) == expected


def test_the_source_projects_figures_stand_beside_both_protocols() -> None:
    text = page().text
    assert "Optimistic: chosen on test." in text
    assert "ROC AUC 0.888 0.888 0.9752" in text
    assert "Best F1, at threshold 0.821 at 0.421 0.852 at 0.310 0.924 at 0.200" in text
    assert "Missed cancers at 0.5 11 of 80 2 of 80 33 of 300" in text
    assert "at high recall, at threshold 3 of 80 at 0.200 2 of 80 at 0.310 13 of 300 at 0.100" in text


def test_twins_across_train_and_test_are_told() -> None:
    text = page().text
    assert "402 photographs show 371 lesions" in text
    assert "17 test images have a twin among the training images" in text
    assert "1 file is an exact copy of another" in text
    assert "both labels" not in text
    assert "1 lesion carries both labels" in page(audit__label_conflicts=1).text


def test_a_protocol_that_excludes_nothing_has_no_such_row() -> None:
    split = {name: METRICS["split"][name] for name in ("train", "val", "test")}
    assert "excluded" in page().text
    metrics = METRICS | {"split": split}
    assert "excluded" not in Page(render(metrics, PICTURES)).text


def test_the_gallery_shows_each_picture_with_its_decisions() -> None:
    text = page().text
    assert "Missed cancers (1 shown of 3 on test)" in text
    assert "Cancers found (0 shown of 77 on test)" in text
    assert (
        "Malignant , probability of malignant 0.100, flat map test/malignant/7.jpg Default benign wrong "
        "Best F1 benign wrong Youden benign wrong High recall benign wrong"
    ) in text
    assert (
        "Benign , probability of malignant 0.450 test/benign/<b>&8.jpg Default benign right "
        "Best F1 malignant wrong Youden benign right High recall malignant wrong"
    ) in text


def test_the_frames_share_is_set_against_chance() -> None:
    assert "On average 51.2 % of a map lies in the outer eighth of the image" in page().text
    assert "would have 43.8 %" in page().text
    assert "1 map is flat" in page().text
    assert "On average" not in page(explain__frame_energy=None).text
    assert "flat:" not in page(explain__flat_maps=0).text


def test_a_path_cannot_write_html() -> None:
    html = render(METRICS, PICTURES)
    assert "test/benign/&lt;b&gt;&amp;8.jpg" in html
    assert "<b>" not in html


def test_tags_are_closed_and_pictures_are_described() -> None:
    drawn = page()
    assert drawn.open == []
    images = [attributes for tag, attributes in drawn.tags if tag == "img"]
    assert [image["src"] for image in images] == [
        *FIGURES, "images/000.png", "images/000-map.png", "images/001.png", "images/001-map.png",
    ]  # fmt: skip
    assert all(len(image["alt"]) > 20 for image in images)
    assert "flat" in images[-3]["alt"]
    assert "spoke for malignant" in images[-1]["alt"]


def test_nothing_is_fetched_from_elsewhere() -> None:
    html = render(METRICS, PICTURES)
    links = re.findall(r"""(?:src|href|action)=["']([^"']*)""", html) + re.findall(r"url\(([^)]*)", html)
    assert all(link == "data:," or re.fullmatch(r"[\w./-]+", link) for link in links)
    assert not re.search(r"https?:|//|@import|<script", html)


def test_a_missing_metric_is_an_error_and_not_a_blank() -> None:
    metrics = copy.deepcopy(METRICS)
    del metrics["audit"]["lesions"]
    with pytest.raises(UndefinedError, match="lesions"):
        render(metrics, PICTURES)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0.000"), (1e-7, "<0.001"), (0.0005, "0.001"), (0.9752, "0.975"), (0.99951, ">0.999"), (1.0, "1.000")],
)
def test_a_share_is_not_rounded_to_certainty(value, expected) -> None:
    assert share(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.95, "95 %"), (0.9567, "95.7 %"), (0.9999, ">99.9 %"), (1.0, "100 %"), (0.0, "0 %")]
)
def test_percent(value, expected) -> None:
    assert percent(value) == expected


def test_counted() -> None:
    assert [counted(number, "map is", "maps are") for number in (0, 1, 2)] == ["0 maps are", "1 map is", "2 maps are"]
