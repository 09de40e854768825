"""Run the real pipeline on synthetic lesions in a workspace of its own, and print what it found."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from dermascreen.artifacts.results.details.evaluation import EvaluateDetails, ThresholdDetails
from dermascreen.core.errors import InputError
from dermascreen.evidence.point_reports import PointReport
from dermascreen.report.numbers import alarms, missed

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = (
    "dvc.yaml", "params.yaml", "stages", "src", ".dvcignore", ".gitignore", "data/.gitignore", "data/archive",
    "data/external", "data/weights", "models/.gitignore", "reports/.gitignore", "reports/details/.gitignore",
)  # fmt: skip
IDENTITY = {"user.name": "dermascreen", "user.email": "dermascreen@localhost", "commit.gpgsign": "false"}
SMALL = {
    "data.source": "synthetic",
    "preprocess.image_size": 64,
    "model.weights": "none",
    "train.epochs": 6,
    "train.batch_size": 16,
    "train.backbone_lr_factor": 1.0,
    "explain.images": 12,
    "explain.checked": 8,
    "explain.layer": "backbone.layer3",  # at 64 pixels the last stage has 2 x 2 cells, too few to show anything
}
# Without what DVC did when, and hashes of files: the numbers and the parameters alone.
COMPARE = "dvc exp show --only-changed --drop 'Created|State|Executor|.*/.*'"


def make_workspace(folder: Path, overrides: Mapping[str, Any]) -> None:
    """Make `folder` a Git and DVC repository of this pipeline with some parameters changed; keep its cache.

    What stands in the way is replaced, so `require_demo` comes first where somebody names the folder.
    """
    for name in SHIPPED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    override_params(folder / "params.yaml", overrides)
    if not (folder / ".dvc").exists():
        run(["git", "init", "--quiet"], folder)
        for (
            name,
            value,
        ) in IDENTITY.items():  # of this workspace alone: `dvc exp run` commits, also where Git knows nobody
            run(["git", "config", name, value], folder)
        run(["dvc", "init", "--quiet"], folder)
        run(["dvc", "config", "core.analytics", "false"], folder)
    commit(folder, "Pipeline on synthetic data")


def reproduce(folder: Path) -> None:
    """Run the pipeline in a workspace and commit the results, as users are advised to do."""
    run(["dvc", "repro"], folder)
    commit(folder, "Results")


def commit(folder: Path, message: str) -> None:
    run(["git", "add", "--all"], folder)
    run(["git", "commit", "--quiet", "--allow-empty", "--message", message], folder)


def override_params(path: Path, overrides: Mapping[str, Any]) -> None:
    """Set dotted keys of a parameter file, and keep its comments."""
    parser = YAML()
    params = parser.load(path)
    for dotted, value in overrides.items():
        *sections, key = dotted.split(".")
        section = params
        for name in sections:
            section = section[name]
        section[key] = value
    parser.dump(params, path)


def run(command: list[str], folder: Path) -> None:
    """Run a command with this environment's programs, and without the settings of an enclosing pipeline."""
    subprocess.run(command, cwd=folder, env=clean_environment(), check=True)


def clean_environment() -> dict[str, str]:
    """The environment without DVC's and MLflow's variables, with this interpreter's programs first on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}


def result_table(folder: Path) -> pd.DataFrame:
    """Sensitivity, specificity and missed cancers at each operating point, on val and test."""
    threshold = ThresholdDetails.read(folder / ThresholdDetails.PATH)
    evaluate = EvaluateDetails.read(folder / EvaluateDetails.PATH)
    rows = []
    for name in threshold.points.thresholds:
        point: PointReport = getattr(threshold, name)
        for split, at, auc in (("val", point.val, evaluate.val.roc_auc), ("test", point.test, evaluate.test.roc_auc)):
            rows.append(
                {
                    "operating point": name,
                    "threshold": point.threshold,
                    "split": split,
                    "ROC AUC": auc,
                    "sensitivity": at.recall,
                    "specificity": at.specificity,
                    "F1": at.f1,
                    "missed cancers": missed(at.confusion),
                    "false alarms": alarms(at.confusion),
                }
            )
    return pd.DataFrame(rows)


def require_demo(folder: Path) -> None:
    """Raise InputError unless `folder` is absent, empty, or one that the demo has made: all else would be replaced."""
    config = folder / ".git/config"
    made = config.is_file() and IDENTITY["user.email"] in config.read_text(encoding="utf-8")
    if folder.exists() and not made and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is neither empty nor a folder that the demo made; name another one.")


def demo(folder: Path) -> int:
    """`dermascreen demo`: run the pipeline in `folder`, and print the results and where they are."""
    folder = folder.resolve()
    require_demo(folder)
    make_workspace(folder, SMALL)
    try:
        reproduce(folder)
    except subprocess.CalledProcessError:
        return 1  # dvc and the stage have said why
    print("\nSynthetic lesions, random initial weights, a few epochs: the numbers show only that the pipeline runs.\n")
    print(result_table(folder).to_string(index=False, float_format="{:.3f}".format))
    programs = Path(sys.executable).parent
    there = f"cd {shlex.quote(str(folder))} && {shlex.quote(str(programs))}"
    print(f"\nReport:   {folder / 'reports/report.html'}")
    print(f"Runs:     {there}/dermascreen ui")
    print(f"Compare:  {there}/{COMPARE}")
    return 0
