"""Hashes of files: md5 as DVC computes it, without reading again what DVC has read, and sha256."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from dermascreen.core.files import fingerprint

SMALL = 2**28  # bytes
ALWAYS_IGNORED = {".git", ".hg", ".dvc"}


def sha256_of(path: Path) -> str:
    """The sha256 of a file, 64 characters."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_md5(path: str | Path) -> str:
    """The hash that dvc.lock shows: md5 of a file, or md5 of a folder's list of files with a .dir suffix."""
    return content_md5s([path])[str(path)]


def content_md5s(paths: "list[str] | list[Path] | list[str | Path]") -> dict[str, str]:
    """`content_md5` of each path.

    DVC keeps the hash of each file that it has read, with its time and size. In a DVC project these are asked first
    for more than SMALL bytes, and what is read here is added to them, so that DVC need not read it again. Less is read
    in less time than it takes to import DVC, which then is asked only where a folder may hold what DVC ignores.
    """
    files = {str(path): _files(Path(path)) for path in paths}
    small = sum(file.stat().st_size for of in files.values() for file in of.values()) <= SMALL
    if small and not _may_be_ignored({part for of in files.values() for name in of for part in name.split("/")}):
        return {path: _hash(of, _md5) for path, of in files.items()}
    from dvc.exceptions import NotDvcRepoError  # noqa: PLC0415 - DVC is slow to import
    from dvc.fs import localfs  # noqa: PLC0415
    from dvc.repo import Repo  # noqa: PLC0415
    from dvc_data.hashfile.hash import hash_file  # noqa: PLC0415

    def known(file: Path) -> str:
        return str(hash_file(str(file.absolute()), localfs, "md5", repo.state)[1].value)

    try:
        repo: Any = Repo()
    except NotDvcRepoError:
        return {path: _hash(of, _md5) for path, of in files.items()}
    with closing(repo):
        for path, of in files.items():
            if Path(path).is_dir():
                seen = {*repo.dvcignore.find(localfs, str(Path(path).absolute()))}
                files[path] = {name: file for name, file in of.items() if str(file.absolute()) in seen}
        return {path: _hash(of, known) for path, of in files.items()}


def _files(path: Path) -> dict[str, Path]:
    """The files of a folder by their names in it, as DVC sorts them; a file by an empty name."""
    if not path.is_dir():
        return {"": path}
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    return {name: files[name] for name in sorted(files)}


def _may_be_ignored(parts: Iterable[str]) -> bool:
    """Whether DVC may ignore a path with one of these parts: it decides, this only says when to ask."""
    files = [folder / ".dvcignore" for folder in (Path.cwd(), *Path.cwd().parents)]
    lines = [line for file in files if file.is_file() for line in file.read_text("utf-8", "replace").splitlines()]
    patterns = {line.strip().rstrip("/").rpartition("/")[2] for line in lines if line[:1] != "#"} - {""}
    return any(fnmatchcase(part, pattern) for part in parts for pattern in patterns | ALWAYS_IGNORED)


def _hash(files: Mapping[str, Path], md5: Callable[[Path], str]) -> str:
    if "" in files:
        return md5(files[""])
    return fingerprint([{"md5": md5(file), "relpath": name} for name, file in files.items()]) + ".dir"


def _md5(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
