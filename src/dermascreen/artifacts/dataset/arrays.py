"""Arrays on disk that are mapped into memory."""

import os
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt


def reserve(file: IO[bytes], path: Path) -> None:
    """Take all the space on the disk that an open file is long: a full disk kills who writes to a map of it.

    Raises OSError, which names `path`, where there is not enough.
    """
    size = os.fstat(file.fileno()).st_size
    if hasattr(os, "posix_fallocate") and size:  # macOS has none
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            error.filename = str(path)
            raise


def make_array(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.memmap[Any, Any]:
    """Make a .npy file of zeros, with its space on the disk, and map it into memory; OSError if that is full."""
    array: np.memmap[Any, Any] = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    with path.open("r+b") as file:
        reserve(file, path)
    return array
