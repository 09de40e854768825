"""Arrays on disk whose space is taken before they are written to."""

import errno
import os

import numpy as np
import pytest

from dermascreen.artifacts.dataset import arrays
from dermascreen.artifacts.dataset.arrays import make_array


def test_an_array_of_zeros_has_all_its_space(tmp_path) -> None:
    path = tmp_path / "array.npy"
    made = make_array(path, (1000, 3, 100), np.float32)
    assert (made.shape, made.dtype) == ((1000, 3, 100), np.float32)
    made[7] = 1.5
    made.flush()
    again = np.load(path)
    assert (again[7] == 1.5).all()
    assert again.sum() == 1.5 * 300
    found = path.stat()
    assert found.st_blocks * 512 >= found.st_size  # none of it is a hole, which a full disk could not fill


def test_a_full_disk_is_an_error_before_anything_is_written_to_the_map(tmp_path, monkeypatch) -> None:
    def full(_descriptor: int, _start: int, size: int) -> None:
        assert size == (tmp_path / "array.npy").stat().st_size
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(arrays.os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left") as raised:
        make_array(tmp_path / "array.npy", (10, 10), np.uint8)
    assert raised.value.filename == str(tmp_path / "array.npy")


def test_without_that_call_of_the_system_an_array_is_made_all_the_same(tmp_path, monkeypatch) -> None:
    monkeypatch.delattr(arrays.os, "posix_fallocate")
    assert make_array(tmp_path / "array.npy", (10, 10), np.uint8).sum() == 0
