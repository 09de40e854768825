import itertools

import numpy as np
import pytest
import timm
import torch
from networks import at, untrained
from sklearn.metrics import roc_auc_score
from small_training import PARAMS, TRAIN, VAL, small, still, with_params
from torch import nn
from torch.utils.data import DataLoader

from dermascreen.core.errors import CheckpointError, TrainingError
from dermascreen.core.params import TrainParams
from dermascreen.network.inference import as_input
from dermascreen.network.model import Network, build
from dermascreen.training.batches import Split, loader
from dermascreen.training.fit import Fitted, fit, summarise
from dermascreen.training.module import RocAuc
from dermascreen.training.optimiser import freeze
from dermascreen.training.trainer import SyncNorms, resolve_precision

DESCRIPTION = small().description


def train(folder, network=None, params: TrainParams = PARAMS, seed: int = 0, on_epoch=lambda _: None):
    network = network or small()
    fitted = fit(network, TRAIN, VAL, params, seed=seed, checkpoints=folder, on_epoch=on_epoch)
    return network, fitted.epochs


@torch.inference_mode()
def logits_of(network: Network, split: Split) -> np.ndarray:
    return network.eval()(as_input(network, split.pixels[split.rows])).numpy()


def equal(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def test_it_learns_what_can_be_learnt_and_keeps_the_best_epoch(tmp_path) -> None:
    seen = []
    network, history = train(tmp_path, params=PARAMS.model_copy(update={"epochs": 12}), on_epoch=seen.append)
    assert seen == [history[: epoch + 1] for epoch in range(len(history))]
    assert [row["epoch"] for row in history] == list(range(len(history)))
    best = summarise(Fitted(history, 1.0), DESCRIPTION)
    assert best.best_val_roc_auc == max(row["val_roc_auc"] for row in history) > 0.9
    logits = logits_of(network, VAL)
    wins = [logits[i] > logits[j] for i in np.flatnonzero(VAL.labels) for j in np.flatnonzero(VAL.labels == 0)]
    assert np.mean(wins) == pytest.approx(best.best_val_roc_auc)


def test_one_seed_gives_equal_bits_and_another_gives_others(tmp_path) -> None:
    first, history = train(tmp_path / "a")
    second, again = train(tmp_path / "b")
    other, _ = train(tmp_path / "c", seed=1)
    assert equal(first, second)
    assert history == again
    assert not equal(first, other)


@pytest.mark.parametrize("killed_in", [1, 2])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, capsys, killed_in: int) -> None:
    whole, history = train(tmp_path / "whole")

    def kill(rows: list[dict[str, float]]) -> None:
        if rows[-1]["epoch"] == killed_in:
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        train(tmp_path / "killed", on_epoch=kill)
    resumed = []
    network, rows = train(tmp_path / "killed", network=small(seed=9), on_epoch=resumed.append)
    assert resumed == [history[: epoch + 1] for epoch in range(killed_in, 3)]  # with those before
    said = [line for line in capsys.readouterr().out.splitlines() if "goes on" in line]
    assert said == [f"train: was interrupted, and goes on after epoch {killed_in - 1}"]
    assert rows == history
    assert equal(network, whole)


def test_a_killed_run_that_was_moved_goes_on_to_the_same_bits(tmp_path) -> None:
    """Also where the best epoch lies before: Lightning would keep the first one after, which is worse."""
    params = with_params(epochs=6, lr=0.2, warmup_epochs=0, patience=6)
    whole, history = train(tmp_path / "whole", params=params, seed=1)
    aucs = [row["val_roc_auc"] for row in history]
    killed_in = aucs.index(max(aucs)) + 1
    assert killed_in + 1 < len(aucs)

    def kill(rows: list[dict[str, float]]) -> None:
        if rows[-1]["epoch"] == killed_in:
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        train(tmp_path / "before", params=params, seed=1, on_epoch=kill)
    (tmp_path / "before").rename(tmp_path / "after")
    network, rows = train(tmp_path / "after", params=params, seed=1, network=small(seed=9))
    assert rows == history
    assert equal(network, whole)


def test_kept_features_that_are_lost_are_not_taken_for_zeros(tmp_path) -> None:
    params = with_params(epochs=4, frozen_epochs=3, frozen_views=1, warmup_epochs=0, mixup=0.0)

    def kill(rows: list[dict[str, float]]) -> None:
        if rows[-1]["epoch"] == 1:
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        train(tmp_path, params=params, on_epoch=kill)
    (tmp_path / "features.npy").unlink()
    with pytest.raises(CheckpointError, match=r"features\.npy is missing, and was read in the epochs before; remove "):
        train(tmp_path, params=params)


