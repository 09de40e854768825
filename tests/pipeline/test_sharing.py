"""The page on sharing, as it is printed, between clones with a real Git remote and a real DVC remote."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import BLOCK, DOCS, shell

COMMANDS = dict(BLOCK.findall((DOCS / "how-to/share.md").read_text()))


def follow(folder: Path, title: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return shell(folder, "bash", "-euo", "pipefail", "-c", COMMANDS[f"needs {title}"], **variables)


@pytest.fixture(scope="module")
def pushed(finished, tmp_path_factory) -> Path:
    """A folder with the project, and where it was pushed to: project.git and store."""
    folder = tmp_path_factory.mktemp("sharing")
    project = folder / "project"
    shutil.copytree(finished, project, symlinks=True)
    shell(folder, "git", "init", "--quiet", "--bare", "project.git")
    shell(project, "git", "remote", "add", "origin", str(folder / "project.git"))
    branch = shell(project, "git", "branch", "--show-current").stdout.strip()
    shell(folder / "project.git", "git", "symbolic-ref", "HEAD", f"refs/heads/{branch}")
    shell(project, "git", "push", "--quiet", "--set-upstream", "origin", branch)
    follow(project, "a DVC remote", DVC_REMOTE=str(folder / "store"))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8))
    noise.save(folder / "photograph.jpg", quality=95)
    return folder


def clone(pushed: Path, name: str) -> Path:
    shell(pushed, "git", "clone", "--quiet", "project.git", name)
    for setting in ("user.name=a", "user.email=a@b", "commit.gpgsign=false"):
        shell(pushed / name, "git", "config", *setting.split("="))
    shutil.copy(pushed / "photograph.jpg", pushed / name)
    return pushed / name


def test_a_clone_predicts_without_images_and_without_training(pushed) -> None:
    there = clone(pushed, "predicting")
    done = follow(there, "a clone of a project that was pushed")
    assert "photograph.jpg" in done.stdout
    assert not (there / "data/raw").exists()
    assert not (there / "data/processed").exists()
    assert not (there / "mlflow.db").exists()
    said = shell(pushed / "project", "dermascreen", "predict", "--json", str(there / "photograph.jpg")).stdout
    assert shell(there, "dermascreen", "predict", "--json", str(there / "photograph.jpg")).stdout == said


def test_a_model_is_fetched_by_address_and_by_version(pushed) -> None:
    there = pushed / "elsewhere"
    there.mkdir()
    shutil.copy(pushed / "photograph.jpg", there)
    address = str(pushed / "project.git")
    done = follow(there, "the address of such a project", PROJECT=address)
    assert "photograph.jpg" in done.stdout
    follow(pushed / "project", "a project that was pushed")
    follow(there, "the address of such a project and a tag", PROJECT=address)
    weights = (pushed / "project/models/weights.safetensors").read_bytes()
    assert (there / "lesion-classifier/weights.safetensors").read_bytes() == weights


def test_an_experiment_goes_from_one_clone_to_another(pushed) -> None:
    project = pushed / "project"
    shell(project, "dvc", "exp", "run", "--quiet", "--temp", "--name", "stricter", "-S", "threshold.target_recall=0.99")
    follow(project, "a project that was pushed and an experiment called stricter")
    there = clone(pushed, "experimenting")
    follow(there, "a clone of such a project")
    assert "target_recall: 0.99" in (there / "params.yaml").read_text()
    points = "models/operating_points.json"
    made = shell(project, "dvc", "get", ".", points, "--rev", "stricter", "--out", "stricter.json")
    assert (there / points).read_text() == (project / "stricter.json").read_text(), made.stdout
    assert (there / points).read_text() != (project / points).read_text()


def test_a_clone_takes_results_from_the_remote_and_computes_nothing(pushed) -> None:
    project = pushed / "project"
    follow(project, "a project that was pushed, again")
    there = clone(pushed, "again")
    done = follow(there, "a clone of such a project, again")
    assert "Running stage" not in done.stdout
    assert not (there / "mlflow.db").exists()
    report = "reports/report.html"
    assert (there / report).read_bytes() == (project / report).read_bytes()
    assert shell(there, "dvc", "status").stdout == "Data and pipelines are up to date.\n"
