import json
import urllib.error
from pathlib import Path

import pytest
import torch
from networks import at, from_weights
from safetensors.torch import save_file
from torchvision.models import resnet50

from dermascreen.core.errors import BadTableError, MissingInputError, WeightsError
from dermascreen.core.params import ModelParams
from dermascreen.network.model import build, load_model, save


def params(weights: str | Path = "none", hidden: int = 0) -> ModelParams:
    return from_weights(weights, hidden=hidden, dropout=0.3)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return resnet50().state_dict()


@pytest.mark.parametrize("hidden", [0, 7])
def test_one_logit_an_image_and_the_same_after_saving(tmp_path, hidden: int) -> None:
    torch.manual_seed(0)
    network = build(params(hidden=hidden), at(32)).eval()
    images = torch.rand(2, 3, 32, 32)
    save(network, tmp_path / "w.safetensors", tmp_path / "m.json")
    loaded = load_model(tmp_path / "w.safetensors", tmp_path / "m.json")
    with torch.no_grad():
        logits = network(images)
    assert logits.shape == (2,)
    assert torch.equal(loaded(images), logits)
    assert loaded.description == network.description
    assert not loaded.training
    assert json.loads((tmp_path / "m.json").read_text())["weights"] == "none"


def test_the_head_is_dropout_and_layers_as_asked() -> None:
    assert [type(layer).__name__ for layer in build(params(hidden=5), at(32)).head] == [
        "Dropout", "Linear", "ReLU", "Dropout", "Linear",
    ]  # fmt: skip
    head = build(params(), at(32)).head
    assert (head[1].in_features, head[1].out_features, head[0].p) == (2048, 1, 0.3)


@pytest.mark.parametrize("name", ["start.safetensors", "start.pth"])
def test_start_weights_from_a_file(tmp_path, state, name: str) -> None:
    path = tmp_path / name
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    network = build(params(path), at(32))
    assert torch.equal(network.backbone.layer4[2].conv3.weight, state["layer4.2.conv3.weight"])
    assert network.backbone.fc(torch.ones(1)) == 1


def test_imagenet_weights_are_taken_from_the_hub(monkeypatch, state) -> None:
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: state)
    network = build(params("IMAGENET1K_V2"), at(32))
    assert torch.equal(network.backbone.conv1.weight, state["conv1.weight"])


def test_imagenet_weights_that_cannot_be_fetched_name_the_ways_out(monkeypatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(WeightsError) as caught:
        build(params("IMAGENET1K_V2"), at(32))
    sentence = str(caught.value)
    assert sentence.startswith("model.weights: IMAGENET1K_V2 could not be fetched from http")
    assert "connect to the network" in sentence
    assert "put the file at" in sentence
    assert "set model.weights to the path of a state dict or to none" in sentence


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "is neither a file nor one of packaged, pretrained, IMAGENET1K_V2, IMAGENET1K_V1, none"),
        (b"not weights", "cannot be read as a state dict"),
        ({"conv1.weight": torch.zeros(1)}, "is not a state dict of torchvision's ResNet50"),
        ([1, 2], "is not a state dict, a mapping from names to tensors"),
    ],
)
def test_weights_that_do_not_fit_are_one_sentence(tmp_path, content: object, sentence: str) -> None:
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(WeightsError, match=sentence):
        build(params(path), at(32))


def test_a_saved_model_that_does_not_fit_is_one_sentence(tmp_path) -> None:
    weights, description = tmp_path / "w.safetensors", tmp_path / "m.json"
    save(build(params(), at(32)), weights, description)
    described = json.loads(description.read_text())
    description.write_text(json.dumps(described | {"hidden": 3}))
    with pytest.raises(BadTableError, match=r"w\.safetensors does not fit"):
        load_model(weights, description)
    description.write_text(json.dumps(described | {"colour": "red"}))
    with pytest.raises(BadTableError, match="holds 'colour', which this version of dermascreen does not know"):
        load_model(weights, description)
    description.write_text(json.dumps(described | {"architecture": "resnet18"}))
    with pytest.raises(BadTableError, match=r"w\.safetensors does not fit"):
        load_model(weights, description)
    description.write_text(json.dumps(described | {"architecture": "resnet0"}))
    with pytest.raises(BadTableError, match="cannot be built here: resnet0 is neither resnet50 nor one of timm's"):
        load_model(weights, description)
    description.write_text(json.dumps(described | {"architecture": None}))
    with pytest.raises(BadTableError, match="has a wrong value for architecture"):
        load_model(weights, description)
    description.write_text(json.dumps({name: value for name, value in described.items() if name != "architecture"}))
    with pytest.raises(BadTableError, match="lacks 'architecture'"):
        load_model(weights, description)
    description.write_text(json.dumps(described))
    weights.unlink()
    with pytest.raises(MissingInputError, match=r"w\.safetensors does not exist"):
        load_model(weights, description)
