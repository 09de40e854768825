"""A backbone with a head of one logit: how it is built, saved and loaded."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as deserialise
from safetensors.torch import save as serialise
from torch import Tensor, nn

from dermascreen.artifacts.model.description import WEIGHTS, Description
from dermascreen.core.errors import ArchitectureError, BadTableError, MissingInputError
from dermascreen.core.files import replacing
from dermascreen.core.params import ModelParams, PreprocessParams
from dermascreen.network.backbones import Backbone, Layer, check_input, make_backbone
from dermascreen.network.weights import NONE, load_start


class Network(nn.Module):
    """A backbone and a head; takes normalised images (N, 3, H, W), gives the logit of malignant, shape (N,)."""

    def __init__(self, description: Description, backbone: Backbone) -> None:
        super().__init__()
        self.description = description
        self.about = backbone
        self.backbone = backbone.module
        hidden, dropout = description.hidden, nn.Dropout(description.dropout)
        inner: list[nn.Module] = [nn.Linear(backbone.features, hidden), nn.ReLU(), dropout] if hidden else []
        self.head = nn.Sequential(dropout, *inner, nn.Linear(hidden or backbone.features, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.decide(self.backbone(images))

    def decide(self, features: Tensor) -> Tensor:
        """The logits, shape (N,), of the backbone's features, shape (N, n)."""
        logits: Tensor = self.head(features)
        return logits.squeeze(1)

    @property
    def features(self) -> int:
        """How many features the backbone gives of an image."""
        return self.about.features

    def layers(self) -> tuple[Layer, ...]:
        """The backbone's layers from input to output."""
        return self.about.layers


def build(params: ModelParams, preprocess: PreprocessParams) -> Network:
    """A network to train: the backbone from `model.weights`, the head random from torch's global generator.

    Raises ArchitectureError and WeightsError for what cannot be built, or cannot take images of that size.
    """
    backbone = make_backbone(params.architecture, zero_init=params.weights == NONE)
    check_input(backbone, params.architecture, preprocess.image_size)
    description = Description(
        architecture=params.architecture, weights=params.weights, hidden=params.hidden, dropout=params.dropout,
        **preprocess.model_dump(), mean=backbone.mean, std=backbone.std, classes=("benign", "malignant"),
    )  # fmt: skip
    network = Network(description, backbone)
    start = load_start(network.backbone, params.architecture, params.weights)
    network.description = description.model_copy(update={"start": start})
    return network


def save(network: Network, weights: Path = WEIGHTS, description: Path = Description.PATH) -> None:
    """Write the weights as safetensors and the description as JSON; each file is whole or absent."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with replacing(weights) as temporary:
        temporary.write_bytes(serialise(state))
    network.description.write(description)


def load_model(weights: Path = WEIGHTS, description: Path = Description.PATH) -> Network:
    """Read what `save` wrote; the network comes back in evaluation mode, its parameters frozen.

    Raises a DermascreenError if a file is missing or broken, or describes an architecture that cannot be built here.
    """
    about = Description.read(description)
    try:
        network = Network(about, make_backbone(about.architecture))
    except ArchitectureError as error:
        raise BadTableError(
            description, f"describes a network that cannot be built here: {error.problem}",
            "use the version that trained the model",
        ) from None  # fmt: skip
    try:
        network.load_state_dict(deserialise(weights.read_bytes()))  # safetensors' own reading calls any file missing
    except FileNotFoundError:
        raise MissingInputError(weights) from None
    except (RuntimeError, SafetensorError):
        raise BadTableError(weights, f"does not fit {description}") from None
    return network.eval().requires_grad_(requires_grad=False)
