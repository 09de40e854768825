import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from dvc_data.hashfile import hash as dvc_hash
from warmth import warm_environment

from dermascreen.core import hashes
from dermascreen.core.hashes import content_md5, content_md5s


def dvc(folder: Path, *arguments: str) -> None:
    subprocess.run(["dvc", *arguments, "--quiet"], cwd=folder, env=warm_environment(), check=True)


def test_outside_of_a_dvc_project_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("content", encoding="utf-8")
    assert content_md5("a") == "9a0364b9e99bb480dd25e1f0284c8555"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # of DVC's own use of pygtrie
def test_what_dvc_has_read_is_not_read_again_nor_the_other_way_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "SMALL", 0)
    dvc(tmp_path, "init", "--no-scm")
    (tmp_path / "photographs").mkdir()
    for name in ("a", "b"):
        (tmp_path / "photographs" / name).write_text(name, encoding="utf-8")
    dvc(tmp_path, "add", "photographs")
    (tmp_path / "mine").write_text("mine", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    read = []
    monkeypatch.setattr(
        dvc_hash, "_hash_file", lambda path, *rest, read=read, real=dvc_hash._hash_file, **more: (
            read.append(Path(path).name) or real(path, *rest, **more)
        )
    )  # fmt: skip
    first = content_md5s(["photographs", "mine"])
    assert read == ["mine"]
    assert content_md5s(["photographs", "mine"]) == first
    assert read == ["mine"]
    shutil.copy("photographs/a", "mine")
    assert content_md5s(["mine"]) != {"mine": first["mine"]}
    assert read == ["mine", "mine"]
    Repo().add("mine")
    assert read == ["mine", "mine"]


def test_little_is_read_without_dvc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dvc.repo", None)  # importing it fails
    monkeypatch.setattr(hashes, "SMALL", 10)
    (tmp_path / "folder").mkdir()
    for name in ("a", "b"):
        (tmp_path / "folder" / name).write_text("12345", encoding="utf-8")
    assert content_md5(tmp_path / "folder/a") == "827ccb0eea8a706c4c34a16891f84e7b"
    assert content_md5(tmp_path / "folder").endswith(".dir")
    (tmp_path / "folder/b").write_text("123456", encoding="utf-8")
    with pytest.raises(ImportError):
        content_md5(tmp_path / "folder")


@pytest.mark.slow
@pytest.mark.parametrize("small", [0, hashes.SMALL])
@pytest.mark.parametrize("ignored", ["a/.git/config", ".hg/x", "__pycache__/x.txt", "b/m.pyc", "kept/sub/x"])
def test_what_dvc_ignores_is_not_hashed(
    small: int, ignored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "SMALL", small)
    monkeypatch.chdir(tmp_path)
    dvc(tmp_path, "init", "--no-scm")
    Path(".dvcignore").write_text("# of DVC\n__pycache__\n*.pyc\n/photographs/kept/sub/\n", encoding="utf-8")
    for name in ("one", "nested/two", "nested/b.txt", ignored):
        Path("photographs", name).parent.mkdir(parents=True, exist_ok=True)
        Path("photographs", name).write_text("b.txt", encoding="utf-8")
    dvc(tmp_path, "add", "photographs")
    assert content_md5("photographs") == yaml.safe_load(Path("photographs.dvc").read_text("utf-8"))["outs"][0]["md5"]


@pytest.mark.slow
@pytest.mark.parametrize("small", [0, hashes.SMALL])
def test_content_md5_is_what_dvc_records(small: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashes, "SMALL", small)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photo graphs"
    # In the order of their paths, "a.txt" and "a b" stand on either side of "a/...".
    names = ("a/one", "a/b/c/two", "a.txt", "a-b", "a b/three", "é/ß.txt", "皮膚/slide 1.jpg", ".hidden", "A", "a0")
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}\r\n", encoding="utf-8")
    (folder / "empty/folder").mkdir(parents=True)
    (tmp_path / "one file.bin").write_bytes(bytes(range(256)) * 9000)
    for command in (["init", "--quiet", "--no-scm"], ["add", "--quiet", "photo graphs", "one file.bin"]):
        subprocess.run(["dvc", *command], cwd=tmp_path, env=warm_environment(), check=True)
    for name in ("photo graphs", "one file.bin"):
        recorded = yaml.safe_load((tmp_path / f"{name}.dvc").read_text("utf-8"))["outs"][0]["md5"]
        assert content_md5(tmp_path / name) == recorded
