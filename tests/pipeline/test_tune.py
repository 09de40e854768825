"""A search with the real DVC: a trial that ends is an experiment, and one that is stopped leaves only its run."""

import json
import re
import subprocess
import sys

import dvc.api
import optuna
import pytest
from mlflow import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from dermascreen.experiments.workspace import clean_environment, override_params

from .conftest import shell

LONG = 1000  # epochs of a trial that is behind and has to be stopped


def experiments(project) -> list[str]:
    return shell(project, "dvc", "exp", "list", "--names-only").stdout.split()


def left(project) -> set[str]:
    """What trials may leave: copies of the project, checkpoints, and what they printed."""
    places = (".dvc/tmp/exps/standalone/tmp*", ".dermascreen/checkpoints/*", ".dermascreen/tune/*")
    return {path.name for place in places for path in project.glob(place)}


def test_a_trial_becomes_an_experiment_and_the_winner_alone_sees_test(project) -> None:
    (project / "mlflow.db").unlink()
    done = shell(
        project, "dermascreen", "tune", "train.lr=tag(log, interval(1e-3, 3e-3))", "train.epochs=choice(1)",
        "--trials", "1", "--study", "lr",
    )  # fmt: skip
    assert re.match(r"lr-0: train.lr=0.00\d+ train.epochs=1\nlr-0: val AUC \d", done.stdout), done.stdout
    assert experiments(project) == ["lr-0"]
    auc = float(done.stdout.splitlines()[1].removeprefix("lr-0: val AUC "))
    assert json.loads(dvc.api.read("metrics/train.json", repo=str(project), rev="lr-0"))["epoch_val_auc"] == auc
    [row] = runs(project)
    assert row.data.metrics["training/best_val_roc_auc"] == pytest.approx(auc, abs=5e-5)
    assert left(project) == {"lr.log"}
    refused = shell(project, "dermascreen", "compare", "lr-0", "HEAD", check=False)
    assert (refused.returncode, refused.stderr) == (
        1,
        "dermascreen compare: lr-0 was trained and not evaluated, so its predictions are another model's; give a "
        "predictions.csv as stage evaluate writes it.\n",
    )
    stages = {run.data.tags["stage"] for run in runs(project)}
    assert stages == {"train"}
    (project / ".dermascreen/tune/lr.log").unlink()
    again = shell(project, "dermascreen", "tune", "train.lr=interval(1e-3, 1)", "--study", "lr", check=False)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("dermascreen tune: --study: lr-0 is an experiment of an earlier search called lr, ")
    command = done.stdout.strip().splitlines()[-1]
    assert command.startswith("dvc exp run --name lr-best -S train.lr=0.00")
    shell(project, "bash", "-euc", f"{command} evaluate")  # and no further, for time
    assert len(runs(project, "evaluate")) == 1
    assert {run.info.run_name.partition(":")[0] for run in runs(project, "train")} <= {"lr-0", "lr-best"}


def runs(project, stage: str | None = None):
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    experiment = client.get_experiment_by_name("dermascreen")
    return client.search_runs([experiment.experiment_id], f"tags.stage = '{stage}'" if stage else "")


def test_a_trial_that_is_behind_is_stopped_and_leaves_only_its_run(project) -> None:
    override_params(project / "params.yaml", {"train.epochs": LONG, "train.patience": LONG})
    (project / "mlflow.db").unlink()
    refused = shell(project, "dermascreen", "tune", "train.lr=interval(1e-3, 1)", check=False)
    assert refused.stderr.startswith("dermascreen tune: params.yaml has changes that are not committed")
    shell(project, "git", "commit", "--quiet", "--all", "--message", "Longer")
    place = project / "shared/trials.log"
    place.parent.mkdir()
    study = optuna.create_study(
        study_name="behind", storage=JournalStorage(JournalFileBackend(str(place))), direction="maximize"
    )
    for _ in range(5):  # as many as come before the first is stopped, and better than any can be
        study.add_trial(create_trial(value=2.0, intermediate_values=dict.fromkeys(range(LONG), 2.0)))
    before = experiments(project)
    # As in a shell's background, where Ctrl-C is ignored.
    done = subprocess.run(
        ["bash", "-c", "trap '' INT; exec \"$@\"", "-", sys.executable, "-m", "dermascreen", "tune",
         "train.weight_decay=interval(0, 0.1)", "--trials", "6", "--study", "behind", "--storage", str(place)],
        cwd=project, env=clean_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert re.search(r"^behind-5: stopped after epoch \d+$", done.stdout, re.MULTILINE), done.stdout + done.stderr
    assert study.trials[5].state == TrialState.PRUNED
    assert experiments(project) == before
    assert left(project) == set()
    shell(project, "dermascreen", "sync")
    [run] = runs(project)
    assert (run.data.tags["stage"], run.info.status) == ("train", "KILLED")
    assert run.info.run_name.startswith("behind-5: train.weight_decay=")
    assert not shell(project, "git", "status", "--porcelain").stdout
