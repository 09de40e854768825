"""The only module that knows MLflow and its environment names, and what DVC calls an experiment.

Every time a stage runs, that is one MLflow run. Tracking reports and never decides: whatever goes wrong with the store
is one line on stderr, and the stage goes on.

Runs find each other by content: tags hold the md5 of each file that a run read (`input.data/splits.csv`) and wrote
(`output.models/weights.safetensors`), as in dvc.lock. A run id in a tracked file would make an identical model look
new. The run of `train` is the row of its model: what later stages find out about these weights is nested below it, and
copied onto it, so that one row shows parameters beside results.

The registry of models decides, where tracking does not: it asks the store within `answering`, and stops at whatever is
no answer.
"""

import json
import logging
import os
import posixpath
import re
import shlex
import sqlite3
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from filelock import FileLock

from dermascreen.errors import DermascreenError, StoreError
from dermascreen.params import Params

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput
    from mlflow.entities import Run as MlflowRun

DATA_STAGES = ("download", "audit", "split", "preprocess")
RESULT_STAGES = ("reference", "evaluate", "threshold", "shortcuts", "external", "explain", "report")
DETAILS = {  # parts of the names of results that stay on the stage's own run, so that a model's row can be read
    "intervals", "low", "high", "p_value", "calibration", "screening", "source_protocol", "strata", "internal",
    "points", "checks",
}  # fmt: skip
SHAPES_A_MODEL = ("seed", "data", "audit", "split", "preprocess", "model", "train")  # the sections on a model's row
WEIGHTS = "models/weights.safetensors"  # what identifies a model

ARTIFACTS = "mlartifacts"  # beside mlflow.db: the files of runs and models
DEFAULT_ARTIFACTS = "_MLFLOW_SERVER_ARTIFACT_ROOT"  # the variable from which MLflow takes the place of artifacts
PLACES = (  # where an MLflow database writes down the places of artifacts: tables and columns
    ("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location"),
    ("model_versions", "source"), ("model_versions", "storage_location"),
)  # fmt: skip

AGAIN = "run the same command again"
OTHER_STORE = "name another store in MLFLOW_TRACKING_URI"
PROBLEMS = (  # what errors of a store say, what that means, and the way out
    ("database is locked|filelock.*Timeout", "is in use by another program", f"let that end, and {AGAIN}"),
    (
        "file is not a database|database disk image is malformed",
        "is not a database that can be read",
        f"put a whole copy in its place, or {OTHER_STORE}",
    ),
    (
        r"unable to open database file|readonly database|builtins\.PermissionError",
        "cannot be opened to read and write",
        f"see to it that you may do both there, or {OTHER_STORE}",
    ),
    ("disk is full|No space left|quota exceeded", "has no space left", f"free some, and {AGAIN}"),
    (
        "^(?:PERMISSION_DENIED|UNAUTHENTICATED|CUSTOMER_UNAUTHORIZED) |40[13] Client Error|error code 40[13]",
        "refuses",
        "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, of somebody who may",
    ),
    (
        "^ENDPOINT_NOT_FOUND |not in a valid JSON format",
        "does not answer as a server of MLflow 3 does",
        f"let MLFLOW_TRACKING_URI name one, and {AGAIN}",
    ),
    (r"(?:error code|too many) (?:5\d\d|429)", "cannot answer now", f"{AGAIN} when it can"),
    (r"builtins\.(?:ModuleNotFound|Import)Error", "needs a package that is missing", f"install it, or {OTHER_STORE}"),
    (
        r"requests\.exceptions\.",
        "cannot be reached",
        f"see that it runs and that MLFLOW_TRACKING_URI names it, and {AGAIN}",
    ),
)

LOCK_TIMEOUT = 60.0  # seconds to wait while other processes create the store
BUSY_TIMEOUT = 20.0  # seconds to wait while others write into it, as MLflow does
PATIENCE = 30.0  # seconds that a stage may lose to failing calls before it stops making them

