"""Networks that have learnt nothing."""

from pathlib import Path

from dermascreen.core.params import ModelParams, PreprocessParams


def at(size: int) -> PreprocessParams:
    """Section preprocess of params.yaml for images of this size."""
    return PreprocessParams.model_construct(image_size=size, fit="squash", field_of_view="keep")


def untrained(architecture: str = "resnet50", hidden: int = 0, dropout: float = 0.0) -> ModelParams:
    """Section model of params.yaml for random weights."""
    return from_weights("none", architecture, hidden, dropout)


def from_weights(
    weights: str | Path, architecture: str = "resnet50", hidden: int = 0, dropout: float = 0.0
) -> ModelParams:
    """Section model of params.yaml; a path is one that DVC tracks."""
    own = str(weights) if isinstance(weights, Path) else "data/weights"
    return ModelParams(architecture=architecture, weights=str(weights), own_weights=own, hidden=hidden, dropout=dropout)
