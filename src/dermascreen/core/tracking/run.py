"""A stage as a run in MLflow.

Each execution of a stage is one MLflow run. Tracking reports and never decides: whatever goes wrong with the store is
one line on stderr, and the stage continues.

Runs find each other by content: tags hold the md5 of each file that a run read (`input.data/splits.csv`) and wrote
(`output.models/weights.safetensors`), as in dvc.lock. A run id in a tracked file would make an identical model look
new. The run of `train` is the row of its model: the runs of later stages about these weights are nested below it, and
their results are copied onto it, so that one row shows parameters next to results.

The registry of models, unlike tracking, decides: it calls the store within `answering`, and stops at any error.
"""

import json
import os
import posixpath
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dermascreen.core.errors import StoreError
from dermascreen.core.params import Params
from dermascreen.core.tracking.address import store_uri
from dermascreen.core.tracking.failures import masked, problem_of, quiet
from dermascreen.core.tracking.store import open_store

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput
    from mlflow.entities import Run as MlflowRun

DATA_STAGES = ("download", "audit", "split", "preprocess")
RESULT_STAGES = ("reference", "evaluate", "threshold", "shortcuts", "external", "explain", "report")
SHAPES_A_MODEL = ("seed", "data", "audit", "split", "preprocess", "model", "train")  # the sections on a model's row
WEIGHTS = "models/weights.safetensors"  # what identifies a model
PATIENCE = 30.0  # seconds that a stage may spend on failing calls before it makes no more


@contextmanager
def tracked_run(stage: str, params: Params, root: Path, inputs: Mapping[str, str]) -> Iterator["Run"]:
    """Log a stage to the store of the project at `root`; the run ends FINISHED, FAILED or KILLED, as the body does."""
    run = Run(stage, params)
    status = "FAILED"
    try:
        run.open(root, inputs)
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    except SystemExit as end:
        status = "KILLED" if end.code == 143 else "FAILED"  # noqa: PLR2004 - 128 + SIGTERM
        raise
    finally:
        run.close(status)


class Run:
    """One execution of a stage in MLflow; every method is safe to call when there is no store."""

    def __init__(self, stage: str, params: Params) -> None:
        self._stage = stage
        self._experiment = params.tracking.experiment + ("-data" if stage in DATA_STAGES else "")
        own = SHAPES_A_MODEL if stage == "train" else ("data",) if stage == "download" else (stage,)
        self._params = _texts(params, own)
        self._later = {name: _texts(params, (name,)) for name in RESULT_STAGES} if stage == "train" else {}
        self._client: MlflowClient | None = None
        self._experiment_id = self._id = ""
        self._model_run: str | None = None
        self._patience = PATIENCE
        self._failed = False

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers by name; with a step, such as the epoch, they become a curve."""
        self._attempt(lambda client: _log(client, self._id, metrics=metrics, step=step))

    def log_dataset(self, frame: "pd.DataFrame", name: str, digest: str, context: str) -> None:
        """Log that a table was used as `context`, such as train; `digest`, of at most 36 characters, identifies it."""
        self._attempt(lambda client: client.log_inputs(self._id, [_dataset(frame, name, digest, context)]))

    def log_artifact(self, path: str | Path) -> None:
        """Copy a file or folder to the run's artifacts."""
        self._attempt(lambda client: client.log_artifact(self._id, str(path)))

    def log_figure(self, figure: "Figure", name: str) -> None:
        """Save a matplotlib figure among the run's artifacts under `name`, whose suffix gives the format."""
        self._attempt(lambda client: client.log_figure(self._id, figure, name))

    def log_outputs(self, hashes: Mapping[str, str]) -> None:
        """Tag the run with what it wrote, and put model and results on one row; a stage's last call, on success."""
        self._attempt(lambda client: self._log_outputs(client, hashes))

    def open(self, root: Path, inputs: Mapping[str, str]) -> None:
        try:
            with quiet():
                self._create(root, inputs)
        except StoreError as error:
            self._say(f"{str(error).rstrip('.')}; this run is not tracked.")
        except Exception as error:  # noqa: BLE001 - whatever MLflow, a database or a network raise, the stage goes on
            self._say(f"MLflow at {store_uri(root)} failed ({problem_of(error)}); this run is not tracked.")
        self._attempt(lambda client: _log(client, self._id, params=self._params))

    def _create(self, root: Path, inputs: Mapping[str, str]) -> None:
        client, _, self._experiment_id = open_store(root, self._experiment)
        tags = {"stage": self._stage, **_names("input.", inputs), **_provenance(self._stage)}
        if self._stage in RESULT_STAGES:
            tags |= self._place(client, inputs)
        name = os.environ.get("DVC_EXP_NAME") if self._stage == "train" else None
        self._id = client.create_run(self._experiment_id, tags=tags, run_name=name or self._stage).info.run_id
        self._client = client

    def close(self, status: str) -> None:
        self._attempt(lambda client: client.set_terminated(self._id, status))

    def _place(self, client: "MlflowClient", inputs: Mapping[str, str]) -> dict[str, str]:
        """Tags that name the model this stage is about, and put the run below the model's row."""
        model = _model(client, self._experiment_id, inputs)
        row = _latest(client, self._experiment_id, {"stage": "train", f"output.{WEIGHTS}": model}) if model else None
        if row is None:
            self._say("MLflow has no run that trained these weights; this run is logged on its own.")
            return {"model": model} if model else {}
        self._model_run = row.info.run_id
        return {"model": model, "mlflow.parentRunId": row.info.run_id}

    def _log_outputs(self, client: "MlflowClient", hashes: Mapping[str, str]) -> None:
        _log(client, self._id, tags=_names("output.", hashes))
        if self._model_run is not None:
            _show_on_row(client, self._model_run, client.get_run(self._id))
        # DVC does not evaluate the same weights again, so a model that was seen before gets its earlier results.
        for stage, params in self._later.items():
            same = {"stage": stage, "model": hashes.get(WEIGHTS, "")}
            runs = (run for run in _finished(client, self._experiment_id, same) if run.data.params == params)
            if found := next(runs, None):
                _show_on_row(client, self._id, found)

    def _attempt(self, log: Callable[["MlflowClient"], object]) -> None:
        if self._client is None:
            return
        began = time.monotonic()
        try:
            with quiet():
                log(self._client)
        except Exception as error:  # noqa: BLE001 - whatever MLflow, a database or a network raise, the stage goes on
            if not self._failed:
                self._say(f"MLflow failed ({problem_of(error)}); this run is tracked only in part.")
            self._failed = True
            self._patience -= time.monotonic() - began
            if self._patience < 0:
                self._client = None

    def _say(self, sentence: str) -> None:
        print(f"{self._stage}: {masked(sentence)}", file=sys.stderr)


