import pytest
import torch
from networks import at, untrained
from torch import nn
from torchvision.models import resnet50

from dermascreen.core.errors import ArchitectureError, LayerError, VariantError
from dermascreen.core.params import ExplainParams
from dermascreen.network.backbones import (
    Backbone,
    _grouped,
    check_input,
    check_sizes,
    fetch_published,
    make_backbone,
    published,
    uses_depthwise_convolutions,
)
from dermascreen.network.layers import layer_for_maps, require_maps
from dermascreen.network.model import Network, build

FEATURES = {
    "resnet50": 2048, "tf_efficientnet_lite0": 1280, "convnext_atto": 320, "mobilenetv3_small_050": 1024,
    "resnet18": 512,
}  # fmt: skip
DEPTHWISE = {"tf_efficientnet_lite0", "convnext_atto", "mobilenetv3_small_050"}
SIZE = 64


@pytest.fixture(scope="module", params=FEATURES)
def network(request) -> Network:
    torch.manual_seed(0)
    return build(untrained(request.param), at(SIZE))


def images(count: int, size: int = SIZE) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_layers_hold_every_parameter_and_every_buffer_once(network) -> None:
    layers, module = network.layers(), network.about.module
    assert layers[0].name == "stem"
    assert len({layer.name for layer in layers}) == len(layers) >= 5
    for held, whole in (
        ([tensor for layer in layers for tensor in layer.parameters()], [*module.parameters()]),
        ([tensor for layer in layers for tensor in layer.buffers()], [*module.buffers()]),
    ):
        assert sorted(map(id, held)) == sorted(map(id, whole))


def test_layers_are_in_the_order_of_the_forward_pass(network) -> None:
    place = {id(module): depth for depth, layer in enumerate(network.layers()) for module in layer.modules}
    seen: list[int] = []
    hooks = [
        module.register_forward_hook(lambda module, *_: seen.append(place[id(module)]))
        for module in network.about.module.modules()
        if id(module) in place and not [*module.children()]
    ]
    with torch.no_grad():
        network.eval()(images(1))
    for hook in hooks:
        hook.remove()
    assert seen == sorted(seen)
    assert {*seen} == {*range(len(network.layers()))}


def test_the_features_are_as_many_as_it_says(network) -> None:
    with torch.no_grad():
        features = network.eval().backbone(images(2))
    assert features.shape == (2, network.features) == (2, FEATURES[network.description.architecture])


def test_a_frozen_layer_keeps_its_weights_and_running_statistics_and_the_others_learn(network) -> None:
    layers = network.layers()
    network.train()
    for depth, layer in enumerate(layers):
        layer.learn(depth >= 2)
    before = [[[tensor.clone() for tensor in held()] for held in (layer.parameters, layer.buffers)] for layer in layers]
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    network(images(4)).square().sum().backward()
    optimiser.step()
    for depth, (layer, (weights, statistics)) in enumerate(zip(layers, before, strict=True)):
        same_weights = [torch.equal(one, other) for one, other in zip(layer.parameters(), weights, strict=True)]
        same_statistics = [torch.equal(one, other) for one, other in zip(layer.buffers(), statistics, strict=True)]
        if depth < 2:
            assert all(same_weights + same_statistics)
            assert all(parameter.grad is None for parameter in layer.parameters())
        else:  # not every weight: a residual branch may begin at zero
            assert not all(same_weights)
            assert not any(same_statistics)
            assert all(parameter.grad is not None for parameter in layer.parameters())
    for layer in layers:
        layer.learn(learning=True)
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(module.training for layer in layers for module in layer.modules)


def test_maps_can_be_made_at_its_own_layer_and_at_no_layer_that_is_not_there(network) -> None:
    layer = layer_for_maps(network, "auto")
    outputs = []
    hook = network.get_submodule(layer).register_forward_hook(lambda _, __, output: outputs.append(output))
    with torch.no_grad():
        network.eval()(images(2))
    hook.remove()
    assert outputs[0].ndim == 4
    assert outputs[0].shape[2:] == (2, 2)  # a 32nd of the image
    require_maps(network.train(), maps())
    assert network.training
    assert layer_for_maps(network, "backbone.layer2") == "backbone.layer2"
    with pytest.raises(
        LayerError, match=r"^explain\.layer: backbone\.nothing is not a layer of the network whose output"
    ):
        require_maps(network, maps(layer="backbone.nothing"))


def test_depthwise_convolutions_are_noticed(network) -> None:
    assert uses_depthwise_convolutions(network) == (network.description.architecture in DEPTHWISE)
    assert not uses_depthwise_convolutions(nn.Conv2d(1, 4, 3))  # of one channel, which is no group


