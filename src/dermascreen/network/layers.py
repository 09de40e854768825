"""Layers that maps can be made at."""

import difflib

import torch
from torch import Tensor, nn

from dermascreen.core.errors import LayerError, VariantError
from dermascreen.core.params import ExplainParams
from dermascreen.network.backbones import SPATIAL
from dermascreen.network.model import Network

GUIDED = "guided_grad_cam"  # of explain.variant
AUTO = "auto"  # explain.layer: the architecture's own layer for maps


def layer_for_maps(network: Network, name: str) -> str:
    """The dotted name of the layer that explain.layer names."""
    return f"backbone.{network.about.map_layer}" if name == AUTO else name


def require_maps(network: Network, params: ExplainParams) -> None:
    """Raise LayerError or VariantError if maps cannot be made as section explain asks: before training, not after."""
    require_relus(network, params.variant)
    size, training = network.description.image_size, network.training
    try:
        find_layer(network.eval(), layer_for_maps(network, params.layer), torch.zeros(1, 3, size, size))
    finally:
        network.train(training)


def require_relus(network: nn.Module, variant: str) -> None:
    """Raise VariantError for guided_grad_cam of a network that has no ReLU, which guided backpropagation acts on."""
    if variant == GUIDED and not any(type(module) is nn.ReLU for module in network.modules()):
        raise VariantError(variant)


def find_layer(network: nn.Module, name: str, image: Tensor) -> nn.Module:
    """The module called `name`, if its output for `image`, shape (1, 3, H, W), is N x C x h x w; else LayerError."""
    modules: dict[str, nn.Module] = {known: module for known, module in network.named_modules() if known}
    spatial: set[nn.Module] = set()

    def remember(module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == SPATIAL:
            spatial.add(module)

    hooks = [module.register_forward_hook(remember) for module in modules.values()]
    try:
        with torch.no_grad():
            network(image)
    finally:
        for hook in hooks:
            hook.remove()
    choices = [known for known, module in modules.items() if module in spatial]
    if name not in choices:
        raise LayerError(name, difflib.get_close_matches(name, choices, n=3, cutoff=0))
    return modules[name]
