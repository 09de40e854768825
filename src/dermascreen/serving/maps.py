"""Maps of predicted photographs as files."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from dermascreen.core.errors import InputError
from dermascreen.explanation.drawing import enlarge, marked, save_image
from dermascreen.serving.photographs import Failure, Prediction


def require_new(folder: Path) -> None:
    """Raise InputError if there is such a folder, and it is not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--explain: {folder} already exists; name a new or an empty folder.")


def saving_maps(predicted: Iterable[Prediction | Failure], folder: Path) -> Iterator[Prediction | Failure]:
    """Pass predictions on, and save each map next to its photograph in `folder`.

    A file's name is the photograph's number and the harmless characters of its name, so that no name leads elsewhere.
    """
    for number, one in enumerate(predicted, start=1):
        if isinstance(one, Prediction) and one.map is not None:
            pair = np.concatenate([enlarge(one.pixels), marked(one.pixels, one.map.values)], axis=1)
            save_image(pair, folder / f"{number:04}-{_harmless(one.name)}.png")
        yield one


def _harmless(name: str) -> str:
    return re.sub(r"[^\w-]+", "_", Path(name).stem)[:60]
