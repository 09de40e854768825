import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import at, untrained
from torch import nn

from dermascreen.artifacts.model.description import Description
from dermascreen.network.model import Network, build
from dermascreen.network.pixels import IMAGENET_MEAN, IMAGENET_STD
from dermascreen.prediction.forward import embed, forward, predict_logits, prepare, symmetries


def test_symmetries_are_the_eight_of_the_square() -> None:
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    views = [view.numpy()[0, 0] for view in symmetries(image)]
    expected = [np.rot90(side, k) for k in range(4) for side in (image.numpy()[0, 0], image.numpy()[0, 0].T)]
    assert {view.tobytes() for view in views} == {np.ascontiguousarray(view).tobytes() for view in expected}
    assert len({view.tobytes() for view in views}) == 8
    assert np.array_equal(views[0], image.numpy()[0, 0])


@pytest.mark.parametrize("turns", range(4))
def test_the_views_of_a_turned_image_are_the_same_views(turns) -> None:
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    plain, turned = ({view.numpy().tobytes() for view in symmetries(i)} for i in (image, image.rot90(turns, (2, 3))))
    assert plain == turned


class Corner(nn.Module):
    """A network that looks at the upper left pixel alone, through something that is not linear."""

    description = Description(
        architecture="resnet50", weights="none", hidden=0, dropout=0.0, image_size=4,
        mean=IMAGENET_MEAN, std=IMAGENET_STD, classes=("benign", "malignant"),
    )  # fmt: skip

    def backbone(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :, 0, 0]

    def decide(self, features: torch.Tensor) -> torch.Tensor:
        return features.square().sum(dim=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.decide(self.backbone(images))


def test_augmented_logits_are_the_mean_over_the_eight_views_taken_one_by_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    rows = np.array([3, 0, 4])

    def logit(image: np.ndarray) -> float:
        normal = (image / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
        return float((normal[0, 0] ** 2).sum())

    views = [
        [np.rot90(side, turns) for turns in range(4) for side in (pixels[row], pixels[row][:, ::-1])] for row in rows
    ]
    expected = [np.mean([logit(view) for view in eight]) for eight in views]
    found = predict_logits(Corner(), pixels, rows, tta=True)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    plain = predict_logits(Corner(), pixels, rows)  # type: ignore[arg-type]
    np.testing.assert_allclose(plain, [logit(pixels[row]) for row in rows], rtol=1e-5)
    assert not np.allclose(plain, found)


def test_no_image_has_no_logit() -> None:
    pixels = np.zeros((1, 4, 4, 3), dtype=np.uint8)
    assert predict_logits(Corner(), pixels, np.array([], dtype=int)).shape == (0,)  # type: ignore[arg-type]


def test_embeddings_are_those_of_the_image_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    expected = (pixels[[3, 1], 0, 0] / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    found = embed(Corner(), pixels, np.array([3, 1]), batch_size=1)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(forward(Corner(), pixels[[3, 1]], tta=True).embeddings, found)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return prepare(build(untrained(dropout=0.1), at(32)))


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(company=st.lists(st.integers(0, 15), min_size=1, max_size=9))
@pytest.mark.parametrize("tta", [False, True])
def test_a_logit_is_the_same_to_the_last_bit_in_any_company(network, tta, company) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    alone = [forward(network, pixels[[row]], tta) for row in range(16)]
    among = forward(network, pixels[company], tta)
    assert among.logits.tobytes() == np.concatenate([alone[row].logits for row in company]).tobytes()
    assert among.embeddings.tobytes() == np.concatenate([alone[row].embeddings for row in company]).tobytes()
    assert predict_logits(network, pixels, np.array(company), tta).tobytes() == among.logits.tobytes()
