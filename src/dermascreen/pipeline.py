"""What every stage shares: where the hand-overs lie, the parameters, a tracked run, and how a failure ends."""

import hashlib
import os
import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dermascreen.errors import MissingInputError, reported
from dermascreen.files import fingerprint, write_json
from dermascreen.given import require_private, require_whole_copy
from dermascreen.params import Params, read_params
from dermascreen.tracking import Run, tracked_run

RAW = Path("data/raw")
MANIFEST = Path("data/manifest.csv")  # path, label, source_split, width, height, sha256
LESIONS = Path("data/lesions.csv")  # path, lesion
LESION_PAIRS = Path("data/lesion_pairs.csv")  # path_a, path_b, method, score, inliers
SPLITS = Path("data/splits.csv")  # path, label, lesion, split
PROCESSED = Path("data/processed")  # images.npy (uint8, N x H x W x 3) and index.csv (path), row by row
WEIGHTS = Path("models/weights.safetensors")
MODEL = Path("models/model.json")
CALIBRATION = Path("models/calibration.json")  # temperature, and whether it is of logits by TTA
PROBABILITY_INTERVALS = Path("models/probability_intervals.csv")  # logit, low, high
REFERENCE = Path("models/reference")  # features.safetensors and images.csv (path, label) of train; limit.json
OPERATING_POINTS = Path("models/operating_points.json")
SWEEP = Path("models/sweep.csv")  # threshold, and what it makes of test: tn, fp, fn, tp
EXPLANATION = Path("models/explanation.json")  # the layer of the maps, and which checks of them failed
MODEL_CARD = Path("models/MODEL_CARD.md")
PREDICTIONS = Path("reports/predictions.csv")  # path, split, label, lesion, logit; probability, calibrated_probability
# and what val says of it, probability_low and probability_high
SHORTCUTS = Path("reports/shortcuts.csv")  # path, label, lesion; scores of network, baselines and interventions
AUDIT_PAGE = Path("reports/audit.html")
PLOTS = Path("reports/plots")  # one folder a stage, drawn by `dvc plots`
EXPLAIN = Path("reports/explain")  # pictures.csv and the images that it names
REPORT = Path("reports/report.html")
METRICS = Path("metrics")  # one JSON file a stage

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")  # set by torchrun, Lightning and Slurm

CACHE = Path(".dermascreen")  # what may be lost: partial downloads and checkpoints; beside dvc.yaml, never tracked


@dataclass(frozen=True)
class Stage:
    """A stage while it runs: its name, the whole of its parameters, the md5 of what it reads, and its MLflow run."""

    name: str
    params: Params
    inputs: Mapping[str, str]
    tracking: Run

    leads: bool  # False in all but the first process of a distributed job: they write nothing and are not tracked

    def fingerprint(self, *sections: str) -> str:
        """A name for these parameter sections and the content that the stage reads; another value, another name."""
        return fingerprint([self.params.model_dump(include=set(sections)), self.inputs])

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write metrics/<stage>.json and log every number in it under its dotted name, such as `test.roc_auc`."""
        write_json(metrics, METRICS / f"{self.name}.json")
        self.tracking.log_metrics(flatten(metrics))


def project_root() -> Path:
    """The folder that keeps caches and the MLflow store: DVC's root, also from inside a temporary experiment copy."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


@contextmanager
def stage(name: str) -> Iterator[Stage]:
    """Run a stage's body with parameters and an MLflow run; a user's mistake ends in one sentence and exit code 1."""
    signal.signal(signal.SIGTERM, _exit_on_sigterm)  # so that temporary files go and MLflow hears of the end
    with reported(name):
        params = read_params()
        reads, writes = hand_overs(name)
        given = {params.data.archive: "data.archive", params.evaluate.external: "evaluate.external"}  # by no stage
        for path in set(reads) & given.keys():
            require_private(given[path], Path(path))
            if given[path] != "data.archive" or params.data.source == "archive":  # else nothing reads it
                require_whole_copy(given[path], Path(path), project_root())
        missing = [path for path in reads if not Path(path).exists()]
        for path in missing:
            if path not in given:  # what is wrong with those, their readers say
                raise MissingInputError(Path(path))
        inputs = {path: content_md5(path) for path in reads if path not in missing}
        if not leads():
            yield Stage(name, params, inputs, Run(name, params), leads=False)
            return
        with tracked_run(name, params, project_root(), inputs) as run:
            yield Stage(name, params, inputs, run, leads=True)
            run.log_outputs({path: content_md5(path) for path in writes})


def leads() -> bool:
    """Whether this process is the only or the first one of a job of several."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def _exit_on_sigterm(signum: int, _frame: object) -> None:
    raise SystemExit(128 + signum)


def hand_overs(name: str, pipeline: Path = Path("dvc.yaml")) -> tuple[list[str], list[str]]:
    """The data files that stage `name` reads and writes, as dvc.yaml lists them; code is known by its Git revision."""
    definition = yaml.safe_load(pipeline.read_text(encoding="utf-8"))["stages"][name]
    outputs = [*definition.get("outs", []), *definition.get("metrics", [])]
    writes = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in outputs]
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    reads = [_interpolate(path, params) for path in definition.get("deps", [])]
    return [path for path in reads if not path.startswith(("src/", "stages/"))], writes


def _interpolate(text: str, params: Mapping[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        found: Any = params
        for key in match[1].split("."):
            found = found[key]
        return str(found)

    return re.sub(r"\$\{([\w.]+)\}", value, text)


def content_md5(path: str | Path) -> str:
    """The hash that dvc.lock shows: md5 of a file, or md5 of a folder's list of files with a .dir suffix."""
    path = Path(path)
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    listing = [{"md5": content_md5(files[relpath]), "relpath": relpath} for relpath in sorted(files)]
    return fingerprint(listing) + ".dir"


def flatten(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Numbers of a nested mapping by dotted name; {'test': {'recall': 0.9}} gives {'test.recall': 0.9}."""
    flat: dict[str, float] = {}
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, int | float):
            flat[prefix + key] = float(value)
    return flat
