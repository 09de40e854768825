"""Decode once, read fast: all images as one uint8 array on disk, which readers map into memory."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from dermascreen.artifacts.dataset.arrays import make_array
from dermascreen.artifacts.dataset.columns import Name
from dermascreen.core.errors import BadTableError, MissingInputError
from dermascreen.core.tables import Names, Table, locate
from dermascreen.core.threads import cores

Pixels = npt.NDArray[np.uint8]

ARRAY = "images.npy"  # uint8, N x H x W x 3
PROCESSED = Path("data/processed")
CHUNK = 256  # images decoded before their rows are written


@dataclass(frozen=True)
class ImagePaths(Table):
    """The photograph of each row of the array."""

    PATH: ClassVar[Path] = PROCESSED / "index.csv"

    path: Name


@dataclass(frozen=True)
class Images:
    """Decoded images, one in each row."""

    index: Path  # the table of their paths
    paths: pd.Index
    pixels: Pixels  # a read-only map of the file; uint8, shape (N, size, size, 3)

    @classmethod
    def open(cls, folder: Path = PROCESSED) -> Self:
        """Map the array in a folder into memory; no pixel is read yet."""
        index, file = folder / ImagePaths.PATH.name, folder / ARRAY
        paths = pd.Index(ImagePaths.read(index).path)
        try:
            pixels = np.load(file, mmap_mode="r")
        except FileNotFoundError:
            raise MissingInputError(file) from None
        except (ValueError, EOFError):
            raise BadTableError(file, "is not an array") from None
        if len(pixels) != len(paths):
            raise BadTableError(file, f"does not have a row for each path of {index}")
        return cls(index, paths, pixels)

    def rows(self, paths: Iterable[str]) -> npt.NDArray[np.intp]:
        """The row of each path, shape (paths,); a path that was not decoded raises BadTableError."""
        return locate(self.paths, paths, self.index)


def write_pixels(file: Path, paths: Names, size: int, read: Callable[[str], Pixels], name: str | None = None) -> Pixels:
    """Write `read(path)`, uint8 (size, size, 3), of each path to a row of a .npy file; return the mapped file.

    Reads with all cores and holds a few hundred images at a time; `name` stands before the progress bar.
    """
    shape = (len(paths), size, size, 3)
    pixels = make_array(file, shape, np.uint8)
    with ThreadPoolExecutor(cores()) as pool, tqdm(None, name, len(paths), unit="image", disable=None) as bar:
        for start in range(0, len(paths), CHUNK):
            chunk = list(pool.map(read, paths[start : start + CHUNK]))
            pixels[start : start + len(chunk)] = chunk
            bar.update(len(chunk))
    pixels.flush()
    return pixels
