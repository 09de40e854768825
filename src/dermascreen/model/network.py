"""ResNet50 with a head of one logit: its start weights, and how it is saved and loaded."""

import dataclasses
import urllib.error
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, resnet50

from dermascreen.errors import ArchitectureError, BadTableError, MissingInputError, WeightsError
from dermascreen.files import read_json, replacing, write_json
from dermascreen.params import ModelParams

ARCHITECTURE = "resnet50"  # the one that can be built
FEATURES = 2048  # of ResNet50, after pooling
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Description:
    """Everything but the weights that is needed to use a trained network; models/model.json."""

    architecture: str
    weights: str  # what training started from
    hidden: int
    dropout: float
    image_size: int  # pixels a side
    mean: tuple[float, float, float]  # of each channel in [0, 1]; subtracted, then divided by std
    std: tuple[float, float, float]
    classes: tuple[str, str]  # the logit is that of the second


class Network(nn.Module):
    """ResNet50 and a head; takes normalised images (N, 3, H, W), gives the logit of malignant, shape (N,)."""

    def __init__(self, description: Description) -> None:
        super().__init__()
        self.description = description
        self.backbone = resnet50(zero_init_residual=description.weights == "none")
        self.backbone.fc = nn.Identity()
        hidden, dropout = description.hidden, nn.Dropout(description.dropout)
        inner: list[nn.Module] = [nn.Linear(FEATURES, hidden), nn.ReLU(), dropout] if hidden else []
        self.head = nn.Sequential(dropout, *inner, nn.Linear(hidden or FEATURES, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.decide(self.backbone(images))

    def decide(self, features: Tensor) -> Tensor:
        """The logits, shape (N,), of what the backbone gives for images, shape (N, FEATURES)."""
        logits: Tensor = self.head(features)
        return logits.squeeze(1)

    def layers(self) -> list[nn.Module]:
        """The backbone's five layers from input to output: the stem and ResNet's four."""
        backbone = self.backbone
        stem = nn.ModuleList([backbone.conv1, backbone.bn1])
        return [stem, backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4]


def scale(pixels: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) to floats in [0, 1], shape (N, 3, H, W)."""
    return pixels.permute(0, 3, 1, 2).float() / 255


def standardise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(images - mean) / std by channel; images in [0, 1], shape (N, 3, H, W)."""
    shift, spread = images.new_tensor([mean, std]).view(2, 1, 3, 1, 1)
    standard: Tensor = (images - shift) / spread
    return standard


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 (N, H, W, 3) to what the network takes: (value / 255 - mean) / std by channel, shape (N, 3, H, W)."""
    return standardise(scale(pixels), mean, std)


def build(params: ModelParams, image_size: int) -> Network:
    """A network to train: the backbone from `model.weights`, the head random from torch's global generator."""
    description = Description(
        ARCHITECTURE, params.weights, params.hidden, params.dropout, image_size,
        IMAGENET_MEAN, IMAGENET_STD, ("benign", "malignant"),
    )  # fmt: skip
    network = Network(description)
    if params.weights != "none":
        state = {name: tensor for name, tensor in _start_state(params.weights).items() if not name.startswith("fc.")}
        try:
            network.backbone.load_state_dict(state)
        except RuntimeError:
            raise WeightsError(
                f"model.weights: {params.weights} is not a state dict of torchvision's ResNet50."
            ) from None
    return network


def _start_state(weights: str) -> dict[str, Tensor]:
    if weights in ResNet50_Weights.__members__:
        return _imagenet_state(ResNet50_Weights[weights])
    path = Path(weights)
    try:
        state: Any = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    except FileNotFoundError:
        known = ", ".join(ResNet50_Weights.__members__)
        absolute = "" if path.is_absolute() else "; with --temp and --queue, give an absolute path"
        raise WeightsError(f"model.weights: {path} is neither a file nor one of {known}, none{absolute}.") from None
    except Exception as error:  # noqa: BLE001 - torch.load has no one exception for a file that is not its own
        raise WeightsError(f"model.weights: {path} cannot be read as a state dict ({type(error).__name__}).") from None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise WeightsError(f"model.weights: {path} is not a state dict of torchvision's ResNet50.")
    return state


def _imagenet_state(weights: ResNet50_Weights) -> dict[str, Tensor]:
    file = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    try:
        return dict(weights.get_state_dict(progress=True, check_hash=True))
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"model.weights: {weights.name} could not be fetched from {weights.url} ({error}); connect to the network "
            f"and run again, or put the file at {file}, or set model.weights to the path of a state dict or to none."
        ) from None


def save(network: Network, weights: Path, description: Path) -> None:
    """Write the weights as safetensors and the description as JSON; each file is whole or absent."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with replacing(weights) as temporary:
        temporary.write_bytes(serialise(state))
    write_json(dataclasses.asdict(network.description), description)


def load_model(weights: Path, description: Path) -> Network:
    """Read what `save` wrote; the network comes back in evaluation mode, its parameters frozen.

    Raises a DermascreenError where a file is missing or broken, or describes another architecture than ARCHITECTURE.
    """
    content: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in read_json(description).items()
    }
    if content.get("architecture") != ARCHITECTURE:
        raise ArchitectureError(description, content.get("architecture"), ARCHITECTURE)
    try:
        network = Network(Description(**content))
        network.load_state_dict(load_file(weights))
    except TypeError:
        raise BadTableError(description, "does not describe a model of this version") from None
    except FileNotFoundError:
        raise MissingInputError(weights) from None
    except (RuntimeError, SafetensorError):
        raise BadTableError(weights, f"does not fit {description}") from None
    return network.eval().requires_grad_(requires_grad=False)
