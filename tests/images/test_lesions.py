import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dermascreen.images.lesions import join, perceptual_hashes, same_lesion_pairs, summarise


def words(*bits: int) -> list[int]:
    """Four 64-bit words with as many bits set as asked."""
    return [(1 << count) - 1 for count in bits]


def test_pairs_are_those_within_the_distance() -> None:
    hashes = np.array([words(0, 0, 0, 0), words(3, 2, 0, 0), words(0, 0, 0, 6)], dtype=np.uint64)
    assert same_lesion_pairs(hashes, 4).tolist() == []
    assert same_lesion_pairs(hashes, 5).tolist() == [[0, 1]]
    assert same_lesion_pairs(hashes, 6).tolist() == [[0, 1], [0, 2]]
    assert same_lesion_pairs(hashes, 11).tolist() == [[0, 1], [0, 2], [1, 2]]


def test_pairs_are_found_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = np.random.default_rng(0).integers(0, 2**63, (50, 4), dtype=np.uint64)
    hashes[41] = hashes[3]
    hashes[49] = hashes[48]
    whole = same_lesion_pairs(hashes, 100).tolist()
    monkeypatch.setattr("dermascreen.images.lesions.CHUNK", 7)
    assert [3, 41] in whole
    assert sorted(same_lesion_pairs(hashes, 100).tolist()) == sorted(whole)
    assert same_lesion_pairs(hashes, 0).tolist() == [[3, 41], [48, 49]]


def test_no_images_have_no_pairs() -> None:
    assert same_lesion_pairs(np.empty((0, 4), dtype=np.uint64), 256).shape == (0, 2)


def test_join_is_transitive_and_numbers_by_first_appearance() -> None:
    assert join(6, np.array([[1, 4], [4, 5]])).tolist() == [0, 1, 2, 3, 1, 1]
    assert join(3, np.empty((0, 2), dtype=np.intp)).tolist() == [0, 1, 2]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_join_agrees_with_merging_sets(pairs: list[tuple[int, int]]) -> None:
    groups = [{image} for image in range(10)]
    for first, second in pairs:
        together = next(g for g in groups if first in g) | next(g for g in groups if second in g)
        groups = [g for g in groups if not g & together] + [together]
    found = join(10, np.array(pairs, dtype=np.intp).reshape(-1, 2))
    assert {frozenset(np.flatnonzero(found == lesion).tolist()) for lesion in set(found)} == set(map(frozenset, groups))


def test_a_photograph_saved_again_hashes_near_and_another_far(tmp_path) -> None:
    def photograph(seed: int) -> Image.Image:
        noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        return Image.fromarray(noise).resize((128, 128), Image.Resampling.BICUBIC)

    photograph(0).save(tmp_path / "a.jpg", quality=95)
    photograph(0).point(lambda value: min(255, value + 8)).save(tmp_path / "b.jpg", quality=60)
    photograph(1).save(tmp_path / "c.jpg", quality=95)
    hashes = perceptual_hashes(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    assert hashes.shape == (3, 4)
    assert same_lesion_pairs(hashes, 44).tolist() == [[0, 1]]


def test_summary_counts() -> None:
    manifest = pd.DataFrame(
        {
            "label": [0, 0, 1, 1, 0, 1],
            "source_split": ["train", "test", "test", "test", "train", "train"],
            "sha256": ["a", "a", "b", "c", "d", "e"],
        }
    )
    assert summarise(manifest, np.array([0, 0, 1, 1, 2, 2])) == {
        "images": 6,
        "exact_duplicates": 1,
        "lesions": 3,
        "lesions_with_several_images": 3,
        "test_images_with_train_twin": 1,
        "label_conflicts": 1,
    }