def _log(
    client: "MlflowClient",
    run_id: str,
    *,
    metrics: Mapping[str, float] | None = None,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    step: int | None = None,
) -> None:
    from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415

    now = int(time.time() * 1000)
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, now, step or 0) for name, value in (metrics or {}).items()],
        params=[Param(name, value) for name, value in (params or {}).items()],
        tags=[RunTag(name, value) for name, value in (tags or {}).items()],
    )


def _dataset(frame: "pd.DataFrame", name: str, digest: str, context: str) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415

    profile = json.dumps({"num_rows": len(frame), "num_elements": int(frame.size)})
    dataset = Dataset(name, digest, source_type="code", source='{"tags": {}}', profile=profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


def _show_on_row(client: "MlflowClient", row: str, run: "MlflowRun") -> None:
    """Copy results onto a model's row, and parameters as its tags: a finished run's cannot be added to."""
    source = {f"{run.data.tags['stage']}.run_id": run.info.run_id}
    _log(client, row, metrics=run.data.metrics, tags=run.data.params | source)


def _model(client: "MlflowClient", experiment_id: str, inputs: Mapping[str, str]) -> str | None:
    """The md5 of the weights behind a stage's inputs; for predictions, of the weights that their run read."""
    if WEIGHTS in inputs:
        return inputs[WEIGHTS]
    for tag, md5 in _names("output.", inputs).items():
        maker = _latest(client, experiment_id, {tag: md5})
        if maker is not None and "model" in maker.data.tags:
            return str(maker.data.tags["model"])
    return None


def _latest(client: "MlflowClient", experiment_id: str, tags: Mapping[str, str]) -> "MlflowRun | None":
    return next(iter(_finished(client, experiment_id, tags)), None)


def _finished(client: "MlflowClient", experiment_id: str, tags: Mapping[str, str]) -> "list[MlflowRun]":
    """The finished runs with these tags, the latest first."""
    conditions = ["attributes.status = 'FINISHED'", *(f"tags.`{name}` = '{value}'" for name, value in tags.items())]
    return list(client.search_runs([experiment_id], " and ".join(conditions), order_by=["attributes.start_time DESC"]))


def _texts(params: Params, sections: tuple[str, ...]) -> dict[str, str]:
    """Parameters by dotted name, written as in params.yaml; those that say how to do what is not done are left out."""

    def flat(prefix: str, value: object) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for key, part in value.items():
                yield from flat(f"{prefix}.{key}", part)
        else:
            yield prefix, value if isinstance(value, str) else json.dumps(value)

    values = params.model_dump(include=set(sections))
    unused = [
        *([] if params.data.source == "table" else ["data.table."]),
        *([] if params.split.hold_out.column else ["split.hold_out."]),
    ]
    texts = {name: text for section in values for name, text in flat(section, values[section])}
    return {name: text for name, text in texts.items() if not name.startswith(tuple(unused))}


def _names(prefix: str, hashes: Mapping[str, str]) -> dict[str, str]:
    """Paths as tags, in the characters that MLflow allows."""
    return {re.sub(r"[^\w\-. :/]", "_", prefix + posixpath.normpath(path)): md5 for path, md5 in hashes.items()}


def _provenance(stage: str) -> dict[str, str]:
    """Tags for the code: what ran, its Git revision, whether it differs from that, and DVC's experiment."""
    tags = {"mlflow.source.name": f"stages/{stage}.py", "mlflow.source.type": "LOCAL"}
    revision = _git("rev-parse", "HEAD")
    if revision is not None:
        # Parameters, data and results are recorded by value; only the code is identified by its revision.
        changes = _git("status", "--porcelain", "--", "src", "stages", "dvc.yaml", "requirements.lock")
        tags |= {"mlflow.source.git.commit": revision, "mlflow.source.git.dirty": str(changes != "").lower()}
    dvc = {"dvc.exp_name": "DVC_EXP_NAME", "dvc.exp_baseline_rev": "DVC_EXP_BASELINE_REV"}
    return tags | {tag: os.environ[name] for tag, name in dvc.items() if os.environ.get(name)}


def _git(*arguments: str) -> str | None:
    try:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
