"""Backbones: the one place that knows an architecture.

`resnet50` is torchvision's; any other name is an image model of timm. What the rest of the project asks of a backbone
is in `Backbone`; no other module names a layer of one.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn
from torchvision.models import resnet50

from dermascreen.core.errors import ArchitectureError
from dermascreen.network.pixels import IMAGENET_MEAN, IMAGENET_STD

RESNET50 = "resnet50"
SPATIAL = 4  # dimensions of activations N x C x h x w
SUGGESTED = "resnet50, tf_efficientnet_lite0 or convnext_tiny"

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Layer:
    """What learns, is frozen and is shuffled together: modules that hold parameters and buffers, without children."""

    name: str  # such as layer4
    modules: tuple[nn.Module, ...]

    def parameters(self) -> Iterator[nn.Parameter]:
        for module in self.modules:
            yield from module.parameters(recurse=False)

    def buffers(self) -> Iterator[Tensor]:
        for module in self.modules:
            yield from module.buffers(recurse=False)

    def learn(self, learning: bool) -> None:
        """Train the layer from here on, or keep its weights and running statistics as they are."""
        for module in self.modules:
            module.training = learning
        for parameter in self.parameters():
            parameter.requires_grad_(learning)


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier, and what has to be known of it."""

    module: nn.Module  # normalised images (N, 3, H, W) to features (N, features)
    features: int
    layers: tuple[Layer, ...]  # from input to output; together they hold every parameter
    map_layer: str  # the dotted name in `module` of the layer that maps are made at, unless explain.layer names one
    mean: Channels  # of each channel in [0, 1], of the images that its published weights were trained on
    std: Channels
    image_size: int  # pixels a side of those images

    def with_replaced(self, modules: Mapping[nn.Module, nn.Module]) -> Self:
        """The same, whose layers hold other `modules` in the place of some."""
        layers = (replace(one, modules=tuple(modules.get(part, part) for part in one.modules)) for one in self.layers)
        return replace(self, layers=tuple(layers))


def make_backbone(architecture: str, *, zero_init: bool = False) -> Backbone:
    """A backbone with random weights, from torch's global generator.

    Parameters: `zero_init`, whether ResNet50's residual branches start at zero, which helps where training starts from
    these weights. Raises ArchitectureError for a name that timm does not know.
    """
    return _resnet50(zero_init) if architecture == RESNET50 else _timm(architecture)


def published(architecture: str) -> dict[str, Any]:
    """What timm says of the weights that it would fetch: their tag, address and licence; empty if there are none."""
    import timm  # noqa: PLC0415 - takes a second, which ResNet50 does not need

    found: Any = timm.get_pretrained_cfg(architecture)  # None where there are none
    return found.to_dict() if found and (found.url or found.hf_hub_id or found.file) else {}


def fetch_published(architecture: str) -> dict[str, Tensor]:
    """The state dict that timm fetches, without the classifier; raises whatever goes wrong."""
    import huggingface_hub  # noqa: PLC0415
    import timm  # noqa: PLC0415

    quiet: Any = huggingface_hub.logging.set_verbosity_error
    quiet()  # each of its retries would be a warning
    fetched: dict[str, Tensor] = timm.create_model(architecture, pretrained=True, num_classes=0).state_dict()
    return fetched


def uses_depthwise_convolutions(module: nn.Module) -> bool:
    """Whether a convolution has a kernel for each channel; processors have no fast instructions for those in bf16."""
    return any(isinstance(part, nn.Conv2d) and part.groups == part.in_channels > 1 for part in module.modules())


def check_sizes(backbone: Backbone, architecture: str, sizes: Iterable[int]) -> None:
    """Raise ArchitectureError unless the backbone takes images of all `sizes`, of train.image_sizes."""
    for size in sizes:
        try:
            _gives_maps(backbone, size)
        except Exception as error:  # noqa: BLE001 - each architecture has errors of its own
            raise ArchitectureError(
                f"{architecture} does not take images of {size} x {size} pixels ({first_line(error)}), which "
                "train.image_sizes has"
            ) from None


