"""Decode every photograph once, at the size of the network's input."""

from pathlib import Path

import numpy as np

from dermascreen.artifacts.dataset.images import ARRAY, ImagePaths, Pixels, write_pixels
from dermascreen.core.files import replacing
from dermascreen.core.params import PreprocessParams
from dermascreen.core.tables import Names
from dermascreen.data.photographs.framing import to_input
from dermascreen.data.photographs.photograph import read_photograph


def decode(root: Path, paths: Names, params: PreprocessParams, folder: Path) -> None:
    """Make every image under `root` the network's input and write the arrays that `Images` opens into `folder`.

    Decodes with all cores and holds a few hundred images at a time, so memory does not grow with their number.
    """
    with replacing(folder) as temporary:
        temporary.mkdir()
        write_pixels(temporary / ARRAY, paths, params.image_size, lambda path: decode_one(root / path, params))
        ImagePaths(np.array(paths, dtype=object)).write(temporary / ImagePaths.PATH.name)


def decode_one(path: Path, params: PreprocessParams) -> Pixels:
    """The photograph in a file, as `to_input` makes it."""
    return to_input(read_photograph(path), params)
