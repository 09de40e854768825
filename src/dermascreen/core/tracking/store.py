"""Where runs and models are kept."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock

from dermascreen.core.errors import StoreError

if TYPE_CHECKING:
    from mlflow import MlflowClient
from dermascreen.core.tracking.address import ARTIFACTS, database_file, store_uri
from dermascreen.core.tracking.failures import answering, masked
from dermascreen.core.tracking.relocation import is_there, local_path, move_in

DEFAULT_ARTIFACTS = "_MLFLOW_SERVER_ARTIFACT_ROOT"  # the variable from which MLflow takes the location of artifacts

LOCK_TIMEOUT = 60.0  # seconds to wait while other processes create the store

# By default MLflow waits ten minutes for an absent server, sends telemetry, and asks a server for signed addresses in
# the store of its files, which perhaps nobody else can reach, and whose logs then hold the name of its key.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # we report a failure, once
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # a server's address may hold a password
}


class Store(NamedTuple):
    """Where runs and registered models are kept."""

    client: "MlflowClient"
    uri: str
    experiment_id: str  # empty if no experiment was asked for


def open_store(root: Path, experiment: str | None) -> Store:
    """The store of the project at `root`; it and its `experiment` are created if necessary."""
    uri, client_class = store_uri(root), import_mlflow()
    made_elsewhere = uri.startswith("http") and experiment is None  # and may be queried from any folder
    # MLflow creates a store without a lock; a store outside the project may be shared with another project.
    lock = f"{database_file(uri) or root / 'mlflow.db'}.lock"
    with nullcontext() if made_elsewhere else FileLock(lock, timeout=LOCK_TIMEOUT):
        move_in(root)
        # For the experiment that MLflow creates itself, with SQL that fails for some characters of a plain path.
        with _environment({DEFAULT_ARTIFACTS: (root / ARTIFACTS).as_uri()}):
            client = client_class(uri, uri)
        return Store(client, uri, _experiment(client, experiment, uri, root) if experiment else "")


def shown_place(uri: str) -> str:
    """The address of a store or of artifacts to show in a sentence: a path, or an address without credentials."""
    return str(local_path(uri)) if uri.startswith("file:/") else masked(uri)


@contextmanager
def chosen(store: Store) -> Iterator[None]:
    """Make `store` the one that MLflow's functions use: several of them look models up there, ignoring their arguments.

    The environment is restored: MLflow writes the address into it, where `store_uri` of another project would find it,
    and continues the run that it names.
    """
    import mlflow  # noqa: PLC0415 - slow to import

    with _environment({"MLFLOW_TRACKING_URI": None, "MLFLOW_RUN_ID": None}):
        mlflow.set_tracking_uri(store.uri)
        mlflow.set_registry_uri(store.uri)
        yield


@contextmanager
def _environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables, None for absent, and restore them afterwards."""
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
    """A lock between the processes of this machine on this store, if it is a file."""
    file = database_file(store.uri)
    lock = FileLock(f"{file}.registry.lock", timeout=LOCK_TIMEOUT) if file is not None else nullcontext()
    with ExitStack() as held:
        with answering(store.uri, so):
            held.enter_context(lock)
        yield


def import_mlflow() -> "type[MlflowClient]":
    """Import MLflow, which takes seconds, after its settings were made; return the class of its client."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # noqa: PLC0415
    from mlflow.store.db import utils  # noqa: PLC0415

    # MLflow reads the variable at its first import, which may have been elsewhere.
    logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line for each retry
    utils.MAX_RETRY_COUNT = 2  # of 10: 100 seconds for a file that is not a database; there is no setting for it
    return MlflowClient


def _experiment(client: "MlflowClient", name: str, uri: str, root: Path) -> str:
    """The id of an experiment, which is created or restored if necessary."""
    found = client.get_experiment_by_name(name)
    if found is None:
        # The default is relative to the current folder, permanently; only a server has a better one.
        if uri.startswith(("http", "databricks", "uc")):
            return client.create_experiment(name)
        (root / ARTIFACTS).mkdir(exist_ok=True)  # so a missing one has been moved
        return client.create_experiment(name, (root / ARTIFACTS).as_uri())
    kept = local_path(found.artifact_location)
    if uri.startswith("sqlite") and kept.name == ARTIFACTS and kept != root / ARTIFACTS and not is_there(kept):
        raise StoreError(  # MLflow would create it again, where nobody looks for it
            f"MLflow at {masked(uri)} keeps the files of experiment {name} in {kept}, which is not there; put that "
            "folder back, or give tracking.experiment in params.yaml another name."
        )
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id
