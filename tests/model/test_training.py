import itertools

import numpy as np
import pytest
import torch
from torch import nn

from dermascreen.errors import TrainingError
from dermascreen.model.inference import predict_logits, sigmoid
from dermascreen.model.network import Description
from dermascreen.model.training import Split, fit, parameter_groups, resolve_precision, summarise
from dermascreen.params import AugmentParams, TrainParams

PARAMS = TrainParams(
    epochs=3, batch_size=8, lr=0.01, backbone_lr_factor=0.5, weight_decay=0.01, warmup_epochs=1, patience=3,
    precision=32, channels_last=False, augment=AugmentParams(flip=True, rotation=180, brightness=0.1, contrast=0.1),
)  # fmt: skip


class Small(nn.Module):
    """What training asks of a network, in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.description = Description("small", "none", 0, 0.2, 8, (0.5,) * 3, (0.5,) * 3, ("benign", "malignant"))
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(4, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(images)).squeeze(1)


def small(seed: int = 0) -> Small:
    torch.manual_seed(seed)
    return Small()


def split(count: int, seed: int = 0) -> Split:
    """Malignant is darker, with some overlap."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pixels = random.integers(60, 255, (count, 8, 8, 3)) - 50 * labels[:, None, None, None]
    return Split(pixels.astype(np.uint8), np.arange(count), labels)


TRAIN, VAL = split(40), split(20, seed=1)


def train(folder, network=None, params: TrainParams = PARAMS, seed: int = 0, on_epoch=lambda _: None):
    network = network or small()
    return network, fit(network, TRAIN, VAL, params, seed=seed, checkpoints=folder, on_epoch=on_epoch)


def equal(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def test_it_learns_what_can_be_learnt_and_keeps_the_best_epoch(tmp_path) -> None:
    seen = []
    network, history = train(tmp_path, params=PARAMS.model_copy(update={"epochs": 12}), on_epoch=seen.append)
    assert seen == history
    assert [row["epoch"] for row in history] == list(range(len(history)))
    best = summarise(history)
    assert best["best_val_roc_auc"] == max(row["val_roc_auc"] for row in history) > 0.9
    logits = predict_logits(network, VAL.pixels, VAL.rows, 7)
    wins = [logits[i] > logits[j] for i in np.flatnonzero(VAL.labels) for j in np.flatnonzero(VAL.labels == 0)]
    assert np.mean(wins) == pytest.approx(best["best_val_roc_auc"])


def test_one_seed_gives_equal_bits_and_another_gives_others(tmp_path) -> None:
    first, history = train(tmp_path / "a")
    second, again = train(tmp_path / "b")
    other, _ = train(tmp_path / "c", seed=1)
    assert equal(first, second)
    assert history == again
    assert not equal(first, other)


@pytest.mark.parametrize("killed_in", [1, 2])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, killed_in: int) -> None:
    whole, history = train(tmp_path / "whole")

    def kill(row: dict[str, float]) -> None:
        if row["epoch"] == killed_in:
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        train(tmp_path / "killed", on_epoch=kill)
    resumed = []
    network, rows = train(tmp_path / "killed", network=small(seed=9), on_epoch=resumed.append)
    assert [row["epoch"] for row in resumed] == list(range(killed_in, 3))
    assert rows == history
    assert equal(network, whole)


def test_training_stops_after_patience(tmp_path) -> None:
    frozen = PARAMS.model_copy(update={"epochs": 9, "lr": 1e-12, "patience": 2, "weight_decay": 0.0})
    network = small()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.0
    _, history = train(tmp_path, network, frozen)
    assert len(history) == 3
    assert summarise(history)["best_epoch"] == 0


def test_the_rate_warms_up_and_falls_to_nothing(tmp_path) -> None:
    _, history = train(tmp_path, params=PARAMS.model_copy(update={"epochs": 4}))
    rates = [row["lr"] for row in history]
    # After the warm-up epoch the peak; then the cosine over the other three, at 1/3, 2/3 and the end of it.
    assert rates == pytest.approx([0.01, 0.0075, 0.0025, 0.0], abs=1e-9)


def test_weights_decay_and_norms_and_biases_do_not() -> None:
    network = Small()
    decayed, plain = parameter_groups(network.backbone, 0.1, 0.01)
    assert decayed == {"params": [network.backbone[0].weight], "lr": 0.1, "weight_decay": 0.01}
    assert [parameter.ndim for parameter in plain["params"]] == [1, 1, 1]
    assert plain["weight_decay"] == 0.0


def test_a_batch_larger_than_the_data_is_refused(tmp_path) -> None:
    with pytest.raises(TrainingError, match=r"train\.batch_size is 41, but there are only 40 training images"):
        train(tmp_path, params=PARAMS.model_copy(update={"batch_size": 41}))
    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_not_finite_is_one_sentence_and_the_last_good_epoch_stays(tmp_path) -> None:
    network = small()
    steps = itertools.count()
    healthy = network.forward
    network.forward = lambda images: healthy(images) * (float("nan") if next(steps) == 10 else 1)
    with pytest.raises(TrainingError, match=r"The loss is nan in epoch 1; lower train.lr, which is 0\.01\."):
        train(tmp_path, network)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_precision_names() -> None:
    assert resolve_precision(32) == "32-true"
    assert resolve_precision("bf16") == "bf16-mixed"
    assert resolve_precision("auto") in {"32-true", "bf16-mixed"}


def test_bf16_and_channels_last_train_too(tmp_path) -> None:
    _, history = train(tmp_path, params=PARAMS.model_copy(update={"precision": "bf16", "channels_last": True}))
    assert all(np.isfinite(row["train_loss"]) for row in history)


def test_logits_do_not_depend_on_the_batch() -> None:
    network = small()
    whole = predict_logits(network, VAL.pixels, VAL.rows, 20)
    assert np.allclose(predict_logits(network, VAL.pixels, VAL.rows[::-1], 3)[::-1], whole, atol=1e-6)
    assert whole.shape == (20,)
    assert whole.dtype == np.float32


def test_sigmoid_is_exact_at_zero_and_keeps_the_order_of_large_logits() -> None:
    found = sigmoid(np.array([-800, -2, 0, 2, 20, 30], dtype=np.float32))
    assert found[2] == 0.5
    assert found[1] + found[3] == pytest.approx(1, abs=1e-15)
    assert found[3] == pytest.approx(1 / (1 + np.exp(-2)))
    assert found[0] == 0
    assert found[4] < found[5] < 1
