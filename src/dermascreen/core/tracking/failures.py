"""Errors of MLflow, a database or a network as one sentence: what happened, what follows, and what to do."""

import os
import re
import shlex
import sqlite3
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dermascreen.core.errors import DermascreenError, StoreError

AGAIN = "run the same command again"
REFUSES = "refuses"
OTHER_STORE = "name another store in MLFLOW_TRACKING_URI"
PROBLEMS = (  # what errors of a store say, what that means, and what to do
    ("database is locked|filelock.*Timeout", "is in use by another program", f"wait for that to end, and {AGAIN}"),
    (
        "file is not a database|database disk image is malformed",
        "is not a database that can be read",
        f"put a complete copy in its place, or {OTHER_STORE}",
    ),
    (
        r"unable to open database file|readonly database|builtins\.PermissionError",
        "cannot be opened to read and write",
        f"make sure that you have permission for both, or {OTHER_STORE}",
    ),
    ("disk is full|No space left|quota exceeded", "has no space left", f"free some, and {AGAIN}"),
    (
        "Invalid Host header",
        "does not answer to that name",
        f"set MLFLOW_TRACKING_URI to a name that its --allowed-hosts lists, and {AGAIN}",
    ),
    (
        "^(?:PERMISSION_DENIED|UNAUTHENTICATED|CUSTOMER_UNAUTHORIZED) |40[13] Client Error|error code 40[13]",
        REFUSES,
        "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, of a user who has access",
    ),
    (
        "^ENDPOINT_NOT_FOUND |not in a valid JSON format",
        "does not answer like an MLflow 3 server",
        f"set MLFLOW_TRACKING_URI to one, and {AGAIN}",
    ),
    (
        "filesystem tracking backend",
        "is a folder of files, to which MLflow no longer logs",
        "name a server or a database in MLFLOW_TRACKING_URI, such as sqlite:///mlflow.db",
    ),
    (
        "(?i)unsupported(?: \\w+)* URI",
        "is not an address that MLflow knows",
        "name a server or a database in MLFLOW_TRACKING_URI, such as http://localhost:5000 or sqlite:///mlflow.db",
    ),
    (r"(?:error code|too many) (?:5\d\d|429)", "cannot answer now", f"{AGAIN} later"),
    (r"builtins\.(?:ModuleNotFound|Import)Error", "needs a package that is missing", f"install it, or {OTHER_STORE}"),
    (
        r"requests\.exceptions\.",
        "cannot be reached",
        f"check that it is running and that MLFLOW_TRACKING_URI is its address, and {AGAIN}",
    ),
)
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
LOCAL = re.compile(r"['\"(]*(sqlite(\+\w+)?:///|file:/|models:/|/)")  # an @ after this ends no credentials


@contextmanager
def answering(uri: str, so: str = "", again: str = AGAIN, refused: str = "") -> Iterator[None]:
    """Turn any error of MLflow, a database or a network into a StoreError: what happened, what follows, what to do.

    Parameters: `so`, the consequence, such as "the champion stays"; `again`, how to try once more; `refused`, the
    consequence of a refusal, where that tells more.
    """
    try:
        with quiet():
            yield
    except DermascreenError:
        raise
    except Exception as error:
        happened, advice = _explained(error, uri)
        so = refused if refused and happened == REFUSES else so
        raise StoreError(
            f"MLflow at {masked(uri)} {happened} ({_reason(error)}){f', so {so}' if so else ''}; "
            f"{advice.replace(AGAIN, again)}."
        ) from error


def says_absent(error: Exception) -> bool:
    """Whether a store answers that it has no such thing.

    A model or version that does not exist is RESOURCE_DOES_NOT_EXIST to every store; NOT_FOUND is Unity Catalog's.
    """
    return getattr(error, "error_code", None) in {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}


def is_refusal(error: Exception) -> bool:
    """Whether a store answers that it will never take this, rather than that it cannot take anything now."""
    return getattr(error, "error_code", None) in {
        "INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE",
    }  # fmt: skip


def _explained(error: Exception, uri: str) -> tuple[str, str]:
    """What happened at a store, and what to do."""
    told = " ".join(f"{type(cause).__module__}.{type(cause).__name__}: {cause}" for cause in _causes(error))
    if version := re.search(r"found version (\w+), but|locate revision identified by '(\w+)'", told):
        if not _is_known_schema(version[1] or version[2]):
            return "was made by a newer MLflow", f"install that version, or {OTHER_STORE}"
        address = shlex.quote(uri) if uri.startswith("sqlite") else '"$MLFLOW_TRACKING_URI"'
        return "was made by an older MLflow", f"keep a copy of it, run `mlflow db upgrade {address}`, and {AGAIN}"
    told = f"{getattr(error, 'error_code', '')} {told}"
    return next(
        ((happened, advice) for pattern, happened, advice in PROBLEMS if re.search(pattern, told)),
        ("failed", f"correct that or {OTHER_STORE}, and {AGAIN}"),
    )


def _is_known_schema(version: str) -> bool:
    """Whether this MLflow knows the version of a database."""
    import mlflow  # noqa: PLC0415 - slow to import
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store/db_migrations"))
    try:
        return version == "None" or scripts.get_revision(version) is not None
    except CommandError:
        return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and its causes, the first cause last."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _reason(error: Exception) -> str:
    """The message of the most informative first cause, on one line and without credentials."""
    told = [cause for cause in _causes(error) if isinstance(cause, OSError | sqlite3.Error)]
    cause = told[-1] if told else error
    text = re.split(r"\(Background on this error|Take a backup", str(cause))[0]  # general advice of libraries
    if isinstance(cause, OSError) and cause.strerror:
        text = cause.strerror if cause.filename is None else f"{cause.strerror}: {cause.filename}"
    return textwrap.shorten(masked(text).strip().rstrip("."), 240, placeholder=" ...") or type(cause).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """Drop warnings of MLflow about itself, and deprecations among its libraries: a stage does not report these."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*type hint is inferred", UserWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="mlflow|sqlalchemy|alembic")
        yield


def problem_of(error: Exception) -> str:
    return textwrap.shorten(f"{type(error).__name__}: {masked(str(error))}", 240, placeholder=" ...")


def masked(text: str) -> str:
    """Text without the credentials in the environment and in a store's address, even if they appear in pieces."""
    password = re.search(r"://[^:]*:(\S*)@", os.environ.get("MLFLOW_TRACKING_URI", ""))
    secrets = [os.environ.get(name, "") for name in SECRETS] + (re.split("[/?#@:]", password[1]) if password else [])
    text = re.sub(
        r"\S*@", lambda word: word[0] if LOCAL.match(word[0]) else re.sub(r"(\w+://)?.*@", r"\1***@", word[0]), text
    )
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return re.sub(r"(?i)((?:password|passwd|pwd|token|secret|key|signature|sig)=)[^&\s'\"]+", r"\1***", text)
