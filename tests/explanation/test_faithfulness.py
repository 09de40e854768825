"""Checks of maps against networks whose reasons are known."""

import types

import numpy as np
import pytest
import torch
from networks import at, untrained
from scipy.stats import spearmanr
from torch import nn

from dermascreen.explanation import faithfulness
from dermascreen.explanation.faithfulness import (
    CRITERIA,
    Evidence,
    Found,
    centre_map,
    check,
    frame_advantage,
    gather,
    infidelities,
    lesion_advantage,
    passes,
    perturbation,
    pseudo_mask,
    randomisation,
    rank_correlation,
    sensitivities,
    symmetry,
)
from dermascreen.explanation.maps import MapKind
from dermascreen.network.model import build

SIZE = 32


class Corner(nn.Module):
    """Its logit is the mean square of red in the upper left quarter, and no other pixel matters."""

    def __init__(self) -> None:
        super().__init__()
        self.red = nn.Conv2d(3, 1, 1, bias=False)
        self.red.weight.data = torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1)
        self.description = types.SimpleNamespace(mean=(0, 0, 0), std=(0.25, 0.25, 0.25))
        self.requires_grad_(requires_grad=False)

    def forward(self, images):
        return 8 * self.red(images)[:, 0, : SIZE // 2, : SIZE // 2].square().mean((1, 2))


def evidence(maps: torch.Tensor, images: torch.Tensor) -> Evidence:
    return Evidence(images, torch.ones(len(images)), maps, maps, torch.ones(len(images), dtype=torch.bool))


@pytest.fixture
def images() -> torch.Tensor:
    spots = torch.rand(6, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 0.1
    spots[:, 0, 4:12, 4:12] += 1  # red in the quarter that matters, gone where it is blurred
    spots[:, 0, 20:28, 20:28] += 1  # and in one that does not
    return spots


def square(top: int, left: int) -> torch.Tensor:
    maps = torch.zeros(6, SIZE, SIZE)
    maps[:, top : top + 8, left : left + 8] = 1
    return maps


def test_the_map_of_what_matters_wins_and_that_of_what_does_not_loses(images) -> None:
    corner = torch.zeros(6, SIZE, SIZE)
    corner[:, : SIZE // 2, : SIZE // 2] = 1
    right, wrong, none = (
        perturbation(Corner(), evidence(maps, images), maps, seed=0, batch_size=4)
        for maps in (corner, 1 - corner, torch.zeros(6, SIZE, SIZE))
    )
    assert (right > none).all()
    assert (none > wrong).all()
    assert none == pytest.approx(np.zeros(6), abs=0.05)  # in random order, what goes and what comes are alike


def test_perturbation_is_the_mean_over_its_steps_worked_out_one_by_one(images) -> None:
    order = torch.rand(1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    network, image = Corner(), images[:1]
    found = perturbation(network, evidence(order, image), order, seed=0, batch_size=1)
    blurred, total = faithfulness.blur(image), SIZE * SIZE
    highest = np.argsort(-order.flatten().numpy(), kind="stable")
    expected = 0.0
    for step in range(11):
        chosen = np.zeros(total, dtype=bool)
        chosen[highest[: total * step // 10]] = True
        mask = torch.from_numpy(chosen.reshape(1, 1, SIZE, SIZE))
        inserted, deleted = torch.where(mask, image, blurred), torch.where(mask, blurred, image)
        expected += float(network(inserted).sigmoid() - network(deleted).sigmoid()) / 11
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_infidelity_is_least_for_the_map_that_foretells_the_loss(images) -> None:
    right, wrong = (
        infidelities(Corner(), evidence(maps, images), maps, seed=0, batch_size=4).mean()
        for maps in (square(4, 4), square(20, 20))
    )
    assert right < wrong


def test_rank_correlation_is_spearmans_and_0_for_a_map_without_ranks() -> None:
    first, second = torch.rand(3, 4, 4), torch.rand(3, 4, 4)
    second[2] = 0.5
    expected = [spearmanr(first[n].flatten(), second[n].flatten()).statistic for n in (0, 1)] + [0]
    assert rank_correlation(first, second) == pytest.approx(expected)
    assert rank_correlation(first, first) == pytest.approx([1, 1, 1])


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = build(untrained("test_resnet"), at(SIZE))
    return network.eval().requires_grad_(requires_grad=False)


def test_randomisation_shuffles_a_copy_from_the_head_on(network, images) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = gather(network, MapKind("backbone.layer2"), images, torch.ones(6), 4)
    correlation = randomisation(network, MapKind("backbone.layer2"), found, seed=0, batch_size=4)
    assert list(correlation) == ["head", "layer4.0", "layer3.0", "layer2.0", "layer1.0", "stem", "all"]
    np.testing.assert_array_equal(correlation["stem"], correlation["all"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    again = randomisation(network, MapKind("backbone.layer2"), found, seed=0, batch_size=6)
    np.testing.assert_allclose(correlation["all"], again["all"], atol=0.1)
    assert abs(correlation["all"].mean()) < 0.9


class Even(nn.Module):
    """A network that does not care how an image is turned."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.AvgPool2d(8)

    def forward(self, images):
        return self.features(images)[:, 0].square().sum((1, 2))


def test_maps_of_a_network_that_turns_along_agree_in_every_direction(images) -> None:
    found = gather(Even().requires_grad_(), MapKind("features"), images.requires_grad_(), torch.ones(6), 4)
    assert symmetry(Even(), MapKind("features"), found, 4) == pytest.approx(np.ones(6))


def test_maps_that_hardly_change_under_noise(network, images) -> None:
    found = gather(network, MapKind("backbone.layer2"), images, torch.ones(6), 4)
    change = sensitivities(network, MapKind("backbone.layer2"), found, seed=0, batch_size=4)
    assert change.shape == (6,)
    assert (change > 0).all()

    generator = torch.Generator().manual_seed(1)
    by_hand = np.zeros(6)
    for _ in range(5):  # other draws of noise of the same size
        noise = (torch.rand(6, 3, SIZE, SIZE, generator=generator) * 2 - 1) * 2 / 255 / 0.225
        other = gather(network, MapKind("backbone.layer2"), images + noise, torch.ones(6), 4).raw
        moved = (other - found.raw).flatten(1).norm(dim=1) / found.raw.flatten(1).norm(dim=1)
        by_hand = np.maximum(by_hand, moved.numpy())
    np.testing.assert_allclose(change, by_hand, rtol=0.5)
    np.testing.assert_array_equal(
        change, sensitivities(network, MapKind("backbone.layer2"), found, seed=0, batch_size=4)
    )


def test_energy_in_the_frame_is_above_that_of_an_even_map() -> None:
    maps = torch.zeros(3, 8, 8)
    maps[0] = 1
    maps[1, 0] = 1
    maps[2, 4, 4] = 1
    even = 28 / 64  # the outer eighth of 8 pixels is 1
    assert frame_advantage(maps) == pytest.approx([0, 1 - even, -even])


def test_the_pseudo_mask_is_the_dark_side() -> None:
    image = np.full((SIZE, SIZE, 3), 200, dtype=np.uint8)
    image[8:24, 8:24] = 40
    mask = pseudo_mask(image)
    assert mask[10:22, 10:22].all()
    assert not mask[:5].any()
    maps = torch.zeros(1, SIZE, SIZE)
    maps[0, 12:20, 12:20] = 1
    assert lesion_advantage(image[None], maps) == pytest.approx([1 - mask.mean()])


def test_the_centre_map_is_highest_in_the_centre_and_even_on_all_sides() -> None:
    centre = centre_map(9, 9)
    assert centre.argmax() == 40
    assert centre[4, 4] == 1
    assert centre[0, 4] == pytest.approx(np.exp(-2))  # two standard deviations out
    torch.testing.assert_close(centre, centre.flip(0))
    torch.testing.assert_close(centre, centre.T)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("randomisation", {"value": -0.29}, {"value": -0.31}),
        ("perturbation_random", {"value": 0.1, "low": 0.01}, {"value": 0.1, "low": -0.01}),
        ("perturbation_centre", {"value": 0.1, "low": 0.01}, {"value": 0.1, "low": 0.0}),
        ("lesion_energy", {"value": 0.1, "low": 0.01}, {"value": 0.1, "low": -0.01}),
        ("frame_energy", {"value": -0.1}, {"value": 0.1}),
        ("frame_energy", {"value": 2.6e-10}, {"value": 2e-6}),
        ("infidelity", {"value": 0.9}, {"value": 1.0}),
        ("sensitivity", {"value": 0.5}, {"value": 0.51}),
        ("symmetry", {"value": 0.5}, {"value": 0.49}),
    ],
)
def test_each_check_has_its_criterion(name, good, bad) -> None:
    assert passes(Found(**good), *CRITERIA[name])
    assert not passes(Found(**bad), *CRITERIA[name])
    assert not passes(Found(None), *CRITERIA[name])


def test_all_checks_are_made_alike_each_time(network) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)
    signs = np.array([1.0, -1, 1, -1, 1])
    found = check(network, MapKind("backbone.layer2"), pixels, signs, seed=3, batch_size=2)
    assert found == check(network, MapKind("backbone.layer2"), pixels, signs, seed=3, batch_size=2)
    assert list(found.checks) == list(CRITERIA)
    assert found.images == 5
    assert found.passed + len(found.failed) == len(CRITERIA)
    assert [name for name, one in found.checks.items() if not one.passed] == list(found.failed)
    assert [name for name, one in found.checks.items() if one.by_layer] == ["randomisation"]
    assert [name for name, one in found.checks.items() if one.low is None] == ["infidelity"]
    assert {name: (one.relation, one.criterion) for name, one in found.checks.items()} == CRITERIA


def test_where_every_map_is_flat_nothing_is_passed(network) -> None:
    """At 32 pixels the last layer is 1 x 1: its map is the same everywhere."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    found = check(network, MapKind("backbone.layer4"), pixels, np.ones(4), seed=0, batch_size=2)
    assert (found.flat, found.passed) == (4, 0)
    assert {one.value for one in found.checks.values()} == {None}


def test_a_mean_over_maps_has_students_interval(images) -> None:
    seen = evidence(images[:4, 0], images[:4])._replace(shows=torch.tensor([True, True, False, True]))
    found = faithfulness._mean(np.array([1.0, 2.0, 9.0, 6.0]), seen)
    half = 4.302653 * np.std([1, 2, 6], ddof=1) / 3**0.5  # the quantile of two degrees of freedom
    assert found == pytest.approx((3.0, 3 - half, 3 + half))
