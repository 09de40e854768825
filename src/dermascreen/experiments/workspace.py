"""A workspace: a folder in which dermascreen runs the real pipeline, apart from the project that it is called in."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from dermascreen.core.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
PLACES = ("data/archive", "data/external", "data/tables", "data/weights")  # folders that people put files of theirs in
SHIPPED = (
    "dvc.yaml", "stages", "src", ".dvcignore", ".gitignore", "data/.gitignore", "data/reviewed_pairs.csv",
    *(f"{place}/{file}" for place in PLACES for file in (".gitignore", "README.md")), "models/.gitignore",
    "reports/.gitignore", "reports/details/.gitignore", "requirements.lock",
)  # fmt: skip
IDENTITY = {
    "user.name": "dermascreen", "user.email": "dermascreen@localhost", "commit.gpgsign": "false",
    "core.hooksPath": os.devnull,  # hooks for all repositories, as companies have, are not for these commits
}  # fmt: skip


def require_workspace(folder: Path) -> None:
    """Raise InputError unless `folder` is absent, empty or a workspace: whatever else it holds would be replaced."""
    config = folder / ".git/config"
    made = config.is_file() and IDENTITY["user.email"] in config.read_text(encoding="utf-8")
    if folder.exists() and not made and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is neither empty nor a folder that dermascreen made; name another one.")


def make_workspace(folder: Path, overrides: Mapping[str, Any], params: Path = ROOT / "params.yaml") -> None:
    """Make `folder` a Git and DVC repository of this pipeline with some of `params` changed; keep its cache.

    What people have put into PLACES is neither copied nor replaced. What else stands in the way is replaced, so
    `require_workspace` comes first where somebody names the folder.
    """
    if not (folder / ".dvc/config").exists():
        folder.mkdir(parents=True, exist_ok=True)
        run(["git", "init", "--quiet"], folder)
        # Of this workspace alone: `dvc exp run` commits, also where Git knows nobody.
        for name, value in IDENTITY.items():
            run(["git", "config", name, value], folder)
        _make_dvc_repository(folder)
    for name in SHIPPED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    shutil.copy2(params, folder / "params.yaml")
    override_params(folder / "params.yaml", overrides)
    commit(folder, "Pipeline and parameters")


def _make_dvc_repository(folder: Path) -> None:
    from dvc.repo import Repo  # noqa: PLC0415 - slow to import

    logging.getLogger("dvc").setLevel(logging.WARNING)
    with closing(Repo.init(str(folder), force=True)) as repo, repo.config.edit() as config:
        config["core"]["analytics"] = False


def run_pipeline(folder: Path, *options: str) -> None:
    """Run the pipeline in a workspace and commit the results, as users are advised to do.

    Parameters: `options` of `dvc repro`. Raises subprocess.CalledProcessError; DVC and the stage have then said why.
    """
    run(["dvc", "repro", *options], folder)
    commit(folder, "Results")


def commit(folder: Path, message: str) -> None:
    run(["git", "add", "--all"], folder)
    run(["git", "commit", "--quiet", "--allow-empty", "--message", message], folder)


def override_params(path: Path, overrides: Mapping[str, Any]) -> None:
    """Set dotted keys of a parameter file, and keep its comments."""
    parser = YAML()
    parser.width = 4096  # a long path stays on its line
    params = parser.load(path)
    for dotted, value in overrides.items():
        *sections, key = dotted.split(".")
        section = params
        for name in sections:
            section = section[name]
        section[key] = value
    parser.dump(params, path)


def run(command: list[str], folder: Path) -> None:
    """Run a command with this environment's programs, and without the settings of an enclosing pipeline.

    Ctrl-C reaches the command as well, and is waited for: `subprocess.run` would kill it after a quarter of a second.
    """
    with subprocess.Popen(command, cwd=folder, env=clean_environment()) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise
    if code:
        raise subprocess.CalledProcessError(code, command)


def clean_environment() -> dict[str, str]:
    """The environment without DVC's and MLflow's variables, with this interpreter's programs first on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