def test_images_are_normalised_as_those_of_its_published_weights() -> None:
    lite, small = (make_backbone(name) for name in ("tf_efficientnet_lite0", "convnext_atto"))
    assert (lite.mean, lite.std) == ((0.5,) * 3, (0.5,) * 3)
    assert (small.mean, small.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    description = build(untrained("tf_efficientnet_lite0"), at(SIZE)).description
    assert (description.mean, description.std, description.image_size) == (lite.mean, lite.std, SIZE)


@pytest.mark.parametrize("zero_init", [False, True])
def test_resnet50_is_torchvisions_bit_for_bit(zero_init: bool) -> None:
    torch.manual_seed(3)
    ours = make_backbone("resnet50", zero_init=zero_init)
    torch.manual_seed(3)
    theirs = resnet50(zero_init_residual=zero_init)
    state = theirs.state_dict()
    assert [*ours.module.state_dict()] == [name for name in state if not name.startswith("fc.")]
    assert all(torch.equal(tensor, state[name]) for name, tensor in ours.module.state_dict().items())
    theirs.fc = nn.Identity()
    with torch.no_grad():
        assert torch.equal(ours.module.eval()(images(2)), theirs.eval()(images(2)))


def test_residual_branches_start_at_zero_only_where_training_starts_from_random_weights() -> None:
    assert not build(untrained(), at(32)).backbone.layer1[0].bn3.weight.any()
    assert make_backbone("resnet50").module.layer1[0].bn3.weight.all()


@pytest.mark.parametrize("size", [64, 224])
def test_a_network_without_maps_is_refused_at_any_size(size: int) -> None:
    with pytest.raises(ArchitectureError) as refused:
        build(untrained("vit_tiny_patch16_224"), at(size))
    sentence = str(refused.value)
    assert sentence == (
        "model.architecture: vit_tiny_patch16_224 has no layer whose output is N x C x h x w, and maps of what the "
        "network looked at are made from one, as in resnet50, tf_efficientnet_lite0 or convnext_tiny."
    )


@pytest.mark.parametrize(
    ("name", "similar"),
    [
        ("resnet51", "resnet51q, resnet50, resnet18"),
        ("convnext_ato", "convnext_atto, "),
        ("no network at all", "tf_efficientnet_lite0."),
    ],
)
def test_an_unknown_name_is_one_sentence_with_similar_ones(name: str, similar: str) -> None:
    with pytest.raises(ArchitectureError) as refused:
        make_backbone(name)
    sentence = str(refused.value)
    assert sentence.startswith(f"model.architecture: {name} is neither resnet50 nor one of timm's ")
    assert f" image models, such as {similar}" in sentence
    assert sentence.count(".") == 2  # of the parameter, and at the end


def test_images_that_are_too_small_are_one_sentence_and_the_network_stays_as_it_was() -> None:
    backbone = make_backbone("convnext_atto")
    with pytest.raises(ArchitectureError) as refused:
        check_input(backbone, "convnext_atto", 8)
    sentence = str(refused.value)
    assert sentence.startswith("model.architecture: convnext_atto does not take images of 8 x 8 pixels (")
    assert "\n" not in sentence
    assert sentence.endswith("), but of 224.")
    assert backbone.module.training
    assert not any(module._forward_hooks for module in backbone.module.modules())
    check_input(backbone, "convnext_atto", 32)
    check_sizes(backbone, "convnext_atto", [])
    check_sizes(backbone, "convnext_atto", [32, 64])
    with pytest.raises(
        ArchitectureError,
        match=r"convnext_atto does not take images of 8 x 8 pixels \(.*\), which train\.image_sizes has",
    ):
        check_sizes(backbone, "convnext_atto", [32, 8])
    assert backbone.module.training


def test_a_layer_that_gives_no_square_of_cells_is_refused() -> None:
    class Flat(nn.Module):
        """Channels last, as Swin has them: N x h x w x C."""

        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Conv2d(3, 5, 1)
            self.turned = nn.Identity()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.turned(self.last(images).permute(0, 2, 3, 1)).mean((1, 2))

    def about(layer: str) -> Backbone:
        return Backbone(Flat(), 5, (), layer, (0.5,) * 3, (0.5,) * 3, 8)

    check_input(about("last"), "flat", 8)
    with pytest.raises(ArchitectureError, match="flat has no layer whose output is N x C x h x w"):
        check_input(about("turned"), "flat", 8)


def test_what_timm_would_fetch_is_known_without_fetching() -> None:
    about = published("convnext_atto")
    assert (about["tag"], about["license"]) == ("d2_in1k", "apache-2.0")
    assert published("no_such_network") == {}


def test_weights_are_fetched_without_the_classifier(monkeypatch) -> None:
    asked = {}

    def create_model(name: str, **options: object) -> nn.Module:
        asked.update(name=name, **options)
        return nn.Linear(1, 1)

    monkeypatch.setattr("timm.create_model", create_model)
    assert [*fetch_published("convnext_atto")] == ["weight", "bias"]
    assert asked == {"name": "convnext_atto", "pretrained": True, "num_classes": 0}


def test_what_timm_groups_in_no_layer_or_in_several_is_in_one() -> None:
    class Tied(nn.Module):
        """A module under two names, a parameter of the whole network, and buffers that are saved and that are not."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
            self.third = nn.Sequential(self.first, nn.BatchNorm1d(2))
            self.last = nn.Parameter(torch.ones(1))
            self.plain = nn.BatchNorm1d(2, affine=False)
            self.filter = nn.Identity()
            self.filter.register_buffer("fixed", torch.ones(1), persistent=False)

    module = Tied()
    stem, last = _grouped(module, [["first"], ["second", "third.0", "third.1"]])
    assert (stem.name, last.name) == ("stem", "second")
    assert stem.modules == (module.first,)
    assert last.modules == (module.second, module.third[1], module, module.plain)


def maps(layer: str = "auto", variant: str = "grad_cam") -> ExplainParams:
    return ExplainParams(images=1, layer=layer, variant=variant, checked=1)


def test_guided_grad_cam_without_relus_is_refused_before_training() -> None:
    network = build(untrained("tf_efficientnet_lite0"), at(32))  # its activations are ReLU6
    with pytest.raises(VariantError, match="guided_grad_cam acts on the ReLUs of a network, and this one has none"):
        require_maps(network, maps(variant="guided_grad_cam"))
    require_maps(build(untrained("resnet50"), at(32)), maps(variant="guided_grad_cam"))


def test_convolutions_of_three_dimensions_are_refused() -> None:
    with pytest.raises(ArchitectureError, match=r"lambda_resnet26t has convolutions of more than two dimensions"):
        build(untrained("lambda_resnet26t"), at(64))
