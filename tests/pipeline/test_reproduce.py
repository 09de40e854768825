"""A run from an archive is kept, and made again from the same archive, in spite of an interruption."""

import json
import os
import signal
import subprocess
import zipfile
from pathlib import Path

import yaml

from dermascreen.core.params import SyntheticParams
from dermascreen.data.sources.synthetic import photographs
from dermascreen.experiments.workspace import ROOT, clean_environment, commit, override_params

from .conftest import TINY, shell

SRC = str(ROOT / "src")
KEPT = Path("docs/results/tiny")
DATED = {"reports/report.html", "models/MODEL_CARD.md"}
TIMED = "metrics/train.json"  # seconds to one decimal place: two trainings may take equally long


def run_from_archive(project: Path, archive: Path) -> None:
    """Let the project take the photographs that it has made from an archive: the stages between need not run again."""
    with zipfile.ZipFile(archive, "w") as zipped:
        synthetic = SyntheticParams(images=TINY["data.synthetic.images"], size=TINY["data.synthetic.size"], seed=0)
        for path, content, _ in photographs(synthetic):
            zipped.writestr(path, content)
    given = {"data.source": "archive", "data.archive": str(archive), "evaluate.external": "data/external"}
    override_params(project / "params.yaml", given)
    commit(project, "From an archive")
    done = shell(project, "dvc", "repro").stdout
    assert "Stage 'train' didn't change, skipping" in done


def interrupt(command: list[str], folder: Path, line: str) -> str:
    """Run a command until it prints `line`, then press Ctrl-C; all that it printed from there on."""
    environment = clean_environment() | {"PYTHONPATH": SRC}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    ) as running:  # fmt: skip
        while line not in (printed := running.stdout.readline()):
            assert printed, f"{command} ended before it printed {line}"
        os.killpg(running.pid, signal.SIGINT)  # as the terminal does
        rest, _ = running.communicate()
    assert running.returncode == 130, rest
    return rest


def test_a_kept_run_is_made_again_to_the_bit(project, tmp_path) -> None:
    archive = tmp_path / "lesions.zip"
    run_from_archive(project, archive)
    override_params(project / "params.yaml", {"train.lr": 0.01})
    refused = shell(project, "dermascreen", "keep", str(KEPT), check=False, PYTHONPATH=SRC)
    assert refused.returncode == 1
    assert refused.stderr.endswith("dermascreen keep: Stage train is not up to date; run `dvc repro` first.\n")
    shell(project, "git", "checkout", "params.yaml")

    shell(project, "dermascreen", "keep", str(KEPT), PYTHONPATH=SRC)
    files = [file for file in (project / KEPT).rglob("*") if file.is_file()]
    assert [file for file in files if str(tmp_path) in file.read_text()] == []
    shell(project, "git", "add", str(KEPT))  # exits 1 if Git ignores anything in it
    assert len(shell(project, "git", "ls-files", str(KEPT)).stdout.split()) == len(files) == 10
    assert json.loads(shell(project, "dvc", "status", "--json").stdout) == {}

    command = ["dermascreen", "reproduce", str(project / KEPT), "--archive", "lesions.zip"]
    rest = interrupt(command, tmp_path, "Running stage 'split'")
    assert rest.endswith("dermascreen reproduce: interrupted.\n")
    done = shell(tmp_path, *command, PYTHONPATH=SRC).stdout
    assert "Stage 'audit' didn't change, skipping" in done
    assert "Running stage 'split'" in done

    stages = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    outputs = {(name, out["path"]) for name, stage in stages.items() for out in stage["outs"]}
    rows = [tuple(line.split(maxsplit=2)) for line in done.splitlines() if line.endswith(("to the bit", " differs"))]
    equal = {(stage, path) for stage, path, result in rows if result == "equal to the bit"}
    differing = {path for _, path, result in rows if result == "differs"}
    assert equal - {("train", TIMED)} == {(stage, path) for stage, path in outputs if path not in DATED | {TIMED}}
    assert differing - {TIMED} == DATED
    assert len(equal) + len(differing) == len(rows) == len(outputs)
    assert f"\n{len(equal)} of {len(outputs)} outputs are equal to the bit." in done
    assert "\nThe code and all other inputs are those of the kept run.\n" in done
    kept, here = (line.partition(": ")[2].strip() for line in done.splitlines()[-2:])
    assert kept == here
