"""What the pipeline costs besides its work: each stage of the demo, and `dvc repro` when there is nothing to do.

Run `make demo` first, then `.venv/bin/python benchmarks/startup.py`.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tools"))

from demo import clean_environment  # noqa: E402 - tools is no package
from mlflow import MlflowClient  # noqa: E402

FOLDER = ROOT / ".demo"
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]  # in the order they run
REPEATS = 7


def seconds(*command: str) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=FOLDER, env=clean_environment(), check=True, capture_output=True)
    return time.perf_counter() - start


def epochs_seconds() -> float:
    """The time of all epochs of the newest model: the mean gap between epochs, for each epoch."""
    client = MlflowClient(f"sqlite:///{FOLDER / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("dermascreen").experiment_id
    newest = client.search_runs([experiment], "tags.stage = 'train'", max_results=1)[0]
    stamps = [point.timestamp / 1000 for point in client.get_metric_history(newest.info.run_id, "val_roc_auc")]
    return (stamps[-1] - stamps[0]) / (len(stamps) - 1) * len(stamps)


def main() -> None:
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    outside = 0.0
    for stage in STAGES:
        wall = seconds("dvc", "repro", "--force", "--single-item", stage)
        work = epochs_seconds() if stage == "train" else 0.0
        outside += wall - work
        print(f"{stage:10} {wall:6.1f} s" + (f", of it {work:.1f} s of epochs" if work else ""))
    print(f"all stages outside of training: {outside:.1f} s (prediction and maps included; allowed: 60 s without them)")

    nothing = statistics.median(seconds("dvc", "repro") for _ in range(REPEATS))
    status = statistics.median(seconds("dvc", "status") for _ in range(REPEATS))
    ratio = nothing / status
    print(f"nothing to do: dvc repro {nothing:.2f} s, dvc status {status:.2f} s, ratio {ratio:.2f} (allowed: 1.5)")


if __name__ == "__main__":
    main()