def test_training_stops_after_patience(tmp_path) -> None:
    frozen = PARAMS.model_copy(update={"epochs": 9, "lr": 1e-12, "patience": 2, "weight_decay": 0.0})
    network = small()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.0
    _, history = train(tmp_path, network, frozen)
    assert len(history) == 3
    assert summarise(Fitted(history, 1.0), DESCRIPTION).best_epoch == 0


def test_the_rate_warms_up_and_falls_to_nothing(tmp_path) -> None:
    _, history = train(tmp_path, params=PARAMS.model_copy(update={"epochs": 4}))
    rates = [row["lr"] for row in history]
    # After the warm-up epoch the peak; then the cosine over the other three, at 1/3, 2/3 and the end of it.
    assert rates == pytest.approx([0.01, 0.0075, 0.0025, 0.0], abs=1e-9)


def test_one_epoch_is_trained_in_whatever_the_phases_say(tmp_path) -> None:
    changes = {"epochs": 1, "warmup_epochs": 3, "frozen_epochs": 3, "batch_size": 64, "image_sizes": [32, 48]}
    network = small()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    _, history = train(tmp_path, network, with_params(**changes))
    assert len(history) == 1
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.2.weight", "head.2.bias"}  # all else is frozen


def test_a_loss_that_is_not_finite_is_one_sentence_and_the_last_good_epoch_stays(tmp_path) -> None:
    network = small()
    steps = itertools.count()
    healthy = network.forward
    network.forward = lambda images: healthy(images) * (float("nan") if next(steps) == 10 else 1)
    with pytest.raises(TrainingError, match=r"The loss is nan in epoch 1; lower train.lr, which is 0\.01\."):
        train(tmp_path, network)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_one_logit_that_is_not_finite_is_seen_by_the_end_of_the_epoch(tmp_path) -> None:
    network = small()
    steps = itertools.count()
    healthy = network.forward

    def once(images):
        logits = healthy(images)
        if next(steps) == 0:  # and no gradient, as where a scaler leaves out a step
            return torch.full_like(logits, float("nan"), requires_grad=True)
        return logits

    network.forward = once
    with pytest.raises(TrainingError, match=r"The loss is nan in epoch 0; lower train.lr, which is 0\.01\."):
        train(tmp_path, network)


def test_precision_names() -> None:
    assert resolve_precision(32, small()) == "32-true"
    assert resolve_precision("bf16", small()) == "bf16-mixed"
    assert resolve_precision("auto", small()) in {"32-true", "bf16-mixed"}


