import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dermascreen.artifacts.dataset.details import AuditDetails, PairCounts
from dermascreen.artifacts.dataset.lesions import Lesions, Pairs
from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.core.params import AuditParams
from dermascreen.data.lesions import pairs as pairs_module
from dermascreen.data.lesions.matching import Match
from dermascreen.data.lesions.pairs import (
    contradictions,
    equal_pairs,
    find_pairs,
    fingerprints,
    join,
    near,
    number_patients,
    summarise,
)

LABELLED = Path(__file__).with_name("labelled_pairs.csv")
PARAMS = AuditParams(max_distance=15, min_score=9.0)
BENIGN = np.zeros(100, dtype=int)
ARCHIVE = Path(__file__).parents[3] / "shared/data/skin-cancer-malignant-vs-benign.zip"


def table(pairs: list[tuple[int, int]], methods: list[str] | None = None) -> Pairs:
    ends = (np.array([str(pair[end]) for pair in pairs], dtype=object) for end in (0, 1))
    numbers = np.zeros(len(pairs))
    return Pairs(*ends, np.array(methods or ["bytes"] * len(pairs), dtype=object), numbers, numbers)


def test_equal_values_are_chained() -> None:
    assert equal_pairs(["a", "b", "a", "c", "b", "a"]) == [(0, 2), (1, 4), (2, 5)]
    assert equal_pairs(["a", "b"]) == []
    assert equal_pairs([]) == []


@given(st.integers(0, 15), st.integers(0, 2**32 - 1))
def test_the_index_of_hashes_misses_no_near_pair(distance: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    hashes = rng.random((12, 256)) < 0.5
    for copy in range(6, 12):  # at known distances from the first ones
        hashes[copy] = hashes[copy - 6]
        hashes[copy, rng.choice(256, rng.integers(0, 20), replace=False)] ^= True
    every = [(i, j, int((hashes[i] != hashes[j]).sum())) for i in range(12) for j in range(i + 1, 12)]
    assert near(hashes, distance) == [pair for pair in every if pair[2] <= distance]


def test_join_is_transitive_and_numbers_by_first_appearance() -> None:
    assert join(list("012345"), table([(1, 4), (4, 5)])).tolist() == [0, 1, 2, 3, 1, 1]
    assert join(list("012"), table([])).tolist() == [0, 1, 2]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_join_agrees_with_merging_sets(pairs: list[tuple[int, int]]) -> None:
    groups = [{image} for image in range(10)]
    for first, second in pairs:
        together = next(g for g in groups if first in g) | next(g for g in groups if second in g)
        groups = [g for g in groups if not g & together] + [together]
    found = join(list("0123456789"), table(pairs))
    assert {frozenset(np.flatnonzero(found == lesion).tolist()) for lesion in set(found)} == set(map(frozenset, groups))


def test_each_pair_is_found_by_the_surest_method(tmp_path) -> None:
    def photograph(seed: int) -> Image.Image:
        noise = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), dtype=np.uint8)
        return Image.fromarray(noise).resize((224, 224), Image.Resampling.BICUBIC)

    one = photograph(0)
    one.save(tmp_path / "a.png")
    one.save(tmp_path / "b.png")
    one.save(tmp_path / "c.png", compress_level=1)
    one.point(lambda value: min(255, value + 4)).save(tmp_path / "d.png")
    one.rotate(40, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128)).save(tmp_path / "e.png")
    photograph(1).save(tmp_path / "f.png")
    paths = [f"{name}.png" for name in "abcdef"]
    sha256 = ["1", "1", "2", "3", "4", "5"]
    pairs = find_pairs(tmp_path, paths, sha256, BENIGN[:6], PARAMS, declared=[""] * 6)
    method = {(a[0], b[0]): m for a, b, m in zip(pairs.path_a, pairs.path_b, pairs.method, strict=True)}
    assert method["a", "b"] == "bytes"
    assert method["b", "c"] == "pixels"
    assert method["a", "d"] == "hash"
    assert method["a", "e"] == "features"
    assert join(paths, pairs).tolist() == [0, 0, 0, 0, 0, 1]
    assert (pairs.inliers[pairs.method == "features"] > 9).all()


def test_features_need_a_higher_score_across_labels(tmp_path, monkeypatch) -> None:
    low, high = 13, 14  # 1.5 times 9 lies between
    found = [Match(*pair, False, score, 1.0, 1.0) for pair, score in (((0, 1), low), ((0, 2), low), ((0, 3), high))]
    monkeypatch.setattr(pairs_module, "find_matches", lambda *_: found)
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 255, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    paths = [f"{number}.png" for number in range(4)]
    pairs = find_pairs(tmp_path, paths, paths, np.array([0, 0, 1, 1]), PARAMS, declared=[""] * 4)
    assert sorted(zip(pairs.path_a, pairs.path_b, strict=True)) == [("0.png", "1.png"), ("0.png", "3.png")]


