"""That training which is killed or stopped through `dvc repro` leaves things as they should be."""

import json
import os
import signal
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from dermascreen.artifacts.results.curves import TrainingCurves
from dermascreen.experiments.workspace import clean_environment, override_params

from .conftest import shell


def test_killed_while_training_repro_goes_on_to_the_same_bits(project) -> None:
    lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]["train"]
    (project / "models/weights.safetensors").unlink()
    with subprocess.Popen(
        [sys.executable, "-m", "stages.train"],
        cwd=project,
        env=clean_environment() | {"PYTHONPATH": "src"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as training:
        while "epoch 0" not in (line := training.stdout.readline()):
            assert line, "training ended before its first epoch did"
        while not list(project.glob(".dermascreen/checkpoints/*/last.ckpt")):
            assert training.poll() is None
        training.kill()
    assert not (project / "models/weights.safetensors").exists()
    assert TrainingCurves.read(project / TrainingCurves.PATH).epoch.tolist() == [0]  # what there is can be looked at
    assert json.loads((project / "metrics/train.json").read_text())["epoch"] == 0

    done = shell(project, "dvc", "repro", "--force", "--single-item", "train")
    assert "train: was interrupted, and goes on after epoch 0\nepoch 1 " in done.stdout
    assert "\nepoch 0 " not in done.stdout
    outs = yaml.safe_load((project / "dvc.lock").read_text())["stages"]["train"]["outs"]
    timed = {"metrics/train.json"}  # holds the seconds that training took
    before, after = ([out for out in each if out["path"] not in timed] for each in (lock["outs"], outs))
    assert before == after
    assert not list(project.glob(".dermascreen/checkpoints/*"))


def test_stopped_before_the_network_is_written_none_of_other_weights_is_left(project) -> None:
    (project / "stopped.py").write_text(
        "import stages.train\n"
        "def export(*_, **named):\n"
        "    raise KeyboardInterrupt\n"
        "stages.train.export = export\n"
        "stages.train.main()\n"
    )
    stopped = shell(project, "python", "stopped.py", check=False, PYTHONPATH="src")
    assert (stopped.returncode, stopped.stderr) == (130, "train: interrupted.\n")
    assert not (project / "models/network.onnx").exists()


def runs_of_train(project) -> list[str]:
    """The status of every run of train in MLflow, the newest first."""
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("dermascreen").experiment_id
    return [run.info.status for run in client.search_runs([experiment], "tags.stage = 'train'")]


def test_ctrl_c_ends_repro_at_once_leaves_no_process_and_is_a_killed_run(project) -> None:
    override_params(project / "params.yaml", {"train.epochs": 500, "train.patience": 500})
    with subprocess.Popen(
        ["dvc", "repro", "--single-item", "train"],
        cwd=project,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as repro:
        while "epoch 0" not in (line := repro.stdout.readline()):
            assert line, "training ended before its first epoch did"
        os.killpg(repro.pid, signal.SIGINT)  # as the terminal does
        output, _ = repro.communicate(timeout=60)  # under 5 s where nothing else runs
    assert repro.returncode != 0
    assert "train: interrupted." in output
    with pytest.raises(ProcessLookupError):
        os.killpg(repro.pid, 0)
    assert runs_of_train(project)[0] == "KILLED"


def test_two_processes_make_one_run_and_one_set_of_files(project) -> None:
    before = runs_of_train(project)
    shell(project, "dvc", "repro", "--single-item", "train")
    override_params(project / "params.yaml", {"train.devices": 2})
    done = shell(project, "dvc", "repro", "--single-item", "train")
    assert done.stdout.count("epoch 0 ") == 1
    assert runs_of_train(project) == ["FINISHED", *before]
    lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]["train"]
    assert {out["path"] for out in lock["outs"]} == {
        "models/weights.safetensors", "models/model.json", "models/network.onnx", "reports/plots/train",
        "reports/details/train.json", "metrics/train.json",
    }  # fmt: skip
    assert len(pd.read_csv(project / "reports/plots/train/curves.csv")) == 2
    assert not list(project.glob(".dermascreen/checkpoints/*"))