# MLflow's own defaults wait ten minutes for an absent server, and call home.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # a failure is said once, by us
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # a server's address may hold a password
}
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
LOCAL = re.compile(r"['\"(]*(sqlite(\+\w+)?:///|file:/|models:/|/)")  # begins a name whose @ follows no credentials


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
        """Log that a table was used as `context`, such as train; `digest` identifies it, in at most 36 characters."""
        self._attempt(lambda client: client.log_inputs(self._id, [_dataset(frame, name, digest, context)]))

    def log_artifact(self, path: str | Path) -> None:
        """Copy a file or folder to the run's artifacts."""
        self._attempt(lambda client: client.log_artifact(self._id, str(path)))

    def log_figure(self, figure: "Figure", name: str) -> None:
        """Save a matplotlib figure among the run's artifacts under `name`, whose suffix gives the format."""
        self._attempt(lambda client: client.log_figure(self._id, figure, name))

    def log_outputs(self, hashes: Mapping[str, str]) -> None:
        """Tag the run with what it wrote, and bring model and results together; a stage's last call, on success."""
        self._attempt(lambda client: self._log_outputs(client, hashes))

    def open(self, root: Path, inputs: Mapping[str, str]) -> None:
        try:
            with _quiet():
                self._create(root, inputs)
        except StoreError as error:
            self._say(f"{str(error).rstrip('.')}; this run is not tracked.")
        except Exception as error:  # noqa: BLE001 - whatever MLflow, a database or a network raise, the stage goes on
            self._say(f"MLflow at {store_uri(root)} failed ({_problem(error)}); this run is not tracked.")
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
        # DVC will not evaluate the same weights again, so a model that was seen before takes its results along.
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
            with _quiet():
                log(self._client)
        except Exception as error:  # noqa: BLE001 - whatever MLflow, a database or a network raise, the stage goes on
            if not self._failed:
                self._say(f"MLflow failed ({_problem(error)}); this run is tracked in part.")
            self._failed = True
            self._patience -= time.monotonic() - began
            if self._patience < 0:
                self._client = None

    def _say(self, sentence: str) -> None:
        print(f"{self._stage}: {_masked(sentence)}", file=sys.stderr)


