from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import at, untrained
from torch import nn

from dermascreen.artifacts.model.description import Description
from dermascreen.core import threads
from dermascreen.core.errors import BadTableError, MissingInputError
from dermascreen.network.export import as_onnx, export, noise
from dermascreen.network.model import build
from dermascreen.network.pixels import IMAGENET_MEAN, IMAGENET_STD
from dermascreen.prediction.forward import ForwardPass, embed, forward, predict_logits, sigmoid, symmetries

IMAGE = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)


def test_symmetries_are_the_eight_of_the_square() -> None:
    views = [view.tobytes() for view in symmetries(IMAGE)]
    expected = {np.rot90(side, turns).tobytes() for turns in range(4) for side in (IMAGE, IMAGE.swapaxes(0, 1))}
    assert len(set(views)) == 8
    assert set(views) == expected
    assert views[0] == IMAGE.tobytes()


@pytest.mark.parametrize("turns", range(4))
def test_the_views_of_a_turned_image_are_the_same_views(turns) -> None:
    plain, turned = ({view.tobytes() for view in symmetries(one)} for one in (IMAGE, np.rot90(IMAGE, turns)))
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


@pytest.fixture(scope="module")
def corner_file(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("corner") / "network.onnx"
    export(Corner(), file)  # type: ignore[arg-type]
    return file


@pytest.fixture
def corner(corner_file) -> ForwardPass:
    return ForwardPass(corner_file)


def test_augmented_logits_are_the_mean_over_the_eight_views_taken_one_by_one(corner) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    rows = np.array([3, 0, 4])

    def logit(image: np.ndarray) -> float:
        normal = (image / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
        return float((normal[0, 0] ** 2).sum())

    views = [
        [np.rot90(side, turns) for turns in range(4) for side in (pixels[row], pixels[row][:, ::-1])] for row in rows
    ]
    expected = [np.mean([logit(view) for view in eight]) for eight in views]
    found = predict_logits(corner, pixels, rows, tta=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    plain = predict_logits(corner, pixels, rows)
    np.testing.assert_allclose(plain, [logit(pixels[row]) for row in rows], rtol=1e-5)
    assert not np.allclose(plain, found)


def test_no_image_has_no_logit(corner) -> None:
    pixels = np.zeros((1, 4, 4, 3), dtype=np.uint8)
    none = np.array([], dtype=int)
    assert predict_logits(corner, pixels, none).shape == (0,)
    assert embed(corner, pixels, none).shape == (0, 3)
    assert [part.shape for part in forward(corner, pixels[:0])] == [(0,), (0, 3)]


def test_embeddings_are_those_of_the_image_as_it_is(corner) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    expected = (pixels[[3, 1], 0, 0] / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    found = embed(corner, pixels, np.array([3, 1]))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(forward(corner, pixels[[3, 1]], tta=True).embeddings, found)


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> ForwardPass:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("network") / "network.onnx"
    export(build(untrained(dropout=0.1), at(32)), file)
    return ForwardPass(file)


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


def test_a_logit_does_not_depend_on_the_number_of_cores(network, monkeypatch) -> None:
    pixels, found = np.random.default_rng(1).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8), set()
    assert network._session.get_session_options().intra_op_num_threads == 1
    for count in (1, 2, 5):
        monkeypatch.setattr(threads, "cores", lambda count=count: count)
        found.add(predict_logits(network, pixels, np.arange(6)).tobytes())
    assert len(found) == 1


def test_what_cannot_be_run_is_one_sentence(tmp_path) -> None:
    file = tmp_path / "network.onnx"
    with pytest.raises(MissingInputError, match=r"network\.onnx does not exist"):
        ForwardPass(file)
    for content in (b"", b"{}", b"\x08\x0a\x12"):
        file.write_bytes(content)
        with pytest.raises(BadTableError, match=r"network\.onnx (does not hold a network that can|is not a netw)"):
            ForwardPass(file)


def test_a_damaged_file_runs_or_is_one_sentence_and_nothing_is_printed(tmp_path, corner_file, capfd) -> None:
    whole, random, refused = corner_file.read_bytes(), np.random.default_rng(0), 0
    for place in random.integers(0, len(whole), 200):
        damaged = bytearray(whole)
        damaged[place] ^= int(random.integers(1, 256))
        (tmp_path / "network.onnx").write_bytes(damaged)
        try:
            ForwardPass(tmp_path / "network.onnx")
        except BadTableError:
            refused += 1
    assert refused > 50
    assert capfd.readouterr() == ("", "")


def test_another_network_is_refused(tmp_path) -> None:
    file = tmp_path / "network.onnx"
    file.write_bytes(as_onnx(Mean().eval(), noise(4, 1), ["logit"]))
    with pytest.raises(BadTableError, match=r"network\.onnx is not a network from pixels to logit and embedding"):
        ForwardPass(file)


def test_sigmoid_is_exact_at_zero_and_keeps_the_order_of_large_logits() -> None:
    found = sigmoid(np.array([-800, -2, 0, 2, 20, 30], dtype=np.float32))
    assert found[2] == 0.5
    assert found[1] + found[3] == pytest.approx(1, abs=1e-15)
    assert found[3] == pytest.approx(1 / (1 + np.exp(-2)))
    assert found[0] == 0
    assert found[4] < found[5] < 1


class Mean(nn.Module):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.float().mean((1, 2, 3))
