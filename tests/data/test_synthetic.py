import io
from collections import Counter, defaultdict

import imagehash
import numpy as np
import pytest
from PIL import Image

from dermascreen.core.params import SyntheticParams
from dermascreen.data.sources.synthetic import Photograph, photographs


@pytest.fixture(scope="module")
def drawn() -> list[Photograph]:
    return list(photographs(SyntheticParams(images=240, size=128, seed=0)))


def pixels(photograph: Photograph) -> Image.Image:
    return Image.open(io.BytesIO(photograph.content))


def distances(drawn: list[Photograph], side: int) -> np.ndarray:
    """In how many of side * side bits the perceptual hashes of each pair differ."""
    hashes = np.array([imagehash.phash(pixels(photograph), hash_size=side).hash.ravel() for photograph in drawn])
    return (hashes[:, None] != hashes[None]).sum(axis=-1)


def test_folders_hold_both_classes_in_their_shares(drawn) -> None:
    counts = Counter(photograph.path.rsplit("/", 1)[0] for photograph in drawn)
    assert sum(counts.values()) == 240
    assert 0.4 < counts["train/malignant"] / (counts["train/malignant"] + counts["train/benign"]) < 0.5
    assert 0.4 < counts["test/malignant"] / (counts["test/malignant"] + counts["test/benign"]) < 0.5
    assert 0.17 < (counts["test/benign"] + counts["test/malignant"]) / 240 < 0.27
    expected = {f"{folder}/{number}.jpg" for folder, count in counts.items() for number in range(1, count + 1)}
    assert {photograph.path for photograph in drawn} == expected


def test_they_are_jpegs_of_the_size_asked_for(drawn) -> None:
    with pixels(drawn[0]) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (128, 128))


def test_the_seed_decides() -> None:
    small = SyntheticParams(images=20, size=32, seed=5)
    assert list(photographs(small)) == list(photographs(small))
    other = {photograph.content for photograph in photographs(small.model_copy(update={"seed": 6}))}
    assert not other & {photograph.content for photograph in photographs(small)}


def test_one_lesion_in_ten_has_two_photographs_and_some_are_in_train_and_test(drawn) -> None:
    by_lesion = defaultdict(list)
    for photograph in drawn:
        by_lesion[photograph.lesion].append(photograph)
    pairs = [members for members in by_lesion.values() if len(members) == 2]
    assert (len(by_lesion), len(pairs)) == (219, 21)
    assert sum(first.content == second.content for first, second in pairs) == 1
    assert all(first.path.split("/")[1] == second.path.split("/")[1] for first, second in pairs)
    assert sum(first.path.split("/")[0] != second.path.split("/")[0] for first, second in pairs) == 8


@pytest.mark.parametrize(("side", "most"), [(8, 6), (16, 44)])  # the usual hash, and that of the audit
def test_perceptual_hashes_join_lesions_saved_again_and_no_others(drawn, side: int, most: int) -> None:
    lesions = np.array([photograph.lesion for photograph in drawn])
    same = np.triu(lesions[:, None] == lesions, k=1)
    different = np.triu(lesions[:, None] != lesions, k=1)
    distance = distances(drawn, side)
    assert (distance[same] <= most).sum() == 11  # a copy and ten saved again; ten more are turned
    assert distance[same & (distance > most)].min() > 2 * most
    assert distance[different].min() > most


def test_the_classes_can_be_learnt_but_overlap(drawn) -> None:
    """The share of dark and colourful pixels alone ranks the classes, yet not without error."""
    score, malignant = [], []
    for photograph in drawn:
        image = np.asarray(pixels(photograph), dtype=float)
        score.append(image.mean(axis=2).std() + image.reshape(-1, 3).std(axis=0).mean())
        malignant.append("malignant" in photograph.path)
    score_of, label = np.array(score), np.array(malignant)
    auc = np.mean(score_of[label][:, None] > score_of[~label])
    assert 0.6 < auc < 0.95