def store_uri(root: Path) -> str:
    """Where runs are logged: MLFLOW_TRACKING_URI, or mlflow.db at `root`; `root` is also what a relative one is from.

    `dvc exp run --temp` and `--queue` run stages in a temporary copy, which a store must outlive. Raises a StoreError
    where the path of `root` cannot stand in such an address.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if sqlite := re.fullmatch(r"(sqlite(?:\+\w+)?:///)([^/:].*)", uri):
        return _below(root, sqlite[1], sqlite[2])
    if uri.startswith("file:"):
        path = uri.removeprefix("file:")
        return uri if path.startswith("/") else (root / path).as_uri()
    if "://" in uri or uri in ("databricks", "databricks-uc", "uc"):
        return uri
    return str(root / uri)


def _below(root: Path, scheme: str, file: str) -> str:
    """The address of a SQLite file below `root`, where `file` is written as in an address already."""
    folder = str(root)
    if re.search(r"[%?]|[^ -~\w]", folder):
        from sqlalchemy import URL, make_url  # noqa: PLC0415 - slow to import, and hardly ever needed

        # MLflow makes the folder of what comes after sqlite:/// as it is written there, with its percent signs.
        scheme = "sqlite+pysqlite:///" if scheme == "sqlite:///" else scheme
        try:
            written = URL.create("sqlite", database=folder).render_as_string().removeprefix("sqlite:///")
            readable = make_url(f"{scheme}{written}").database == folder
        except UnicodeError:
            readable = False
        if not readable:
            raise StoreError(
                f"MLflow's store cannot lie in {folder!a}, which has a character that an address cannot hold; "
                "rename the folder, or set MLFLOW_TRACKING_URI."
            )
        folder = written
    return f"{scheme}{Path(folder, file)}"


def database_file(uri: str) -> Path | None:
    """The file of a SQLite store; None of another store, and of one in memory."""
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy import make_url  # noqa: PLC0415 - slow to import

    name = make_url(uri).database
    return Path(name) if name and not name.startswith((":memory:", "file:")) else None


class Store(NamedTuple):
    """Where runs and registered models are kept."""

    client: "MlflowClient"
    uri: str
    experiment_id: str  # empty if no experiment was asked for


def open_store(root: Path, experiment: str | None) -> Store:
    """The store of the project at `root`, which is made where need be, as is an `experiment`."""
    uri, client_class = store_uri(root), _client_class()
    made_elsewhere = uri.startswith("http") and experiment is None  # which may be asked from a folder of others
    # MLflow's own creation of a store is racy; one outside of the project may be another project's, too.
    lock = f"{database_file(uri) or root / 'mlflow.db'}.lock"
    with nullcontext() if made_elsewhere else FileLock(lock, timeout=LOCK_TIMEOUT):
        move_in(root)
        # Of the experiment that MLflow makes for itself, in SQL that some characters of a bare path break.
        with _environment({DEFAULT_ARTIFACTS: (root / ARTIFACTS).as_uri()}):
            client = client_class(uri, uri)
        return Store(client, uri, _experiment(client, experiment, uri, root) if experiment else "")


def move_in(root: Path) -> None:
    """Let a store in the project find its artifacts here, if the project was moved or copied here with both.

    MLflow writes down the place of everything in full. What the store of another place calls .../mlartifacts is this
    project's mlartifacts, where that is so of the files themselves; a store outside of the project is left as it is.
    """
    file = database_file(store_uri(root))
    if file is None or not file.is_file() or not file.resolve().is_relative_to(root.resolve()):
        return
    here = (root / ARTIFACTS).as_uri()
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT)) as database:
        for table, column in PLACES:
            if column not in {row[1] for row in database.execute(f"PRAGMA table_info({table})")}:
                continue
            places = database.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall()  # noqa: S608 - names of ours
            of_files = table != "experiments"
            moved = [
                (new, old) for (old,) in places if old and (new := _moved(old, here, root, file, of_files)) is not None
            ]
            if moved:
                with database:
                    database.executemany(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", moved)  # noqa: S608


def _moved(old: str, here: str, root: Path, file: Path, of_files: bool) -> str | None:
    """What a place in a store is called since the store's `file` came to `root`; None if it is the same.

    Parameters: `of_files`, whether the files of a run or model lie there, not where those of new ones will go.
    """
    found = re.fullmatch(rf"(file:///(?:.*/)?{ARTIFACTS})(/.+)?", old)
    if found is None or found[1] == here:
        return None
    there, new = _local_path(found[1]), here + (found[2] or "")
    if of_files:
        return new if _is_there(_local_path(new)) else None
    # New ones do not go there if nothing is left there, or if it is another copy's.
    other = there.parent / file.resolve().relative_to(root.resolve())
    return new if _is_there(root / ARTIFACTS) or _is_there(other) or not _is_there(there) else None


def shown_place(uri: str) -> str:
    """The address of a store or of artifacts as a sentence may show it: a path, or without credentials."""
    return str(_local_path(uri)) if uri.startswith("file:/") else _masked(uri)


def _is_there(path: Path) -> bool:
    """Whether a path exists for this user: in the home of somebody else it may not be looked at."""
    try:
        return path.exists()
    except OSError:
        return False


def _local_path(uri: str) -> Path:
    return Path(url2pathname(urlsplit(uri).path))


@contextmanager
def chosen(store: Store) -> Iterator[None]:
    """Let `store` be the one that MLflow's functions use: several look models up there, whatever store they are given.

    The environment stays the user's: MLflow would write the address into it, from where `store_uri` of another project
    would take it, and would take up the run that it names.
    """
    import mlflow  # noqa: PLC0415 - slow to import

    with _environment({"MLFLOW_TRACKING_URI": None, "MLFLOW_RUN_ID": None}):
        mlflow.set_tracking_uri(store.uri)
        mlflow.set_registry_uri(store.uri)
        yield


@contextmanager
def _environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Variables as given, None for absent, and as they were afterwards."""
    before = {name: os.environ.get(name) for name in values}
    _set_environment(values)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def alone(store: Store, so: str = "") -> Iterator[None]:
    """Wait until no other process on this machine is in here with this store, where it is a file."""
    file = database_file(store.uri)
    lock = FileLock(f"{file}.registry.lock", timeout=LOCK_TIMEOUT) if file is not None else nullcontext()
    with ExitStack() as held:
        with answering(store.uri, so):
            held.enter_context(lock)
        yield


