"""People overrule the audit: by a file of verdicts, which the page of pairs saves and a command merges."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import main

from dermascreen.artifacts.dataset.kaggle import content
from dermascreen.artifacts.dataset.lesions import Pairs
from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.artifacts.dataset.reviews import Reviews
from dermascreen.data.lesions.pairs import equal_pairs, join
from dermascreen.data.lesions.reviews import KAGGLE, kept_apart, overrule, said_same, settle, unmatched

ARCHIVE = Path("../shared/data/skin-cancer-malignant-vs-benign.zip")
PATHS = list("abcdef")
SHA = ["1", "2", "3", "4", "5", "1"]  # a and f are one file
FOUND = [("a", "f", "bytes", 1.0, 0), ("a", "b", "features", 20.0, 21), ("c", "d", "hash", 0.97, 0)]
HEADER = "sha256_a,sha256_b,verdict,note\n"


def reviews(tmp_path, *rows: str) -> Reviews:
    (tmp_path / "r.csv").write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return Reviews.read(tmp_path / "r.csv")


def pairs(*rows: tuple) -> Pairs:
    return Pairs.of(pd.DataFrame(rows, columns=["path_a", "path_b", "method", "score", "inliers"]))


def ends(found: Pairs) -> list[tuple[str, str, str]]:
    return list(zip(found.path_a, found.path_b, found.method, strict=True))


def test_without_reviews_nothing_changes(tmp_path) -> None:
    kept, rejected = overrule(pairs(*FOUND), PATHS, SHA, reviews(tmp_path))
    pd.testing.assert_frame_equal(kept.to_frame(), pairs(*FOUND).to_frame())
    assert len(rejected) == 0


def test_verdicts_overrule_in_either_order_of_the_digests(tmp_path) -> None:
    said = reviews(
        tmp_path,
        "4,3,different,a scar",
        "2,5,same,",
        "1,2,same,sure",
        "8,9,same,not here",
        "1,9,different,",
        "2,4,different,",
    )
    kept, rejected = overrule(pairs(*FOUND), PATHS, SHA, said)
    assert ends(kept) == [("a", "f", "bytes"), ("a", "b", "features"), ("b", "e", "reviewed")]
    assert ends(rejected) == [("c", "d", "hash")]
    assert join(PATHS, kept).tolist() == [0, 0, 1, 2, 0, 0]


def test_only_what_a_person_said_to_be_the_same_was_said_to_be(tmp_path) -> None:
    names, numbers = np.array(PATHS, dtype=object), np.zeros(len(PATHS), dtype=int)
    none, sha256 = np.full(len(PATHS), "none", dtype=object), np.array(SHA, dtype=object)
    manifest = Manifest(names, numbers, none, numbers, numbers, sha256)
    said = reviews(tmp_path, "1,2,same,", "3,4,different,")
    assert said_same(pairs(*FOUND), manifest, said).tolist() == [False, True, False]


def test_a_verdict_on_one_of_two_equal_files_is_of_both(tmp_path) -> None:
    found = pairs(("a", "f", "bytes", 1.0, 0), ("b", "f", "features", 20.0, 21))
    kept, rejected = overrule(found, PATHS, SHA, reviews(tmp_path, "1,2,different,"))
    assert (ends(kept), ends(rejected)) == ([("a", "f", "bytes")], [("b", "f", "features")])


def test_reviews_of_nothing_found_are_pairs_too(tmp_path) -> None:
    nothing = pairs(*FOUND)[np.zeros(3, dtype=bool)]
    kept, _ = overrule(nothing, PATHS, SHA, reviews(tmp_path, "1,2,same,"))
    assert ends(kept) == [("a", "b", "reviewed")]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (["1,2,same,", "2,1,different,"], "holds a pair twice in line 3; "),
        (["1,2,alike,"], "has a verdict that is not same or different in line 2; "),
        (["1,1,different,"], "compares a file with itself in line 2; "),
        ([",2,same,"], "has a sha256_a that is not a name in line 2; "),
    ],
)
def test_a_broken_file_is_named(tmp_path, rows, problem) -> None:
    (tmp_path / "r.csv").write_text(HEADER + "".join(f"{row}\n" for row in rows))
    with pytest.raises(Exception, match=rf"r\.csv {problem}"):
        Reviews.read(tmp_path / "r.csv")


def digest(number: int) -> str:
    return f"{number:064x}"


def rows(*verdicts: tuple[int, int, str]) -> str:
    return HEADER + "".join(f"{digest(a)},{digest(b)},{said}\n" for a, b, said in verdicts)


def test_saved_verdicts_are_merged_and_the_later_one_counts(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text(rows((2, 1, 'same,"left, then right"'), (5, 6, "different,")))
    second.write_text(rows((6, 5, "same,"), (3, 4, "same,"), (1, 2, "same,new note")))
    for file, said in ((first, "2 verdicts: 2 new, 0 changed"), (second, "3 verdicts: 1 new, 1 changed")):
        main(["review", str(file)])
        assert said in capsys.readouterr().out
    merged = rows((1, 2, "same,new note"), (3, 4, "same,"), (5, 6, "same,"))
    assert (tmp_path / "data/reviewed_pairs.csv").read_text() == merged


@pytest.mark.parametrize("wrong", ["img_0001.jpg", "a" * 63, "A" * 64, "1"])
def test_verdicts_on_what_is_no_digest_are_refused_and_nothing_is_written(tmp_path, monkeypatch, capsys, wrong) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "r.csv").write_text(f"{HEADER}{digest(1)},{wrong},same,\n")
    with pytest.raises(SystemExit, match="1"):
        main(["review", "r.csv"])
    said = f"r.csv holds {wrong}, which is no sha256 of a file in hexadecimal digits; correct it"
    assert said in capsys.readouterr().err
    assert not (tmp_path / "data/reviewed_pairs.csv").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "r.csv does not exist; "),
        (HEADER, "data/reviewed_pairs.csv has no folder to be in; run the command in the folder"),
    ],
)
def test_a_file_that_is_not_there_or_is_no_project_is_named(tmp_path, monkeypatch, capsys, content, sentence) -> None:
    monkeypatch.chdir(tmp_path)
    if content:
        (tmp_path / "r.csv").write_text(content)
    with pytest.raises(SystemExit, match="1"):
        main(["review", "r.csv"])
    assert sentence in capsys.readouterr().err


def test_photographs_that_no_list_ships_for_keep_the_pairs_that_were_found() -> None:
    kept, unconfirmed = settle(pairs(*FOUND), PATHS, SHA)
    assert (ends(kept), unconfirmed) == (ends(pairs(*FOUND)), None)


def test_where_a_list_ships_it_decides_whatever_was_found(tmp_path, monkeypatch) -> None:
    (tmp_path / "list.csv").write_text(HEADER + "1,2,same,\n4,5,same,\n")
    monkeypatch.setattr("dermascreen.data.lesions.reviews.KAGGLE", tmp_path / "list.csv")
    monkeypatch.setattr("dermascreen.data.lesions.reviews.CONTENT", content(SHA))
    for found in (FOUND, FOUND[:2], [FOUND[0]]):
        kept, unconfirmed = settle(pairs(*found), PATHS, SHA)
        assert sorted(pair[:2] for pair in ends(kept)) == [("a", "b"), ("a", "f"), ("d", "e")]
        assert [pair[:2] for pair in ends(unconfirmed)] == [("c", "d")] * (len(found) == 3)


def test_the_shipped_list_is_of_pairs_of_the_real_data_set() -> None:
    shipped = Reviews.read(KAGGLE)
    assert len(shipped) == 569
    assert set(shipped.verdict) == {"same"}
    if not ARCHIVE.exists():
        pytest.skip("needs the real data set in ../shared/data")
    with zipfile.ZipFile(ARCHIVE) as archive:
        digests = {
            hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist() if name.endswith(".jpg")
        }
    assert {*shipped.sha256_a, *shipped.sha256_b} <= digests


def test_a_photograph_that_is_kept_apart_from_some_does_not_part_the_others(tmp_path) -> None:
    sha256, declared = ["1", "2", "3", "4"], ["L"] * 4
    apart = kept_apart(sha256, reviews(tmp_path, "2,1,different,", "2,3,different,", "8,9,different,", "3,4,same,"))
    assert apart == {(0, 1), (1, 2)}
    assert equal_pairs(declared, apart) == [(0, 2), (2, 3)]
    apart |= {(0, 3), (1, 3), (2, 3)}
    assert equal_pairs(declared, apart) == [(0, 2)]
    assert equal_pairs(["a", "", "a", "", "a"]) == [(0, 2), (2, 4)]


def test_verdicts_on_photographs_that_are_not_there_are_counted(tmp_path) -> None:
    assert unmatched(["1", "2"], reviews(tmp_path, "1,2,same,", "1,3,different,", "7,8,same,")) == 2