@pytest.mark.parametrize(("has_bf16", "plain"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_is_bf16_on_a_processor_that_has_it_but_for_depthwise_convolutions(monkeypatch, has_bf16, plain) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("dermascreen.training.trainer._cpu_has_bf16", lambda: has_bf16)
    network = small()
    assert resolve_precision("auto", network) == plain
    network.backbone[2] = nn.Conv2d(4, 4, 3, groups=4)
    assert resolve_precision("auto", network) == "32-true"
    assert resolve_precision("bf16", network) == "bf16-mixed"  # as asked
    network.backbone[2] = nn.Conv2d(4, 4, 3, groups=2)  # grouped, but not a kernel for each channel
    assert resolve_precision("auto", network) == plain


def test_auto_is_bf16_on_a_gpu_that_has_it_whatever_the_convolutions(monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    network = nn.Conv2d(4, 4, 3, groups=4)
    for supported, expected in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: supported)  # noqa: B023
        assert resolve_precision("auto", network) == expected


def test_bf16_and_channels_last_train_too(tmp_path) -> None:
    _, history = train(tmp_path, params=PARAMS.model_copy(update={"precision": "bf16", "channels_last": True}))
    assert all(np.isfinite(row["train_loss"]) for row in history)


def test_accumulating_parts_of_a_batch_gives_the_gradient_of_the_whole(tmp_path) -> None:
    whole, history = train(tmp_path / "whole", still(), with_params(batch_size=9))
    parts, rows = train(tmp_path / "parts", still(), with_params(batch_size=9, accumulate=3))
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    assert [row["val_loss"] for row in rows] == pytest.approx([row["val_loss"] for row in history], rel=1e-5)


def test_val_auc_is_right_where_all_logits_of_a_batch_lie_in_0_to_1(tmp_path) -> None:
    network = small()
    network.forward = lambda images: (images.mean((1, 2, 3)) * -3 + 0.4) + 0 * network.head[2].bias
    rows = np.argsort(VAL.labels, kind="stable")
    sorted_val = Split(VAL.pixels, rows, VAL.labels[rows])
    params = with_params(epochs=2, batch_size=3)
    history = fit(network, TRAIN, sorted_val, params, seed=0, checkpoints=tmp_path, on_epoch=lambda _: None).epochs
    logits = -3 * (VAL.pixels[rows] / 127.5 - 1).mean((1, 2, 3)) + 0.4
    assert history[0]["val_roc_auc"] == pytest.approx(roc_auc_score(VAL.labels[rows], logits))
    inside = [bool(((batch >= 0) & (batch <= 1)).all()) for batch in np.array_split(logits, range(3, 21, 3))]
    assert any(inside)
    assert not all(inside)


def test_the_auc_of_what_is_told_apart_is_one_and_not_more() -> None:
    label = np.repeat([0, 1], [11, 10])  # of which torchmetrics has 1.0000001
    measure = RocAuc(label)
    measure.update(torch.arange(21), torch.linspace(-1, 1, 21))
    assert measure.compute().item() == 1
    rng = np.random.default_rng(0)
    logits = rng.normal(size=21).round(1)
    measure.update(torch.arange(21), torch.from_numpy(logits))
    assert measure.compute().item() == np.float32(roc_auc_score(label, logits))


def test_a_frozen_backbone_stays_as_it_was(tmp_path) -> None:
    start = small()
    seen = []
    network = small()

    def on_epoch(_: list[dict[str, float]]) -> None:
        pairs = zip(start.backbone.state_dict().values(), network.backbone.state_dict().values(), strict=True)
        seen.append([torch.equal(one, other) for one, other in pairs])

    params = with_params(epochs=4, frozen_epochs=1, unfreeze_every=1, warmup_epochs=0)
    train(tmp_path, network, params, on_epoch=on_epoch)
    names = list(start.backbone.state_dict())
    moved = [{name.split(".")[0] for name, same in zip(names, epoch, strict=True) if not same} for epoch in seen]
    assert moved == [set(), {"1"}, {"0", "1"}, {"0", "1"}]


def test_kept_features_change_nothing_but_the_work(tmp_path) -> None:
    params = with_params(epochs=4, frozen_epochs=3, warmup_epochs=0)
    computed, history = train(tmp_path / "a", params=params)
    kept, rows = train(tmp_path / "b", params=params.model_copy(update={"frozen_views": 3}))
    assert equal(computed, kept)
    assert rows == history

    network, passes = small(), []
    network.backbone.register_forward_hook(lambda _, images, __: passes.append(network.training * len(images[0])))
    train(tmp_path / "c", network, params.model_copy(update={"frozen_views": 1}))
    assert sum(passes) == 2 * len(TRAIN.rows)  # for the view that is kept, and for the epoch that is not frozen


@pytest.mark.parametrize("killed_in", [0, 1, 2])
def test_a_run_killed_while_features_are_kept_goes_on_to_the_same_bits(tmp_path, killed_in: int) -> None:
    params = with_params(epochs=4, frozen_epochs=3, frozen_views=2, warmup_epochs=0, ema=0.9, mixup=0.0)
    check_resuming(tmp_path, params, killed_in)


@pytest.mark.parametrize(
    "changes",
    [
        {"ema": 0.9, "gradient_clip": 0.1},
        {"mixup": 0.4, "label_smoothing": 0.1, "pos_weight": "auto"},
        {"accumulate": 2, "image_sizes": [32, 48], "frozen_epochs": 1},
        {"precision": "bf16", "layer_decay": 0.5, "deterministic": False},
    ],
    ids="-".join,
)
def test_each_part_of_the_recipe_survives_being_killed(tmp_path, changes: dict[str, object]) -> None:
    check_resuming(tmp_path, with_params(epochs=4, **changes), 2)


def check_resuming(folder, params: TrainParams, killed_in: int) -> None:
    whole, history = train(folder / "whole", params=params)

    def kill(rows: list[dict[str, float]]) -> None:
        if rows[-1]["epoch"] == killed_in:
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        train(folder / "killed", params=params, on_epoch=kill)
    network, rows = train(folder / "killed", network=small(seed=9) if killed_in else small(), params=params)
    assert rows == history
    assert equal(network, whole)


def test_a_killed_run_whose_images_are_read_ahead_goes_on_to_the_same_bits(tmp_path, monkeypatch) -> None:
    def ahead(split, parts, device, augment=None):
        reader = loader(split, parts, device, augment).dataset
        return DataLoader(reader, sampler=parts, batch_size=None, num_workers=1, persistent_workers=True)

    monkeypatch.setattr("dermascreen.training.fit.loader", ahead)  # as it is next to a GPU
    check_resuming(tmp_path, with_params(epochs=4, mixup=0.4), 2)


def test_a_run_that_was_stopped_and_then_killed_is_not_trained_further(tmp_path) -> None:
    params = with_params(epochs=9, lr=1e-12, patience=2, weight_decay=0.0)
    stopped, history = train(tmp_path, still(), params)
    assert len(history) < params.epochs
    more = []
    network, rows = train(tmp_path, still(seed=9), params, on_epoch=more.append)
    assert (rows, more) == (history, [])
    assert equal(network, stopped)


def test_the_average_is_what_is_judged_and_kept(tmp_path) -> None:
    network, history = train(tmp_path, params=with_params(epochs=6, ema=0.95))
    best = summarise(Fitted(history, 1.0), DESCRIPTION)
    auc = roc_auc_score(VAL.labels, logits_of(network, VAL))
    assert auc == pytest.approx(best.best_val_roc_auc)
    state, name = torch.load(tmp_path / "last.ckpt", weights_only=True), "network.head.2.weight"
    assert not torch.equal(state["state_dict"][name], state["current_model_state"][name])


def test_images_grow_with_the_epochs_and_val_is_always_whole(tmp_path) -> None:
    network, sizes = small(), []
    network.register_forward_hook(lambda _, images, __: sizes.append((network.training, images[0].shape[2:])))
    train(tmp_path, network, with_params(epochs=4).model_copy(update={"image_sizes": [4]}))
    steps = len(TRAIN.rows) // PARAMS.batch_size
    shown = [size for training, size in sizes if training]
    assert shown == [(4, 4)] * 2 * steps + [(8, 8)] * 2 * steps
    assert {size for training, size in sizes if not training} == {(8, 8)}


@pytest.mark.parametrize(("epochs", "expected"), [(1, [8]), (2, [6, 8])])
def test_a_training_too_short_for_all_sizes_leaves_out_the_first(tmp_path, epochs, expected) -> None:
    network, sizes = small(), []
    network.register_forward_hook(lambda module, images, _: sizes.append((module.training, images[0].shape[2])))
    train(tmp_path, network, with_params(epochs=epochs).model_copy(update={"image_sizes": [4, 6]}))
    assert list(dict.fromkeys(size for training, size in sizes if training)) == expected


def test_the_loss_is_that_of_the_formula(tmp_path) -> None:
    network = small()
    network.head[1].p = 0.0
    network.forward = lambda images: network.head[2].bias.expand(len(images))
    bias = network.head[2].bias.item()
    params = with_params(epochs=2, lr=1e-12, label_smoothing=0.2, pos_weight=3.0, batch_size=40, weight_decay=0.0)
    _, history = train(tmp_path, network, params)
    for_malignant, for_benign = np.log1p(np.exp(-bias)), np.log1p(np.exp(bias))
    wanted = 0.5 * (3 * 0.9 * for_malignant + 0.1 * for_benign) + 0.5 * (3 * 0.1 * for_malignant + 0.9 * for_benign)
    assert history[0]["train_loss"] == pytest.approx(wanted, rel=1e-5)
    assert history[0]["val_loss"] == pytest.approx((10 * for_malignant + 11 * for_benign) / 21, rel=1e-5)


def test_what_this_machine_cannot_do_is_one_sentence(tmp_path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(TrainingError, match=r"train\.precision is 16, which needs a GPU"):
        train(tmp_path, params=with_params(precision=16))
    for strategy in ("xla", "single_xla"):
        with pytest.raises(TrainingError, match=rf"train\.strategy {strategy} are not possible here: .*[^.]\.$"):
            train(tmp_path, params=with_params(strategy=strategy))
    with pytest.raises(TrainingError, match=r"train\.strategy nonsense are not possible here: [^.]*nonsense[^.]*\.$"):
        train(tmp_path, params=with_params(strategy="nonsense"))
    with pytest.raises(TrainingError, match=r"train\.nodes is 2, but neither torchrun nor Slurm started this"):
        train(tmp_path, params=with_params(nodes=2))
    assert not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_stops_before_the_first_step(tmp_path) -> None:
    train(tmp_path)
    (tmp_path / "last.ckpt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"last\.ckpt is not a complete checkpoint; remove"):
        train(tmp_path)


def test_norms_of_several_gpus_keep_the_activation_that_timm_puts_into_them() -> None:
    norm = timm.layers.BatchNormAct2d(4).eval()
    images = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    expected = norm(images)
    assert expected.min() == 0
    found = SyncNorms().apply(nn.Sequential(norm)).eval()
    assert isinstance(found[0], nn.SyncBatchNorm)
    torch.testing.assert_close(found(images), expected)


def test_norms_of_several_gpus_are_frozen_with_their_layer() -> None:
    network = SyncNorms().apply(nn.ModuleList([build(untrained("mobilenetv3_small_050"), at(32))]))[0].train()
    params = with_params(frozen_epochs=1)
    freeze(network, 0, params)
    norms = [module for module in network.modules() if isinstance(module, nn.SyncBatchNorm)]
    assert norms
    assert not any(norm.training for norm in norms)
    freeze(network, 1, params)
    assert all(norm.training for norm in norms)
