"""The files of a registered model."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from dermascreen.core.errors import (
    BadTableError,
    InputError,
    MissingInputError,
    ModelError,
)
from dermascreen.core.tracking.address import database_file, store_uri
from dermascreen.core.tracking.failures import answering, says_absent
from dermascreen.core.tracking.store import Store, chosen, open_store, shown_place

NAME = "dermascreen"  # of the registered model
CHAMPION = "champion"

NO_ALIAS = "INVALID_PARAMETER_VALUE"  # the error of MLflow's stores for an alias that a model does not have
WHOLE = "a model is all that the pipeline leaves in its folder models, so copy that as a whole"
LOST = (
    "put them back there, or give another version the alias with `dermascreen rollback --to VERSION`, or remove it on "
    "MLflow's page"
)


@contextmanager
def located(model: str) -> Iterator[Path]:
    """The bundle of a model: a folder, or what the registry holds under models:/NAME@ALIAS or models:/NAME/VERSION.

    If the files of a registered version are missing or broken, the error says so.
    """
    if not model.startswith("models:/"):
        folder = Path(model)
        if folder.is_file():
            raise InputError(f"--model: {folder} is a file; name the folder that holds a model's files.")
        if not folder.is_dir():
            raise MissingInputError(folder)
        try:
            yield folder
        except MissingInputError as error:
            raise MissingInputError(error.path, WHOLE) from None
        return
    store = existing_store(Path.cwd())
    with chosen(store):
        name, version = _named(store, model)
        with files_of(store, name, version) as files:
            try:
                yield files / "artifacts/bundle"
            except (MissingInputError, BadTableError) as error:
                broken = error.path.relative_to(files) if error.path.is_relative_to(files) else error.path
                raise ModelError(
                    f"version {version} of {name} cannot be used: its {broken} {error.problem}; {LOST}."
                ) from None


def _named(store: Store, model: str) -> tuple[str, str]:
    """The registered model's name, and the version that is asked for."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - MLflow is slow to import

    asked = re.fullmatch(r"models:/+([^/@]+)(?:@([^/@]+)|/(\d+))", model)
    if asked is None:
        raise ModelError(f"{model} is not a name such as models:/{NAME}@{CHAMPION} or models:/{NAME}/1.")
    name, alias, version = asked.groups()
    with answering(store.uri):
        try:
            if alias is not None:
                return name, str(store.client.get_model_version_by_alias(name, alias).version)
            return name, str(store.client.get_model_version(name, version).version)
        except MlflowException as error:
            if not (says_absent(error) or error.error_code == NO_ALIAS):
                raise
            said = error.message.partition("\n")[0].rstrip(".")
            raise ModelError(f"{model} is not in the registry at {shown_place(store.uri)} ({said}).") from None


@contextmanager
def files_of(store: Store, name: str, version: str, so: str = "") -> Iterator[Path]:
    """A copy of the files of a registered version; raises ModelError if the store has none."""
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415 - MLflow is slow to import

    model = f"models:/{name}/{version}"
    with TemporaryDirectory() as folder:
        with answering(store.uri, so):
            place = store.client.get_model_version_download_uri(name, version)
            found = Path(download_artifacts(model, dst_path=folder, tracking_uri=store.uri, registry_uri=store.uri))
        if not (found / "MLmodel").is_file():  # for a missing folder, MLflow copies nothing and says nothing
            raise ModelError(
                f"the files of version {version} of {name} are not in {shown_place(place)}, where they were put"
                f"{f', so {so}' if so else ''}; {LOST}."
            )
        yield found


def existing_store(project: Path, so: str = "") -> Store:
    """The store of a project; a missing one is not created, because it would hold no model."""
    root = project.resolve()
    uri = store_uri(root)
    with answering(uri, so):
        file = database_file(uri)
        if file is not None and not file.exists():
            raise ModelError(
                f"{file} does not exist, so no model is registered; `dermascreen register` makes the first."
            )
        return open_store(root, None)
