"""ResNet50 with a head of one logit: how it is built, saved and loaded."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor, nn
from torchvision.models import resnet50

from dermascreen.artifacts.model.description import WEIGHTS, Description
from dermascreen.core.errors import ArchitectureError, BadTableError, MissingInputError, WeightsError
from dermascreen.core.files import replacing
from dermascreen.core.params import ModelParams
from dermascreen.network.pixels import IMAGENET_MEAN, IMAGENET_STD
from dermascreen.network.weights import start_state

ARCHITECTURE = "resnet50"  # the only one that can be built
FEATURES = 2048  # of ResNet50, after pooling


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
        """The logits, shape (N,), of the backbone's features, shape (N, FEATURES)."""
        logits: Tensor = self.head(features)
        return logits.squeeze(1)

    def layers(self) -> list[nn.Module]:
        """The backbone's five layers from input to output: the stem and ResNet's four."""
        backbone = self.backbone
        stem = nn.ModuleList([backbone.conv1, backbone.bn1])
        return [stem, backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4]


def build(params: ModelParams, image_size: int) -> Network:
    """A network to train: the backbone from `model.weights`, the head random from torch's global generator."""
    description = Description(
        architecture=ARCHITECTURE, weights=params.weights, hidden=params.hidden, dropout=params.dropout,
        image_size=image_size, mean=IMAGENET_MEAN, std=IMAGENET_STD, classes=("benign", "malignant"),
    )  # fmt: skip
    network = Network(description)
    if params.weights != "none":
        state = {name: tensor for name, tensor in start_state(params.weights).items() if not name.startswith("fc.")}
        try:
            network.backbone.load_state_dict(state)
        except RuntimeError:
            raise WeightsError(
                f"model.weights: {params.weights} is not a state dict of torchvision's ResNet50."
            ) from None
    return network


def save(network: Network, weights: Path = WEIGHTS, description: Path = Description.PATH) -> None:
    """Write the weights as safetensors and the description as JSON; each file is whole or absent."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with replacing(weights) as temporary:
        temporary.write_bytes(serialise(state))
    network.description.write(description)


def load_model(weights: Path = WEIGHTS, description: Path = Description.PATH) -> Network:
    """Read what `save` wrote; the network comes back in evaluation mode, its parameters frozen.

    Raises a DermascreenError if a file is missing or broken, or describes an architecture other than ARCHITECTURE.
    """
    about = Description.read(description)
    if about.architecture != ARCHITECTURE:
        raise ArchitectureError(description, about.architecture, ARCHITECTURE)
    network = Network(about)
    try:
        network.load_state_dict(load_file(weights))
    except FileNotFoundError:
        raise MissingInputError(weights) from None
    except (RuntimeError, SafetensorError):
        raise BadTableError(weights, f"does not fit {description}") from None
    return network.eval().requires_grad_(requires_grad=False)
