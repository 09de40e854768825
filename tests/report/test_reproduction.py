"""What it takes to get the results again is asked of those who know."""

import subprocess
from importlib.metadata import version

import pytest
import yaml

from dermascreen.report.reproduction import PACKAGES, reproduction


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def git(*arguments):
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_the_revision_is_gits_and_changes_to_the_code_are_noticed(repository, params) -> None:
    git("init", "--quiet")
    (repository / "params.yaml").write_text("seed: 0\n")
    git("add", "params.yaml")
    git("commit", "--quiet", "--message", "First")
    (repository / "results.csv").write_text("no code\n")
    clean = reproduction(params, {})
    assert clean.revision == git("rev-parse", "HEAD")
    assert not clean.changed
    (repository / "params.yaml").write_text("seed: 1\n")
    assert reproduction(params, {}).changed


@pytest.mark.usefixtures("repository")
def test_without_a_repository_that_is_said(capsys, params) -> None:
    again = reproduction(params, {})
    assert again.revision is None
    assert not again.changed
    assert "Git cannot tell" in capsys.readouterr().err


def test_parameters_data_and_packages_are_told(params) -> None:
    inputs = {"reports/predictions.csv": "abc"}
    again = reproduction(params.model_copy(update={"seed": 7}), inputs)
    assert yaml.safe_load(again.yaml) == params.model_dump(exclude={"tracking", "registry"}) | {"seed": 7}
    assert again.yaml.startswith("seed: 7\n")
    assert again.inputs == inputs
    assert list(again.packages) == ["python", *PACKAGES]
    assert again.packages["numpy"] == version("numpy")
