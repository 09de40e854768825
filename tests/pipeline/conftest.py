"""The real dvc.yaml, on a few small synthetic lesions, in a repository of its own."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from demo import clean_environment, make_workspace

TINY = {
    "data.source": "synthetic",
    "data.synthetic.images": 60,
    "data.synthetic.size": 48,
    "preprocess.image_size": 32,
    "model.weights": "none",
    "train.epochs": 2,
    "train.batch_size": 16,
    "train.patience": 2,
    "explain.images": 4,
}

Run = Callable[..., subprocess.CompletedProcess[str]]


def shell(folder: Path, *command: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=folder, env=clean_environment() | variables, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0 or not check, f"{command} exited {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A repository in which `dvc repro` has run; look, but do not touch."""
    folder = tmp_path_factory.mktemp("finished")
    make_workspace(folder, TINY)
    shell(folder, "dvc", "repro")
    commit(folder)
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of `finished` to change."""
    folder = tmp_path / "project"
    shutil.copytree(finished, folder, symlinks=True)
    return folder


def commit(folder: Path) -> None:
    shell(folder, "git", "add", "--all")
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    shell(folder, "git", *identity, "commit", "--quiet", "--allow-empty", "--message", "Results")
