"""The weights that training starts from."""

import urllib.error
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import ResNet50_Weights

from dermascreen.core.errors import WeightsError


def start_state(weights: str) -> dict[str, Tensor]:
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
