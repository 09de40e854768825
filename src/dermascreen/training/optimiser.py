"""Which parameters are trained, at which learning rate, and when."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR
from torch.optim.swa_utils import get_ema_multi_avg_fn

from dermascreen.core.params import TrainParams
from dermascreen.network.backbones import Layer
from dermascreen.network.model import Network


def make_optimiser(network: Network, params: TrainParams, steps: int, *, fused: bool) -> tuple[AdamW, LRScheduler]:
    """AdamW and its schedule: warm-up, then a cosine to 0 after `params.epochs` epochs of `steps` steps.

    Warm-up never reaches into the last epoch, unless there is only one, of which it takes half. `fused` is faster, but
    Lightning cannot clip gradients with it in mixed precision.
    """
    rate = params.lr * params.backbone_lr_factor
    groups = parameter_groups(network.head, params.lr, params.weight_decay)
    for layer in reversed(network.layers()):
        groups = parameter_groups(layer, rate, params.weight_decay) + groups
        rate *= params.layer_decay
    optimiser = AdamW(groups, fused=fused or None)  # False would turn off the foreach kernels too
    total = params.epochs * steps
    warmup = min(params.warmup_epochs * steps, max(total - steps, total // 2))
    schedule: LRScheduler = CosineAnnealingLR(optimiser, total - warmup)
    if warmup:
        rise = LinearLR(optimiser, start_factor=1 / (warmup + 1), total_iters=warmup)
        schedule = SequentialLR(optimiser, [rise, schedule], [warmup])
    return optimiser, schedule


def parameter_groups(module: nn.Module | Layer, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices and kernels have weight decay; vectors, that is norms and biases, have none."""
    decayed = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    plain = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
    return [
        {"params": decayed, "lr": lr, "weight_decay": weight_decay},
        {"params": plain, "lr": lr, "weight_decay": 0.0},
    ]


def freeze(network: Network, epoch: int, params: TrainParams) -> None:
    """Train the layers of the backbone that are due in this epoch; the others keep weights and running statistics.

    Lightning's BaseFinetuning is not used: it acts in on_train_epoch_start, which Lightning skips in the first epoch
    after a checkpoint, and when it is restored it resets the optimiser's learning rates to those of the first epoch.
    """
    layers = network.layers()
    learning = learning_layers(len(layers), epoch, params)
    for depth, layer in enumerate(reversed(layers)):
        layer.learn(depth < learning)


def learning_layers(layers: int, epoch: int, params: TrainParams) -> int:
    """How many of the backbone's `layers`, counted from its output, are trained in `epoch`."""
    thawed = epoch - params.frozen_epochs
    if thawed < 0:
        return 0
    return min(layers, 1 + thawed // params.unfreeze_every) if params.unfreeze_every else layers


def moving_average(decay: float, averaged: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
    """Move `averaged` towards `current` in place, by 1 - min(decay, (1 + n) / (10 + n)) at the n-th update.

    The decay rises, so that at first, when the weights still change much, the average follows them (as TensorFlow's
    ExponentialMovingAverage does with num_updates).
    """
    count = int(updates)
    decay = min(decay, (1 + count) / (10 + count))
    get_ema_multi_avg_fn(decay)(averaged, current, updates)  # type: ignore[no-untyped-call]


def targets(labels: Tensor, label_smoothing: float) -> Tensor:
    """0 and 1 moved to label_smoothing / 2 and 1 - label_smoothing / 2 (Szegedy et al., arXiv 1512.00567)."""
    return labels * (1 - label_smoothing) + label_smoothing / 2


def mix(values: Tensor, kept: float) -> Tensor:
    """Each row, with weight `kept`, mixed with its partner in reverse order (mixup: Zhang et al., arXiv 1710.09412)."""
    return values if kept == 1.0 else values.lerp(values.flip(0), 1 - kept)
