"""Decode once, read fast: all images as one uint8 array on disk, which readers map into memory."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from tqdm import tqdm

from dermascreen.errors import BadTableError, MissingInputError
from dermascreen.files import replacing
from dermascreen.images.photograph import read_photograph
from dermascreen.tables import locate, read_table, write_table

Pixels = npt.NDArray[np.uint8]

CHUNK = 256  # images decoded before their rows are written


@dataclass(frozen=True)
class Images:
    """Decoded images, a row each."""

    index: Path  # the table of their paths
    paths: pd.Index
    pixels: Pixels  # a read-only map of the file; uint8, shape (N, size, size, 3)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Map the arrays that `decode` wrote; reads no pixel yet."""
        index, file = folder / "index.csv", folder / "images.npy"
        paths = pd.Index(read_table(index, ["path"])["path"])
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


def decode(root: Path, paths: Sequence[str], size: int, folder: Path) -> None:
    """Resize every image under `root` to `size` x `size` RGB and write images.npy and index.csv into `folder`.

    Decodes with all cores and holds a few hundred images at a time, so memory does not grow with their number.
    """
    with replacing(folder) as temporary:
        temporary.mkdir()
        write_pixels(temporary / "images.npy", paths, size, lambda path: decode_one(root / path, size))
        write_table(pd.DataFrame({"path": paths}), temporary / "index.csv")


def decode_one(path: Path, size: int) -> Pixels:
    """The photograph in a file, as `resize` makes it."""
    return resize(read_photograph(path), size)


def resize(image: Image.Image, size: int) -> Pixels:
    """A photograph, in RGB, as the network sees it: squeezed to a square, uint8, shape (size, size, 3)."""
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0))


def write_pixels(
    file: Path, paths: Sequence[str], size: int, read: Callable[[str], Pixels], name: str | None = None
) -> Pixels:
    """Write `read(path)`, uint8 (size, size, 3), of every path into a .npy file, a row each; return its map.

    Reads with all cores and holds a few hundred images at a time; `name` stands before the progress bar.
    """
    shape = (len(paths), size, size, 3)
    pixels = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
    with ThreadPoolExecutor(os.cpu_count()) as pool, tqdm(None, name, len(paths), unit="image", disable=None) as bar:
        for start in range(0, len(paths), CHUNK):
            chunk = list(pool.map(read, paths[start : start + CHUNK]))
            pixels[start : start + len(chunk)] = chunk
            bar.update(len(chunk))
    pixels.flush()
    return pixels
