"""Maps of judged photographs as files."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from dermascreen.errors import InputError
from dermascreen.report.pictures import enlarge, marked, save_image
from dermascreen.serving.judge import Failure, Judgement


def make_new(folder: Path) -> None:
    """Make a folder that must be new or empty; raises InputError if it is not."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--explain: {folder} is there already; name a new or an empty folder.")
    folder.mkdir(parents=True, exist_ok=True)


def saving_maps(judged: Iterable[Judgement | Failure], folder: Path) -> Iterator[Judgement | Failure]:
    """Pass judgements on, and save each map beside its photograph in `folder`.

    A file's name is the photograph's number and what is harmless of its own name, so that no name leads elsewhere.
    """
    for number, one in enumerate(judged, start=1):
        if isinstance(one, Judgement) and one.map is not None:
            pair = np.concatenate([enlarge(one.pixels), marked(one.pixels, one.map.values)], axis=1)
            save_image(pair, folder / f"{number:04}-{_harmless(one.name)}.png")
        yield one


def _harmless(name: str) -> str:
    return re.sub(r"[^\w-]+", "_", Path(name).stem)[:60]
