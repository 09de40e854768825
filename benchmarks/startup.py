"""What the pipeline costs besides its work: each stage of the demo, and `dvc repro` when there is nothing to do.

Run `make demo` first, then `.venv/bin/python benchmarks/startup.py`. A stage lasts from the line in which DVC says that
it begins to the next such line: in it are its process, its imports, and what DVC does with its outputs.
"""

import os
import re
import statistics
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from mlflow import MlflowClient

from dermascreen.experiments.workspace import clean_environment

FOLDER = Path(__file__).resolve().parents[1] / ".demo"
STORE = f"sqlite:///{FOLDER / 'mlflow.db'}"
BEGINS = re.compile(r"Running stage '(\w+)'")
REPEATS = 7


def seconds(*command: str) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=FOLDER, env=clean_environment(), check=True, capture_output=True)
    return time.perf_counter() - start


def begins() -> Iterator[tuple[str, float]]:
    """Every stage and when it began, in seconds; first DVC's own start, last the end of all."""
    yield "until the first stage", time.perf_counter()
    command = ["dvc", "repro", "--force"]
    with subprocess.Popen(command, cwd=FOLDER, env=clean_environment(), stdout=subprocess.PIPE, text=True) as repro:
        for line in repro.stdout or ():
            if found := BEGINS.match(line):
                yield found[1], time.perf_counter()
    if repro.returncode:
        raise SystemExit(f"{' '.join(command)} in {FOLDER} failed.")
    yield "end", time.perf_counter()


def epochs_seconds() -> float:
    """The time of all epochs of the newest model: the mean gap between epochs, for each epoch."""
    client = MlflowClient(STORE)
    experiment = client.get_experiment_by_name("dermascreen")
    if experiment is None:
        raise SystemExit(f"{STORE} holds no runs of the demo.")
    newest = client.search_runs([experiment.experiment_id], "tags.stage = 'train'", max_results=1)[0]
    history = client.get_metric_history(newest.info.run_id, "training/val_roc_auc")
    stamps = sorted(point.timestamp / 1000 for point in history)
    return (stamps[-1] - stamps[0]) / (len(stamps) - 1) * len(stamps)


def main() -> None:
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    stages = list(begins())
    subprocess.run(["dermascreen", "sync"], cwd=FOLDER, env=clean_environment(), check=True, capture_output=True)
    epochs = epochs_seconds()
    for (name, began), (_, ended) in pairwise(stages):
        print(f"{name:21} {ended - began:6.1f} s" + (f", of it {epochs:.1f} s of epochs" if name == "train" else ""))
    whole = stages[-1][1] - stages[0][1]
    print(f"all {whole:.1f} s, without the epochs {whole - epochs:.1f} s (predictions, baselines and maps included)")

    nothing = statistics.median(seconds("dvc", "repro") for _ in range(REPEATS))
    status = statistics.median(seconds("dvc", "status") for _ in range(REPEATS))
    ratio = nothing / status
    print(f"nothing to do: dvc repro {nothing:.2f} s, dvc status {status:.2f} s, ratio {ratio:.2f} (allowed: 1.5)")


if __name__ == "__main__":
    main()
