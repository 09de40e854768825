"""State that survives a killed process: written completely or not at all, read or refused in one sentence."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from dermascreen.core.errors import CheckpointError
from dermascreen.core.files import replacing

LAST = "last.ckpt"
BEST = "best.ckpt"


class WholeFiles(TorchCheckpointIO):
    """Writes next to the file and moves it into place; Lightning's own moves from /tmp, which may be another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:  # noqa: ANN401, ARG002
        buffer = io.BytesIO()  # because torch hides why writing a file that it opened failed
        torch.save(checkpoint, buffer)
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(buffer.getbuffer())


def usable(folder: Path, *, leads: bool = True) -> Path | None:
    """The checkpoint in `folder` to continue from, if there is one: that of the last finished epoch.

    Raises CheckpointError for one that cannot be read. The process that `leads` deletes what a killed one left half
    written, and what Lightning saved in the midst of an epoch because Slurm was about to end it.
    """
    for pattern in (".*.tmp", "hpc_ckpt_*.ckpt") if leads else ():
        for remnant in folder.glob(pattern):
            remnant.unlink(missing_ok=True)
    last = folder / LAST
    if not last.exists():
        return None
    for path in (last, folder / BEST):
        read_checkpoint(path)
    return last


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, with its tensors memory-mapped and not yet read.

    Raises CheckpointError for one that is not whole, and PermissionError for one that may not be read.
    """
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
        content = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
    except PermissionError:
        raise
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile):
        raise CheckpointError(path) from None
    if damaged or not isinstance(content, dict) or "state_dict" not in content:
        raise CheckpointError(path)
    return content
