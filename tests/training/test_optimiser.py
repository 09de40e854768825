import math

import pytest
import torch
from networks import at, untrained
from small_training import Small, with_params

from dermascreen.network.model import build
from dermascreen.training.optimiser import (
    freeze,
    learning_layers,
    make_optimiser,
    mix,
    moving_average,
    parameter_groups,
    targets,
)


def test_weights_decay_and_norms_and_biases_do_not() -> None:
    network = Small()
    decayed, plain = parameter_groups(network.backbone, 0.1, 0.01)
    assert decayed == {"params": [network.backbone[0].weight], "lr": 0.1, "weight_decay": 0.01}
    assert [parameter.ndim for parameter in plain["params"]] == [1, 1, 1]
    assert plain["weight_decay"] == 0.0


def test_rates_fall_from_the_head_to_the_input_and_every_parameter_has_one() -> None:
    network = build(untrained(dropout=0.1), at(32))
    params = with_params(lr=0.1, backbone_lr_factor=0.5, layer_decay=0.5, warmup_epochs=0)
    optimiser, _ = make_optimiser(network, params, 10, fused=True)
    rate = {id(parameter): group["lr"] for group in optimiser.param_groups for parameter in group["params"]}
    assert len(rate) == len(list(network.parameters()))
    backbone = network.backbone
    layers = [backbone.conv1, backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4, network.head]
    found = [{rate[id(parameter)] for parameter in layer.parameters()} for layer in layers]
    assert found == [{0.1 * 0.5**power} for power in (5, 4, 3, 2, 1, 0)]


def test_layers_learn_one_after_the_other_from_the_output() -> None:
    gradual = with_params(epochs=20, frozen_epochs=3, unfreeze_every=2)
    assert [learning_layers(5, epoch, gradual) for epoch in range(14)] == [0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5]
    at_once = with_params(frozen_epochs=2)
    assert [learning_layers(5, epoch, at_once) for epoch in range(3)] == [0, 0, 5]


def test_a_frozen_layer_keeps_its_weights_and_its_running_statistics() -> None:
    network = Small()
    params = with_params(epochs=4, frozen_epochs=1, unfreeze_every=1)
    learning = []
    for epoch in range(3):
        network.train()
        freeze(network, epoch, params)
        learning.append([layer.modules[0].training for layer in network.layers()])
        assert [all(p.requires_grad for p in layer.parameters()) for layer in network.layers()] == learning[-1]
        assert all(parameter.requires_grad for parameter in network.head.parameters())
    assert learning == [[False, False], [False, True], [True, True]]


def test_the_moving_average_follows_at_first_and_then_decays() -> None:
    average = [torch.zeros(2)]
    expected = 0.0
    for update in range(1, 40):
        moving_average(0.8, average, [torch.full((2,), float(update))], torch.tensor(update))
        decay = min(0.8, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * update
    torch.testing.assert_close(average[0], torch.full((2,), expected))


def test_targets_and_mixup_are_the_formulas() -> None:
    labels = torch.tensor([0.0, 1.0, 1.0])
    torch.testing.assert_close(targets(labels, 0.1), torch.tensor([0.05, 0.95, 0.95]))
    torch.testing.assert_close(mix(labels, 0.7), torch.tensor([0.3, 1.0, 0.7]))
    assert mix(labels, 1.0) is labels


def test_the_cosine_ends_at_nothing() -> None:
    network = Small()
    optimiser, schedule = make_optimiser(network, with_params(epochs=4), 5, fused=False)
    rates = []
    for _ in range(20):
        rates.append(optimiser.param_groups[-1]["lr"])
        optimiser.step()
        schedule.step()
    expected = [0.01 * (step + 1) / 6 for step in range(5)]
    expected += [0.01 * (1 + math.cos(math.pi * step / 15)) / 2 for step in range(15)]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize(
    ("epochs", "warmup_epochs", "steps", "rising"),
    [(4, 1, 5, 5), (4, 9, 5, 15), (1, 1, 6, 3), (1, 1, 1, 0), (2, 1, 5, 5), (2, 7, 5, 5), (3, 0, 5, 0)],
)
def test_warm_up_yields_to_a_short_training(epochs, warmup_epochs, steps, rising) -> None:
    params = with_params(epochs=epochs, warmup_epochs=warmup_epochs)
    optimiser, schedule = make_optimiser(Small(), params, steps, fused=False)
    rates = []
    for _ in range(epochs * steps):
        rates.append(optimiser.param_groups[-1]["lr"])
        optimiser.step()
        schedule.step()
    assert rates[:rising] == pytest.approx([0.01 * (step + 1) / (rising + 1) for step in range(rising)])
    assert rates[rising] == pytest.approx(0.01)
    assert rates[rising:] == sorted(rates[rising:], reverse=True)
    assert optimiser.param_groups[-1]["lr"] == pytest.approx(0.0, abs=1e-12)


def test_an_optimiser_that_is_not_fused_may_take_many_tensors_at_a_time() -> None:
    for fused, expected in ((True, True), (False, None)):
        optimiser, _ = make_optimiser(Small(), with_params(), 10, fused=fused)
        assert (optimiser.defaults["fused"], optimiser.defaults["foreach"]) == (expected, None)