def check_input(backbone: Backbone, architecture: str, size: int) -> None:
    """Raise ArchitectureError unless the backbone gives maps and takes images of `size` pixels a side.

    A network that gives no maps is told so at whatever size: another size would not help it.
    """
    if any(parameter.ndim > len("NCHW") for parameter in backbone.module.parameters()):
        raise ArchitectureError(f"{architecture} has convolutions of more than two dimensions, which is not supported")
    try:
        maps = _gives_maps(backbone, size)
    except Exception as error:  # noqa: BLE001 - each architecture has errors of its own
        own = backbone.image_size
        if own == size or _gives_maps(backbone, own):
            raise ArchitectureError(
                f"{architecture} does not take images of {size} x {size} pixels ({first_line(error)}), but of {own}"
            ) from None
        maps = False
    if not maps:
        raise ArchitectureError(
            f"{architecture} has no layer whose output is N x C x h x w, and maps of what the network looked at are "
            f"made from one, as in {SUGGESTED}"
        )


def _gives_maps(backbone: Backbone, size: int) -> bool:
    """Whether the output of the layer for maps is N x C x h x h, of an image of that size."""
    activations: dict[str, Tensor] = {}

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        activations["found"] = output

    layer = dict(backbone.module.named_modules()).get(backbone.map_layer, nn.Identity())
    hook = layer.register_forward_hook(keep)
    was_training = backbone.module.training
    try:
        with torch.no_grad():
            backbone.module.eval()(torch.zeros(1, 3, size, size))
    finally:
        backbone.module.train(was_training)
        hook.remove()
    found = activations.get("found")
    return isinstance(found, Tensor) and found.ndim == SPATIAL and found.shape[-1] == found.shape[-2]


def _resnet50(zero_init: bool) -> Backbone:
    module = resnet50(zero_init_residual=zero_init)
    features = module.fc.in_features
    module.fc = nn.Identity()
    stages = {f"layer{depth}": getattr(module, f"layer{depth}") for depth in range(1, 5)}
    layers = [Layer("stem", (module.conv1, module.bn1))]
    layers += [Layer(name, tuple(stage.modules())) for name, stage in stages.items()]
    return Backbone(module, features, tuple(layers), "layer4", IMAGENET_MEAN, IMAGENET_STD, 224)


def _timm(architecture: str) -> Backbone:
    import timm  # noqa: PLC0415

    name = architecture.partition(".")[0]
    if not timm.is_model(name):
        known = timm.list_models()
        similar = difflib.get_close_matches(name, known, n=3, cutoff=0.6) or ["tf_efficientnet_lite0"]
        raise ArchitectureError(
            f"{architecture} is neither resnet50 nor one of timm's {len(known):,} image models, such as "
            f"{', '.join(similar)}"
        )
    try:
        module: Any = timm.create_model(architecture, pretrained=False, num_classes=0)
        about, matcher = module.pretrained_cfg, module.group_matcher(coarse=True)
        map_layer = module.feature_info[-1]["module"]
    except Exception as error:  # noqa: BLE001 - each architecture has errors of its own
        raise ArchitectureError(f"{architecture} cannot be built ({first_line(error)})") from None
    width = getattr(module, "head_hidden_size", None) or module.num_features
    layers = _grouped(module, timm.models.group_modules(module, matcher).values())
    size = about["input_size"][-1]
    return Backbone(module, width, layers, map_layer, tuple(about["mean"]), tuple(about["std"]), size)


def _grouped(module: nn.Module, groups: Iterable[list[str]]) -> tuple[Layer, ...]:
    """Groups of module names as layers; the first is the stem, and the others have the name that their parts share.

    A module of several names is in the first group that names it; what no group names is in the last one.
    """
    parts = dict(module.named_modules(remove_duplicate=False))
    saved = {id(tensor) for tensor in module.state_dict(keep_vars=True).values()}
    rest = dict.fromkeys(part for part in module.modules() if not saved.isdisjoint(map(id, _own(part))))
    layers: list[Layer] = []
    for depth, names in enumerate(groups):
        shared = [words[0] for words in zip(*(name.split(".") for name in names), strict=False) if len(set(words)) == 1]
        name = "stem" if depth == 0 else ".".join(shared)
        if not name or any(layer.name == name for layer in layers):
            name = names[0]
        held = tuple(part for part in dict.fromkeys(parts[part] for part in names) if part in rest)
        rest = {part: None for part in rest if part not in held}
        layers.append(Layer(name, held))
    return (*layers[:-1], Layer(layers[-1].name, (*layers[-1].modules, *rest)))


def _own(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


def first_line(error: Exception) -> str:
    """The first line of what an error says, without the stop, for the middle of a sentence."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
