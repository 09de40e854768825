"""Decode every photograph once, at the size of the network's input."""

from pathlib import Path

import numpy as np
from PIL import Image

from dermascreen.artifacts.dataset.images import ARRAY, ImagePaths, Pixels, write_pixels
from dermascreen.core.files import replacing
from dermascreen.core.tables import Names
from dermascreen.data.photographs.photograph import read_photograph


def decode(root: Path, paths: Names, size: int, folder: Path) -> None:
    """Resize every image under `root` to `size` x `size` RGB and write the arrays that `Images` opens into `folder`.

    Decodes with all cores and holds a few hundred images at a time, so memory does not grow with their number.
    """
    with replacing(folder) as temporary:
        temporary.mkdir()
        write_pixels(temporary / ARRAY, paths, size, lambda path: decode_one(root / path, size))
        ImagePaths(np.array(paths, dtype=object)).write(temporary / ImagePaths.PATH.name)


def decode_one(path: Path, size: int) -> Pixels:
    """The photograph in a file, as `resize` makes it."""
    return resize(read_photograph(path), size)


def resize(image: Image.Image, size: int) -> Pixels:
    """A photograph, in RGB, as the network's input: resized to a square, uint8, shape (size, size, 3)."""
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0))
