"""Decode once, read fast: all images as one uint8 array on disk, which readers map into memory."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from tqdm import tqdm

from dermascreen.errors import MissingInputError
from dermascreen.files import read_table, replacing, write_table

CHUNK = 256  # images decoded before their rows are written


@dataclass(frozen=True)
class Images:
    """Decoded images: `pixels` is a read-only map, uint8, shape (N, size, size, 3); `paths` names its rows."""

    paths: pd.Index
    pixels: npt.NDArray[np.uint8]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Map the arrays that `decode` wrote; reads no pixel yet."""
        index = read_table(folder / "index.csv", ["path"])
        try:
            pixels = np.load(folder / "images.npy", mmap_mode="r")
        except FileNotFoundError:
            raise MissingInputError(folder / "images.npy") from None
        return cls(pd.Index(index["path"]), pixels)

    def rows(self, paths: Iterable[str]) -> npt.NDArray[np.intp]:
        """The row of each path, shape (paths,); a path that was not decoded raises KeyError."""
        wanted = pd.Index(paths)
        rows = self.paths.get_indexer(wanted)
        if (rows < 0).any():
            raise KeyError(wanted[rows < 0][0])
        return rows


def decode(root: Path, paths: Sequence[str], size: int, folder: Path) -> None:
    """Resize every image under `root` to `size` x `size` RGB and write images.npy and index.csv into `folder`.

    Decodes with all cores and holds a few hundred images at a time, so memory does not grow with their number.
    """

    def one(path: str) -> npt.NDArray[np.uint8]:
        with Image.open(root / path) as image:
            return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0))

    with replacing(folder) as temporary:
        temporary.mkdir()
        shape = (len(paths), size, size, 3)
        pixels = np.lib.format.open_memmap(temporary / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
        with ThreadPoolExecutor(os.cpu_count()) as pool, tqdm(total=len(paths), unit="image", disable=None) as bar:
            for start in range(0, len(paths), CHUNK):
                chunk = list(pool.map(one, paths[start : start + CHUNK]))
                pixels[start : start + len(chunk)] = chunk
                bar.update(len(chunk))
        pixels.flush()
        write_table(pd.DataFrame({"path": paths}), temporary / "index.csv")
