"""Files that a user gives the pipeline, such as data.archive: they stay out of Git, and never go missing silently."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from dermascreen.core.errors import CopyError, ExposedError


def require_private(key: str, path: Path) -> None:
    """Raise ExposedError if `path`, which the parameter `key` names, holds a file that `dvc exp run` would commit.

    DVC adds what a stage reads to Git, unless it is outside the project or Git ignores it.
    """
    for place in {path, path.resolve()}:
        found = subprocess.run(
            ["git", "ls-files", "--others", "--exclude-standard", "-z", "--", str(place)],
            capture_output=True, check=False,
        )  # fmt: skip
        if found.stdout:  # otherwise everything is ignored or tracked, or is outside the project
            raise ExposedError(key, path, os.fsdecode(found.stdout.partition(b"\0")[0]))


def require_whole_copy(key: str, path: Path, root: Path, inside: Mapping[str, str] = MappingProxyType({})) -> None:
    """Raise CopyError if this is a temporary copy of the project at `root`, and lacks files of a relative `path`.

    `dvc exp run --temp` and `--queue` copy what Git tracks, and so nothing that it ignores. Parameters: `inside`, other
    parameters that must name a path in this one, with the paths that they name.
    """
    if path.is_absolute() or Path.cwd() == root:
        return
    missing = _files(root / path) - _files(path)
    if missing:
        raise CopyError(key, path, root, missing, inside)


def _files(path: Path) -> set[str]:
    """The relative paths of the files below a folder, and of links to folders; for a file, one empty path."""
    if path.is_file():
        return {""}
    found: set[str] = set()
    for folder, folders, names in os.walk(path):
        links = (name for name in folders if Path(folder, name).is_symlink())
        found.update(os.path.relpath(Path(folder, name), path) for name in [*names, *links])
    return found
