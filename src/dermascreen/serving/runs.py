"""MLflow's page of a project's runs, opened where its models are compared."""

import os
import socket
import sqlite3
import sys
import time
import webbrowser
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from dermascreen.core.errors import InputError, ParamsError
from dermascreen.core.params import read_params
from dermascreen.core.tracking.address import database_file, store_uri
from dermascreen.core.tracking.failures import answering
from dermascreen.core.tracking.page import runs_address
from dermascreen.core.tracking.relocation import move_in
from dermascreen.serving.address import page_at, require_free

START = 60.0  # seconds that MLflow's server may take to start
STEP = 0.2  # seconds between attempts to reach it


def serve_runs(root: Path, host: str, port: int) -> NoReturn:
    """Become MLflow's server of the store of the project at `root`, and print and open the address of its models."""
    uri = store_uri(root)
    if uri.startswith("http"):
        raise InputError("MLFLOW_TRACKING_URI names a server, which shows its runs itself; open that in a browser.")
    if uri.startswith("databricks") or uri == "uc":
        raise InputError(
            f"MLFLOW_TRACKING_URI is {uri}, whose workspace shows its runs itself; open that in a browser."
        )
    require_free(host, port)
    if (file := database_file(uri)) is not None and not file.exists() and not (root / "dvc.yaml").is_file():
        raise InputError(f"{root} has neither dvc.yaml nor runs; run the command in the folder of a project.")
    with answering(uri):
        move_in(root)
        address = _address(root, uri, page_at(host, port))
    print(f"MLflow is starting; in some seconds, open {address} in a browser; Ctrl-C ends.", flush=True)
    if _has_screen() and os.fork() == 0:
        _open(address, host, port)
    # In the environment, because an address may hold a password, which a command line would show to everyone.
    command = [sys.executable, "-m", "mlflow", "ui", "--host", host, "--port", str(port)]
    environment = {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    os.execve(sys.executable, command, os.environ | environment)  # noqa: S606


def _address(root: Path, uri: str, server: str) -> str:
    """Where `server` shows the models; the server itself where no model was trained yet, or that cannot be read."""
    file = database_file(uri)
    try:
        experiment = read_params(root / "params.yaml").tracking.experiment
    except ParamsError:
        return server
    if file is None or not file.is_file():
        return server
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
        [*tables] = database.execute("SELECT name FROM sqlite_master WHERE name = 'experiments'")
        select = "SELECT experiment_id FROM experiments WHERE name = ?"
        found = database.execute(select, (experiment,)).fetchone() if tables else None
    return runs_address(server, str(found[0])) if found else server


def _has_screen() -> bool:
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open(address: str, host: str, port: int) -> NoReturn:
    """Open a browser as soon as the server answers, and end."""
    end = time.monotonic() + START
    while time.monotonic() < end:
        try:
            socket.create_connection((host, port), timeout=STEP).close()
        except OSError:
            time.sleep(STEP)
        else:
            webbrowser.open(address)
            break
    os._exit(0)
