"""The address of a project's MLflow store, and who logs there."""

import getpass
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dermascreen.core.errors import StoreError

ARTIFACTS = "mlartifacts"  # next to mlflow.db: the files of runs and models


def store_uri(root: Path) -> str:
    """Where runs are logged: MLFLOW_TRACKING_URI, perhaps relative to `root`, or its mlflow.db.

    `dvc exp run --temp` and `--queue` run stages in a temporary copy, which the store must outlive. Raises StoreError
    if the path of `root` cannot be written as such an address.
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


def user() -> str:
    """Who logs: the account at a server, else this machine's user, as MLflow's own functions would say."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    try:
        in_address = urlsplit(address).username if address.startswith("http") else None
    except ValueError:  # no address, as the one who sends will report
        in_address = None
    if account := os.environ.get("MLFLOW_TRACKING_USERNAME") or unquote(in_address or ""):
        return account
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):  # a container's user may have no name
        return "unknown"


def _below(root: Path, scheme: str, file: str) -> str:
    """The address of a SQLite file below `root`; `file` is already encoded as in an address."""
    folder = str(root)
    if re.search(r"[%?]|[^ -~\w]", folder):
        from sqlalchemy import URL, make_url  # noqa: PLC0415 - slow to import, and hardly ever needed

        # After sqlite:///, MLflow creates the folder literally as written, percent signs included.
        scheme = "sqlite+pysqlite:///" if scheme == "sqlite:///" else scheme
        try:
            written = URL.create("sqlite", database=folder).render_as_string().removeprefix("sqlite:///")
            readable = make_url(f"{scheme}{written}").database == folder
        except UnicodeError:
            readable = False
        if not readable:
            raise StoreError(
                f"MLflow's store cannot be in {folder!a}, which has a character that an address cannot hold; "
                "rename the folder, or set MLFLOW_TRACKING_URI."
            )
        folder = written
    return f"{scheme}{Path(folder, file)}"


def database_file(uri: str) -> Path | None:
    """The file of a SQLite store; None for another kind of store, and for one in memory."""
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy import make_url  # noqa: PLC0415 - slow to import

    name = make_url(uri).database
    return Path(name) if name and not name.startswith((":memory:", "file:")) else None