def test_fingerprints_tell_pixels_and_shape_apart(tmp_path) -> None:
    Image.new("RGB", (8, 4)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 8)).save(tmp_path / "b.png")
    Image.new("RGB", (8, 4)).save(tmp_path / "c.png", compress_level=0)
    digests, hashes = fingerprints(tmp_path, ["a.png", "b.png", "c.png"])
    assert digests[0] == digests[2] != digests[1]
    assert hashes.shape == (3, 256)


@pytest.mark.skipif(not ARCHIVE.exists(), reason="needs the real data set in ../shared/data")
@pytest.mark.slow
def test_precision_and_recall_on_pairs_labelled_by_eye(tmp_path) -> None:
    labelled = pd.read_csv(LABELLED)
    paths = sorted({*labelled["path_a"], *labelled["path_b"]})
    with zipfile.ZipFile(ARCHIVE) as archive:
        places = {"/".join(name.split("/")[-3:]): name for name in archive.namelist() if name.endswith(".jpg")}
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(archive.read(places[path]))
    sha256 = [str(i) for i in range(len(paths))]
    labels = np.array([int("malignant" in path) for path in paths])
    pairs = find_pairs(tmp_path, paths, sha256, labels, PARAMS, declared=[""] * len(paths))
    lesion = dict(zip(paths, join(paths, pairs), strict=True))
    joined = labelled["path_a"].map(lesion).eq(labelled["path_b"].map(lesion))
    same = labelled["same"].eq(1)
    assert (joined & same).sum() / same.sum() > 0.95
    assert (joined & same).sum() / joined.sum() > 0.95


def test_summary_counts() -> None:
    paths, side = np.array(list("1234567"), dtype=object), np.full(7, 32)
    sources = np.array(["train", "test", "test", "test", "train", "train", "val"], dtype=object)
    manifest = Manifest(
        paths, np.array([0, 0, 1, 1, 0, 1, 0]), sources, side, side, np.array(list("aabcdef"), dtype=object)
    )
    methods, ends = np.array(["bytes", "features", "features"], dtype=object), paths[:3]
    pairs = Pairs(ends, ends, methods, np.ones(3), np.zeros(3, dtype=int))
    lesion = np.array([0, 0, 1, 1, 2, 2, 0])
    metadata = Metadata.of(paths)
    assert summarise(manifest, Lesions(paths, lesion, lesion), metadata, pairs, pairs[:0]) == AuditDetails(
        images=7,
        exact_duplicates=1,
        lesions=3,
        lesions_with_several_images=3,
        test_near_duplicates_of_train=1,
        label_conflicts=1,
        pairs=PairCounts(bytes=1, pixels=0, hash=0, features=2),
    )


def test_lesions_and_patients_that_a_table_names_join_what_the_images_show(tmp_path) -> None:
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 255, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((224, 224), Image.Resampling.BICUBIC).save(tmp_path / f"{number}.png")
    paths = [f"{number}.png" for number in range(6)]
    declared = ["L", "", "M", "L", "", "M2"]
    sha256 = ["1", "2", "3", "4", "5", "3"]
    pairs = find_pairs(tmp_path, paths, sha256, BENIGN[:6], PARAMS, declared=declared)
    assert sorted(zip(pairs.path_a, pairs.path_b, pairs.method, strict=True)) == [
        ("0.png", "3.png", "declared"), ("2.png", "5.png", "bytes"),
    ]  # fmt: skip
    lesion = join(paths, pairs)
    assert lesion.tolist() == [0, 1, 2, 0, 3, 2]
    patient = number_patients(lesion, ["a", "a", "", "b", "", ""])
    assert patient.tolist() == [0, 0, 1, 0, 2, 1], "a lesion of two patients makes them one"

    known = pd.DataFrame({"lesion": declared, "patient": ["a", "a", "", "b", "", ""]}, index=pd.Index(paths))
    metadata = Metadata.of(paths, known)
    lesions = Lesions(np.array(paths, dtype=object), lesion, patient)
    against = contradictions(lesions, metadata, pairs).set_index(pd.Index(pairs.method))
    assert against.loc["bytes"].tolist() == ["M", "M2", True, False]
    assert against.loc["declared"].tolist() == ["L", "L", False, True]
    nothing = np.zeros(6, dtype=int)
    table = Manifest(
        lesions.path, nothing, np.full(6, "none", dtype=object), nothing, nothing, np.array(sha256, dtype=object)
    )
    found = summarise(table, lesions, metadata, pairs, pairs[:0])
    assert (found.patients, found.patient_conflicts, found.pairs_kept_apart, found.pairs.declared) == (3, 1, 1, 1)
    assert found.of_unknown_patients == 3, "two photographs of one lesion, and one of another"
    once = Metadata.of(paths, known.assign(patient=["a", "a", "", "", "", ""]))
    assert summarise(table, lesions, once, pairs, pairs[:0]).of_unknown_patients == 3, "one photograph tells a lesion's"
    nobody = Metadata.of(paths, known.assign(patient=""))
    found = summarise(table, lesions, nobody, pairs, pairs[:0])
    assert (found.patients, found.of_unknown_patients) == (None, 0)


def test_without_a_table_patients_are_lesions() -> None:
    lesion = np.array([0, 1, 0, 2])
    assert number_patients(lesion, [""] * 4).tolist() == lesion.tolist()
