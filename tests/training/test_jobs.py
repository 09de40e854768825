"""Trainings in processes of their own: killed at any moment, short of disk, or several at once."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from warmth import warm_environment

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests/helpers/small_training.py"
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", "WORLD_SIZE")
EPOCHS = 8


def start(folder: Path, changes: dict[str, object], program: str = "python", **options) -> subprocess.Popen[str]:
    environment = {name: value for name, value in warm_environment().items() if name not in RANKS}
    return subprocess.Popen(
        [program, str(SCRIPT), str(folder), json.dumps(changes)],
        env=environment | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"} | options.pop("variables", {}),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def finish(job: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = job.communicate()
    return job.returncode, errors


def result(folder: Path) -> dict[str, object]:
    return torch.load(folder / "result.pt", weights_only=True)


def same(first: dict[str, object], second: dict[str, object]) -> bool:
    pairs = zip(first["state"].values(), second["state"].values(), strict=True)
    return first["history"] == second["history"] and all(torch.equal(one, other) for one, other in pairs)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("whole")
    code, errors = finish(start(folder, {"epochs": EPOCHS, "ema": 0.9}))
    assert code == 0, errors
    return result(folder)


def test_killed_at_random_steps_it_ends_with_the_same_bits(tmp_path: Path, whole: dict[str, object]) -> None:
    steps = random.Random(int(os.environ.get("PYTEST_KILL_SEED", "7")))  # noqa: S311
    for how in ("SIGKILL", "SIGTERM", "SIGKILL"):
        ends = {"KILLED_STEP": str(steps.randint(9, 2 * 8)), "SIGNAL": how}  # in the epoch after the first it finishes
        code, errors = finish(start(tmp_path, {"epochs": EPOCHS, "ema": 0.9}, variables=ends))
        assert code == (-signal.SIGKILL if how == "SIGKILL" else 128 + signal.SIGTERM), errors
    code, errors = finish(start(tmp_path, {"epochs": EPOCHS, "ema": 0.9}))
    assert code == 0, errors
    assert same(result(tmp_path), whole)
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_disk_that_fills_up_stops_it_and_loses_nothing(tmp_path: Path, whole: dict[str, object]) -> None:
    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))

    code, errors = finish(start(tmp_path, {"epochs": EPOCHS, "ema": 0.9}, sys.executable, preexec_fn=fill))
    assert code == 1
    assert "last.ckpt cannot be read or written (File too large)." in errors or "best.ckpt cannot be" in errors
    assert "Traceback" not in errors
    code, errors = finish(start(tmp_path, {"epochs": EPOCHS, "ema": 0.9}))
    assert code == 0, errors
    assert same(result(tmp_path), whole)


def test_ctrl_c_ends_it_at_once_with_one_word(tmp_path: Path) -> None:
    code, errors = finish(start(tmp_path, {"epochs": 50}, variables={"KILLED_STEP": "12", "SIGNAL": "SIGINT"}))
    assert code == 130
    assert errors.strip().splitlines()[-1] == "train: interrupted."
    assert "Traceback" not in errors


def test_two_processes_find_what_one_finds(tmp_path: Path) -> None:
    changes = {"epochs": 6, "batch_size": 10, "patience": 6}
    for devices in (1, 2):
        job = start(tmp_path / str(devices), changes | {"devices": devices}, variables={"STILL": "1"})
        code, errors = finish(job)
        assert code == 0, errors
    alone, shared = result(tmp_path / "1"), result(tmp_path / "2")
    assert [row["epoch"] for row in shared["history"]] == list(range(6))
    # Batches, draws and gradients are those of one process; sums of halves are rounded otherwise than whole ones.
    for one, two in zip(alone["history"], shared["history"], strict=True):
        assert two == pytest.approx(one, rel=1e-4)
    assert sorted(path.name for path in (tmp_path / "2").iterdir()) == ["best.ckpt", "last.ckpt", "result.pt"]


def test_a_lost_process_ends_the_others_with_one_sentence_and_the_job_goes_on(tmp_path: Path) -> None:
    changes = {"epochs": 4, "batch_size": 10, "devices": 2}
    job = start(tmp_path, changes, variables={"KILLED_RANK": "1"})
    code, errors = finish(job)
    assert code == 1
    assert errors.count("train: Another process of this training has ended; run the same command to continue") == 1
    assert "Traceback" not in errors
    code, errors = finish(start(tmp_path, changes))
    assert code == 0, errors
    assert [row["epoch"] for row in result(tmp_path)["history"]] == list(range(4))


def test_torchrun_starts_it_as_it_is(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(SCRIPT)]
    environment = {name: value for name, value in os.environ.items() if name not in RANKS}
    done = subprocess.run(
        [*command, str(tmp_path), json.dumps({"epochs": 2, "batch_size": 10, "devices": 2})],
        env=environment | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if "val_roc_auc" in line]) == 2  # a row for each epoch, once
    assert len(result(tmp_path)["history"]) == 2