@contextmanager
def answering(uri: str, so: str = "") -> Iterator[None]:
    """Turn whatever MLflow, a database or a network raise into a StoreError: what happened, what follows, the way out.

    Parameters: `so`, what follows of it, such as "the champion stays".
    """
    try:
        with _quiet():
            yield
    except DermascreenError:
        raise
    except Exception as error:
        happened, advice = _explained(error, uri)
        raise StoreError(
            f"MLflow at {_masked(uri)} {happened} ({_reason(error)}){f', so {so}' if so else ''}; {advice}."
        ) from error


def says_absent(error: Exception) -> bool:
    """Whether a store answers that it has no such thing.

    A model or version that does not exist is RESOURCE_DOES_NOT_EXIST to every store; NOT_FOUND is Unity Catalog's.
    """
    return getattr(error, "error_code", None) in {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}


def _explained(error: Exception, uri: str) -> tuple[str, str]:
    """What happened at a store, and the way out."""
    told = " ".join(f"{type(cause).__module__}.{type(cause).__name__}: {cause}" for cause in _causes(error))
    if version := re.search(r"found version (\w+), but|locate revision identified by '(\w+)'", told):
        if not _is_known_schema(version[1] or version[2]):
            return "was made by a newer MLflow", f"install that one, or {OTHER_STORE}"
        address = shlex.quote(uri) if uri.startswith("sqlite") else '"$MLFLOW_TRACKING_URI"'
        return "was made by an older MLflow", f"keep a copy of it, run `mlflow db upgrade {address}`, and {AGAIN}"
    told = f"{getattr(error, 'error_code', '')} {told}"
    return next(
        ((happened, advice) for pattern, happened, advice in PROBLEMS if re.search(pattern, told)),
        ("failed", f"set that right or {OTHER_STORE}, and {AGAIN}"),
    )


def _is_known_schema(version: str) -> bool:
    """Whether this MLflow has heard of the version of a database."""
    import mlflow  # noqa: PLC0415 - slow to import
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store/db_migrations"))
    try:
        return version == "None" or scripts.get_revision(version) is not None
    except CommandError:
        return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and what it came of, the first cause last."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _reason(error: Exception) -> str:
    """What the first cause that knows something says, on one line and without credentials."""
    told = [cause for cause in _causes(error) if isinstance(cause, OSError | sqlite3.Error)]
    cause = told[-1] if told else error
    text = re.split(r"\(Background on this error|Take a backup", str(cause))[0]  # what libraries advise in general
    if isinstance(cause, OSError) and cause.strerror:
        text = cause.strerror if cause.filename is None else f"{cause.strerror}: {cause.filename}"
    return textwrap.shorten(_masked(text), 240, placeholder=" ...").rstrip(".") or type(cause).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """What MLflow warns of in itself, and its libraries deprecate in each other, is not for a stage to report."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*type hint is inferred", UserWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="mlflow|sqlalchemy|alembic")
        yield


def _client_class() -> "type[MlflowClient]":
    """Import MLflow, which takes two seconds and must come after its settings."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # noqa: PLC0415
    from mlflow.store.db import utils  # noqa: PLC0415

    # MLflow reads the variable at its first import, which may have been somebody else's.
    logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line for each retry
    utils.MAX_RETRY_COUNT = 2  # of 10, which are 100 seconds for a file that is no database; there is no setting for it
    return MlflowClient


