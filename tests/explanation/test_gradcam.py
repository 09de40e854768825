"""Maps against values worked out by hand, and against the formula written out with autograd."""

import types
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import at, untrained
from torch import nn
from torchvision.models import resnet18

from dermascreen.artifacts.results.details.explanation import Checks, ExplainDetails, OutcomeCounts
from dermascreen.core.errors import LayerError, VariantError
from dermascreen.core.params import read_params
from dermascreen.evidence.frame import frame_mask
from dermascreen.explanation.gradcam import (
    VARIANTS,
    GradCam,
    explain,
    finish,
    kind_of,
    make_cam,
    summarise,
)
from dermascreen.explanation.maps import MapKind, frame_energy
from dermascreen.network.layers import find_layer
from dermascreen.network.model import build

KIND = MapKind("backbone.layer2")
NO_CHECKS = Checks(images=0, flat=0, passed=0, failed=(), checks={})


class Tiny(nn.Module):
    """Two feature maps, the red and the green channel; the logit is the sum of 3 * red - 1 * green over all pixels."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 2, kernel_size=1, bias=False)
        self.features.weight.data = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).reshape(2, 3, 1, 1)
        self.head = nn.Linear(2, 1, bias=False)
        self.head.weight.data = torch.tensor([[3.0, -1.0]])
        self.description = types.SimpleNamespace(mean=(0, 0, 0), std=(1, 1, 1))
        self.requires_grad_(requires_grad=False)

    def forward(self, images):
        return self.head(self.features(images).sum((2, 3))).squeeze(1)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = resnet18(num_classes=1)
        self.description = types.SimpleNamespace(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))

    def forward(self, images):
        return self.backbone(images).squeeze(1)


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return Small().eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


def hooks(network):
    return [name for name, module in network.named_modules() if module._forward_hooks or module._forward_pre_hooks]


RED = [[1.0, 2.0], [0.0, 0.0]]
GREEN = [[1.0, 9.0], [2.0, 0.0]]
IMAGE = torch.tensor([[RED, GREEN, [[5.0, 5.0], [5.0, 5.0]]]])


def test_the_map_is_the_closed_form() -> None:
    # alpha is (3, -1), so 3 * red - green is [[2, -3], [-2, 0]] before the ReLU
    network = Tiny()
    maps = GradCam(network, network.features)(IMAGE, torch.ones(1))
    assert maps.tolist() == [[[2.0, 0.0], [0.0, 0.0]]]


def test_the_map_of_benign_is_that_of_the_negated_logit() -> None:
    network = Tiny()
    maps = GradCam(network, network.features)(torch.cat([IMAGE, IMAGE]), torch.tensor([-1.0, 1.0]))
    assert maps.tolist() == [[[0.0, 3.0], [2.0, 0.0]], [[2.0, 0.0], [0.0, 0.0]]]


def test_the_logit_is_explained_and_not_its_sigmoid() -> None:
    network = Tiny()
    sure = GradCam(network, network.features)(100 * IMAGE * torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1), torch.ones(1))
    assert sure.tolist() == [[[300.0, 600.0], [0.0, 0.0]]]


def test_hires_cam_multiplies_before_it_averages() -> None:
    class Weighted(Tiny):
        """The red of the upper row alone counts, so its mean gradient is half of that there."""

        def forward(self, images):
            return self.features(images)[:, 0, 0].sum(1)

    image = torch.ones(1, 3, 2, 2)
    network = Weighted()
    assert GradCam(network, network.features)(image, torch.ones(1)).tolist() == [[[0.5, 0.5], [0.5, 0.5]]]
    assert GradCam(network, network.features, "hires_cam")(image, torch.ones(1)).tolist() == [[[1.0, 1.0], [0.0, 0.0]]]


def test_before_a_mean_and_a_linear_layer_hires_cam_is_grad_cam_but_for_a_factor(small, pixels) -> None:
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    signs = torch.tensor([1.0, -1, 1, -1, 1])
    plain, hires = (GradCam(small, small.backbone.layer4, name)(images, signs) for name in ("grad_cam", "hires_cam"))
    assert plain.max() > 0
    torch.testing.assert_close(hires, plain)  # Captum's mean gradient is the gradient itself: 1/4 of the weight


def test_guided_grad_cam_is_grad_cam_times_what_guided_backpropagation_lets_through() -> None:
    class Gated(Tiny):
        """Red counts 3 and green -1, each through a ReLU that guided backpropagation lets no loss through."""

        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, images):
            return self.head(self.relu(self.features(images)).sum((2, 3))).squeeze(1)

    network = Gated()
    maps = GradCam(network, network.features, "guided_grad_cam")(IMAGE, torch.ones(1))
    # alpha is (3 * 2 / 4, -1 * 3 / 4), so Grad-CAM is relu(1.5 * red - 0.75 * green) = [[0.75, 0], [0, 0]]; guided
    # backpropagation gives red 3 where it is above 0, and green nothing.
    assert maps.tolist() == [[[2.25, 0.0], [0.0, 0.0]]]
    assert hooks(network) == []


def test_guided_grad_cam_of_a_network_without_relus_is_one_sentence() -> None:
    network = Tiny()
    with pytest.raises(VariantError) as refused:
        make_cam(network, MapKind("features", "guided_grad_cam"), IMAGE)
    assert str(refused.value) == (
        "explain.variant: guided_grad_cam acts on the ReLUs of a network, and this one has none; use grad_cam or "
        "hires_cam."
    )
    network.capped = nn.ReLU6()  # which guided backpropagation does not act on
    with pytest.raises(VariantError):
        make_cam(network, MapKind("features", "guided_grad_cam"), IMAGE)
    for variant in ("grad_cam", "hires_cam"):
        assert make_cam(network, MapKind("features", variant), IMAGE)(IMAGE, torch.ones(1)).shape == (1, 2, 2)


def test_auto_is_the_networks_own_layer_and_any_other_is_taken_as_it_is() -> None:
    network = build(untrained("convnext_atto"), at(32))
    params = read_params(Path(__file__).parents[2] / "params.yaml").explain
    assert kind_of(params, network) == MapKind("backbone.stages.3", "grad_cam")
    other = params.model_copy(update={"layer": "backbone.stages.2", "variant": "hires_cam"})
    assert kind_of(other, network) == MapKind("backbone.stages.2", "hires_cam")


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_maps_a_resnet_and_leaves_it_as_it_was(small, pixels, variant) -> None:
    signs = np.ones(2)
    kind = MapKind("backbone.layer3", variant)
    maps = list(explain(small, kind, pixels, np.arange(2), signs, batch_size=2))
    assert [(values.shape, values.max()) for values, _ in maps] == [((64, 64), 1.0)] * 2
    assert hooks(small) == []
    again = explain(small, kind, pixels, np.arange(2), signs, batch_size=1)
    for (values, _), (other, _) in zip(maps, again, strict=True):
        np.testing.assert_allclose(values, other, atol=1e-3)


def test_gradients_are_taken_without_the_callers_and_no_hook_stays() -> None:
    network = Tiny()
    with torch.no_grad():
        maps = GradCam(network, network.features)(IMAGE, torch.ones(1))
    assert maps.sum() == 2
    assert not maps.requires_grad
    assert hooks(network) == []
    assert network.features.weight.grad is None


def test_no_hook_stays_after_a_failure() -> None:
    network = Tiny()
    with pytest.raises(RuntimeError):
        find_layer(network, "features", torch.zeros(1, 4, 2, 2))
    with pytest.raises(RuntimeError):
        GradCam(network, network.features)(torch.zeros(1, 4, 2, 2), torch.ones(1))
    assert hooks(network) == []


@pytest.mark.parametrize("layer", ["backbone.layer4", "backbone.layer2.0.conv1", "backbone.relu"])
def test_maps_equal_the_formula_on_a_resnet(small, pixels, layer) -> None:
    images = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
    signs = torch.tensor([1.0, -1, -1, 1, 1])
    kept = []

    def keep(_module, _inputs, output):
        kept.append(output.clone().requires_grad_())
        return kept[-1].clone()

    handle = small.get_submodule(layer).register_forward_hook(keep)
    logits = small(images)
    handle.remove()
    (gradient,) = torch.autograd.grad((signs * logits).sum(), kept[0])
    alpha = gradient.numpy().mean((2, 3), keepdims=True)
    expected = np.maximum((alpha * kept[0].detach().numpy()).sum(1), 0)

    maps = GradCam(small, small.get_submodule(layer))(images, signs).numpy()
    assert maps.shape == expected.shape
    assert expected.max() > 0
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5 * expected.max())


def test_explain_gives_finished_maps_of_the_rows_asked_for(small, pixels) -> None:
    rows, signs = np.array([3, 0, 4]), np.array([1.0, -1.0, 1.0])
    maps = list(explain(small, MapKind("backbone.layer3"), pixels, rows, signs, batch_size=2))
    images = (torch.from_numpy(pixels[rows]).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
    expected, flat = finish(GradCam(small, small.backbone.layer3)(images, torch.tensor([1.0, -1, 1])), (64, 64))
    assert [one.flat for one in maps] == flat.tolist() == [False, False, False]
    for one, values in zip(maps, expected, strict=True):
        assert one.values.shape == (64, 64)
        assert one.values.max() == 1
        np.testing.assert_allclose(one.values, values, atol=1e-4)
    assert hooks(small) == []


def test_maps_do_not_depend_on_the_batch(small, pixels) -> None:
    rows, signs = np.arange(5), np.array([1.0, -1, 1, -1, 1])
    one, two, all_at_once = (
        np.stack(
            [one.values for one in explain(small, MapKind("backbone.layer3"), pixels, rows, signs, batch_size=size)]
        )
        for size in (1, 2, 5)
    )
    np.testing.assert_allclose(one, all_at_once, atol=1e-4)
    np.testing.assert_allclose(two, all_at_once, atol=1e-4)


def test_explain_reads_one_batch_at_a_time() -> None:
    class Counting:
        def __init__(self):
            self.read = []

        def __getitem__(self, rows):
            self.read.append(len(rows))
            return np.zeros((len(rows), 4, 4, 3), dtype=np.uint8)

    pixels = Counting()
    maps = explain(Tiny(), MapKind("features"), pixels, np.arange(5), np.ones(5), batch_size=2)
    next(maps)
    assert pixels.read == [2]
    assert len(list(maps)) == 4
    assert pixels.read == [2, 2, 1]


def test_explain_evaluates_in_evaluation_mode(small, pixels) -> None:
    rows, signs = np.arange(2), np.ones(2)
    expected = next(explain(small, MapKind("backbone.layer3"), pixels, rows, signs, batch_size=2)).values
    found = next(explain(small.train(), MapKind("backbone.layer3"), pixels, rows, signs, batch_size=2)).values
    assert not small.training
    np.testing.assert_array_equal(found, expected)


def test_a_map_is_enlarged_between_its_cells_and_scaled_to_its_maximum() -> None:
    # cell centres lie at 1/4 and 3/4 of each side, pixel centres at 1/8, 3/8, 5/8 and 7/8
    maps, flat = finish(torch.tensor([[[8.0, 0.0], [8.0, 0.0]]]), (4, 4))
    assert maps.tolist() == [[[1.0, 0.75, 0.25, 0.0]] * 4]
    assert flat.tolist() == [False]


def test_a_maximum_that_falls_between_pixels_is_still_one() -> None:
    peak = torch.zeros(1, 3, 3)
    peak[0, 1, 1] = 5
    maps, _ = finish(peak, (6, 6))
    assert maps.max() == 1


@pytest.mark.parametrize(
    "coarse",
    [
        [[0.0, 0.0], [0.0, 0.0]],
        [[7.0, 7.0], [7.0, 7.0]],
        [[7.0, 7.00001], [7.0, 7.0]],
        [[1e-13, 0.0], [0.0, 0.0]],
    ],
    ids=["nothing", "constant", "rounding", "tiny"],
)
def test_a_flat_map_is_zeros_and_said_to_be_flat(coarse) -> None:
    maps, flat = finish(torch.tensor([coarse, [[4.0, 2.0], [0.0, 0.0]]]), (2, 2))
    assert flat.tolist() == [True, False]
    assert maps.tolist() == [[[0.0, 0.0], [0.0, 0.0]], [[1.0, 0.5], [0.0, 0.0]]]


def test_an_image_of_which_nothing_speaks_for_the_decision_is_flat() -> None:
    white_and_red = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    white_and_red[1, 0, 0, 0] = 255
    nothing, red = explain(Tiny(), MapKind("features"), white_and_red, np.arange(2), np.ones(2), batch_size=2)
    assert nothing.flat
    assert not nothing.values.any()
    assert red.values[0, 0] == 1
    assert red.values.sum() == 1


@pytest.mark.parametrize("layer", ["backbone.layer5", "backbone.fc", "backbone", "layer4"])
def test_a_layer_without_maps_is_refused_with_those_that_have_them(small, pixels, layer) -> None:
    maps = explain(small, MapKind(layer), pixels, np.arange(2), np.ones(2), batch_size=2)
    with pytest.raises(LayerError) as error:
        next(maps)
    assert str(error.value).startswith(f"explain.layer: {layer} is not a layer of the network whose output is N x C")
    assert hooks(small) == []


def test_the_layers_offered_instead_are_the_closest(small) -> None:
    with pytest.raises(
        LayerError, match=r"that will do are backbone\.layer4, backbone\.layer4\.1, backbone\.layer4\.0\.$"
    ):
        find_layer(small, "backbone.layer44", torch.zeros(1, 3, 64, 64))


def test_the_frame_is_the_outer_eighth_of_each_side() -> None:
    assert frame_mask(8, 16).sum() == 8 * 16 - 6 * 12
    assert not frame_mask(8, 16)[1:7, 2:14].any()


def test_frame_energy_is_the_share_of_the_sum() -> None:
    values = np.zeros((8, 8), dtype=np.float32)
    values[4, 4], values[0, 3] = 1, 0.25
    assert frame_energy(values) == 0.2
    assert frame_energy(np.ones((8, 8), dtype=np.float32)) == 1 - 36 / 64


def test_summary_leaves_flat_maps_out_of_the_mean() -> None:
    inside, outside = np.zeros((2, 8, 8), dtype=np.float32)
    inside[4, 4] = outside[0, 0] = 1
    energies = [frame_energy(inside), frame_energy(outside), frame_energy(inside), None]
    assert summarise(KIND, energies, ["fn", "fn", "tp", "tn"], (8, 8), NO_CHECKS) == ExplainDetails(
        layer="backbone.layer2",
        variant="grad_cam",
        images=4,
        flat_maps=1,
        outcomes=OutcomeCounts(fn=2, fp=0, tp=1, tn=1),
        frame_energy=1 / 3,
        frame_energy_uniform=0.4375,
        believable=NO_CHECKS,
    )


def test_summary_of_nothing_but_flat_maps_has_no_mean() -> None:
    assert summarise(KIND, [None], ["tp"], (8, 8), NO_CHECKS).frame_energy is None
