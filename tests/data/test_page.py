"""The page on which found pairs are checked."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermascreen.artifacts.dataset.details import AuditDetails, PairCounts
from dermascreen.artifacts.dataset.lesions import Lesions, Pairs
from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.artifacts.dataset.reviews import Reviews
from dermascreen.data.lesions import page as audit
from dermascreen.data.lesions.page import render_audit
from dermascreen.data.lesions.pairs import contradictions

NAMES = ["train/a.jpg", "train/b.jpg", "test/c.jpg", "test/<d>&.jpg"]
DETAILS = AuditDetails(
    images=4, exact_duplicates=1, lesions=1, lesions_with_several_images=1, test_near_duplicates_of_train=2,
    label_conflicts=1, pairs=PairCounts(bytes=1, pixels=0, hash=0, features=3),
)  # fmt: skip


@pytest.fixture
def page(tmp_path):
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (300, 200), "pink").save(tmp_path / name, "JPEG")
    folders = ["train", "train", "test", "test"]
    columns = ["path_a", "path_b", "method", "score", "inliers"]

    def render(*rows: tuple, sources: list[str] = folders, known: pd.DataFrame | None = None, reviewed=False) -> str:
        paths, side = np.array(NAMES, dtype=object), np.full(len(NAMES), 300)
        manifest = Manifest(paths, np.array([0, 0, 0, 1]), np.array(sources, dtype=object), side, side, paths)
        pairs = Pairs.of(pd.DataFrame(rows, columns=columns))
        lesions = Lesions(paths, np.zeros(len(paths), dtype=int), np.zeros(len(paths), dtype=int))
        against = contradictions(lesions, Metadata.of(paths, known), pairs).assign(reviewed=reviewed)
        return render_audit(tmp_path, manifest, pairs, against, DETAILS)

    return render


PAIRS = [
    (NAMES[0], NAMES[1], "features", 9.5, 12),
    (NAMES[0], NAMES[2], "bytes", 1.0, 0),
    (NAMES[1], NAMES[2], "features", 40.0, 41),
    (NAMES[1], NAMES[3], "features", 11.25, 15),
]


def test_pairs_across_train_and_test_come_first_and_the_weakest_of_them_before(page) -> None:
    drawn = page(*PAIRS)
    assert re.findall(r"<b>(.*?)</b>", drawn) == ["features 11.2", "features 40", "bytes 1", "features 9.5"]
    assert drawn.count("across train and test</span>") == 3
    assert drawn.count("different labels</span>") == 1
    assert "15 inliers" in drawn
    assert "0 inliers" not in drawn.split("bytes 1</b>")[1].split("</figcaption>")[0]


def test_a_pair_across_other_folders_names_them(page) -> None:
    drawn = page(*PAIRS, sources=["train", "val", "test", "val"])
    assert [drawn.count(f"across {sides}</span>") for sides in ("val and train", "train and test", "val and test")] == [
        1, 1, 1,
    ]  # fmt: skip


def test_it_holds_its_pictures_and_a_file_name_cannot_write_html(page) -> None:
    drawn = page(*PAIRS)
    assert re.findall(r'src="(.{23})', drawn) == ["data:image/jpeg;base64,"] * 8
    assert "<d>" not in drawn
    assert "test/&lt;d&gt;&amp;.jpg" in drawn
    assert "://" not in drawn


def test_only_so_many_pairs_are_shown_and_it_says_so(page, monkeypatch) -> None:
    assert "are shown" not in page(*PAIRS)
    monkeypatch.setattr(audit, "MOST_SHOWN", 2)
    drawn = page(*PAIRS)
    assert drawn.count("<figure ") == 2
    assert "The first 2 of 4 are shown. All are in" in drawn


def test_without_pairs_it_is_a_page_still(page) -> None:
    drawn = page()
    assert "<figure>" not in drawn
    assert "4 images show 1 lesion;\n1 lesion has several images, and\n2 images of the test folder show" in drawn


def test_what_a_table_contradicts_comes_first_and_is_named(page) -> None:
    known = pd.DataFrame({"lesion": ["L", "<M>", "", ""], "patient": ["", "", "1", "2"]}, index=pd.Index(NAMES))
    drawn = page(*PAIRS, known=known)
    first = drawn.split("<figure ")[1:]
    assert drawn.count("lesions L and &lt;M&gt; in the table</span>") == 1
    assert all("several patients" in figure for figure in first), "all four photographs are taken as one lesion"
    assert "in the table" not in page(*PAIRS)
    assert "several patients</span>" not in page(*PAIRS)
    del known["patient"]
    first = page(*PAIRS, known=known.assign(patient="")).split("<figure ")[1:]
    assert ["alarm" in figure and ("in the table" in figure or "different labels" in figure) for figure in first] == [
        True, True, False, False,
    ]  # fmt: skip


def test_what_was_reviewed_comes_last(page) -> None:
    drawn = page(*PAIRS, reviewed=[False, False, True, False])
    assert re.findall(r"<b>(.*?)</b>", drawn)[-1] == "features 40"
    assert drawn.count("reviewed: same") == 1


def test_pairs_are_judged_by_keys_and_buttons_and_saved_as_a_file(page, browser, tmp_path) -> None:
    (tmp_path / "audit.html").write_text(page(*PAIRS))
    opened = browser.new_page(accept_downloads=True)
    opened.goto((tmp_path / "audit.html").as_uri())
    assert opened.get_by_role("button", name="Save 0 verdicts").is_disabled()
    for key in "jsdsku":  # the first three, and the third no more
        opened.keyboard.press(key)
    opened.locator("figure").nth(3).get_by_role("button", name="different").click()
    note = opened.locator("figure").nth(0).get_by_placeholder("note")
    note.fill('a "scar", left')
    note.press("Tab")
    opened.reload()  # nothing is lost
    with opened.expect_download() as saving:
        opened.get_by_role("button", name="Save 3 verdicts").click()
    saving.value.save_as(tmp_path / "saved.csv")
    opened.close()
    assert Reviews.read(tmp_path / "saved.csv").to_frame()[["verdict", "note"]].to_numpy().tolist() == [
        ["same", 'a "scar", left'], ["different", ""], ["different", ""],
    ]  # fmt: skip