def _experiment(client: "MlflowClient", name: str, uri: str, root: Path) -> str:
    """The id of an experiment, which is made or restored where need be."""
    found = client.get_experiment_by_name(name)
    if found is None:
        # By default a place relative to the folder that this happens in, for good; only a server knows better.
        if uri.startswith(("http", "databricks", "uc")):
            return client.create_experiment(name)
        (root / ARTIFACTS).mkdir(exist_ok=True)  # so that one that is not there has been moved
        return client.create_experiment(name, (root / ARTIFACTS).as_uri())
    kept = _local_path(found.artifact_location)
    if uri.startswith("sqlite") and kept.name == ARTIFACTS and kept != root / ARTIFACTS and not _is_there(kept):
        raise StoreError(  # MLflow would make it anew, where nobody looks for it
            f"MLflow at {_masked(uri)} keeps the files of experiment {name} in {kept}, which is not there; put that "
            "folder back, or give tracking.experiment in params.yaml another name."
        )
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


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
    """Copy the main results onto a model's row, and parameters as its tags: a finished run's cannot be added to."""
    source = {f"{run.data.tags['stage']}.run_id": run.info.run_id}
    main = {name: value for name, value in run.data.metrics.items() if DETAILS.isdisjoint(name.split("."))}
    _log(client, row, metrics=main, tags=run.data.params | source)


def _model(client: "MlflowClient", experiment_id: str, inputs: Mapping[str, str]) -> str | None:
    """The md5 of the weights behind a stage's inputs; predictions lead to them through the run that made them."""
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
    """Parameters by dotted name, written as in params.yaml."""

    def flat(prefix: str, value: object) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for key, part in value.items():
                yield from flat(f"{prefix}.{key}", part)
        else:
            yield prefix, value if isinstance(value, str) else json.dumps(value)

    values = params.model_dump(include=set(sections))
    return {name: text for section in values for name, text in flat(section, values[section])}


def _names(prefix: str, hashes: Mapping[str, str]) -> dict[str, str]:
    """Paths as tags, in the characters that MLflow allows."""
    return {re.sub(r"[^\w\-. :/]", "_", prefix + posixpath.normpath(path)): md5 for path, md5 in hashes.items()}


def _provenance(stage: str) -> dict[str, str]:
    """Tags for the code: what ran, its Git revision, whether it differs from that, and DVC's experiment."""
    tags = {"mlflow.source.name": f"stages/{stage}.py", "mlflow.source.type": "LOCAL"}
    revision = _git("rev-parse", "HEAD")
    if revision is not None:
        # Parameters, data and results are on record by value; only the code is known by its revision alone.
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


def _problem(error: Exception) -> str:
    return textwrap.shorten(f"{type(error).__name__}: {_masked(str(error))}", 240, placeholder=" ...")


def _masked(text: str) -> str:
    """Text without the credentials that the environment and a store's address hold, in whatever pieces they appear."""
    password = re.search(r"://[^:]*:(\S*)@", os.environ.get("MLFLOW_TRACKING_URI", ""))
    secrets = [os.environ.get(name, "") for name in SECRETS] + (re.split("[/?#@:]", password[1]) if password else [])
    text = re.sub(
        r"\S*@", lambda word: word[0] if LOCAL.match(word[0]) else re.sub(r"(\w+://)?.*@", r"\1***@", word[0]), text
    )
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return re.sub(r"(?i)((?:password|passwd|pwd|token|secret|key|signature|sig)=)[^&\s'\"]+", r"\1***", text)
