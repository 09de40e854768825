"""Hashes of files: md5 as DVC computes it, without reading again what DVC has read, and sha256."""

import hashlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermascreen.core.files import fingerprint

if TYPE_CHECKING:
    from dvc_data.hashfile.state import StateBase


def sha256_of(path: Path) -> str:
    """The sha256 of a file, 64 characters."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_md5(path: str | Path) -> str:
    """The hash that dvc.lock shows: md5 of a file, or md5 of a folder's list of files with a .dir suffix."""
    return content_md5s([path])[str(path)]


def content_md5s(paths: "list[str] | list[Path] | list[str | Path]") -> dict[str, str]:
    """`content_md5` of each path.

    DVC keeps the hash of each file that it has read, with its time and size; in a DVC project these are asked first,
    and what is read here is added to them, so that DVC need not read it again.
    """
    from dvc.exceptions import NotDvcRepoError  # noqa: PLC0415 - DVC is slow to import
    from dvc.repo import Repo  # noqa: PLC0415

    try:
        repo: Any = Repo()
    except NotDvcRepoError:
        return {str(path): _hash(Path(path), None) for path in paths}
    with closing(repo):
        return {str(path): _hash(Path(path), repo.state) for path in paths}


def _hash(path: Path, state: "StateBase | None") -> str:
    if not path.is_dir():
        return _file_md5(path, state)
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    listing = [{"md5": _file_md5(files[relpath], state), "relpath": relpath} for relpath in sorted(files)]
    return fingerprint(listing) + ".dir"


def _file_md5(path: Path, state: "StateBase | None") -> str:
    from dvc.fs import localfs  # noqa: PLC0415
    from dvc_data.hashfile.hash import hash_file  # noqa: PLC0415

    _, found = hash_file(str(path.absolute()), localfs, "md5", state)
    return str(found.value)
