"""MLflow's registry: a model enters only through its gates, and becomes champion only where it is shown to be better.

What was decided, and why, stands on the registered version: in its description, and in tags.
"""

import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from dermascreen.compare import compare, pair
from dermascreen.errors import MissingInputError, ModelError
from dermascreen.files import read_json
from dermascreen.params import Params, RegistryParams, read_params
from dermascreen.pipeline import METRICS, PREDICTIONS, WEIGHTS, content_md5
from dermascreen.report.wording import percent, signed
from dermascreen.serving.bundle import FILES
from dermascreen.tracking import Store, open_store, store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

NAME = "dermascreen"  # of the registered model
CHAMPION = "champion"
GATED = ("shortcuts", "threshold", "explain")  # stages whose metrics the gates look at
PACKAGES = (
    "captum", "jinja2", "matplotlib", "mlflow", "numpy", "opencv-python-headless", "pandas", "pillow", "pydantic",
    "pyyaml", "safetensors", "scikit-learn", "scipy", "filelock", "torch", "torchvision", "tqdm",
)  # fmt: skip


class Gate(NamedTuple):
    """A condition for registering, and what was found, as a sentence."""

    passed: bool
    found: str


def gates(metrics: Mapping[str, Mapping[str, Any]], params: RegistryParams) -> list[Gate]:
    """The conditions of section `registry` of params.yaml, on what metrics/<stage>.json hold under GATED."""
    name, least = min(metrics["shortcuts"]["baselines"].items(), key=lambda item: float(item[1]["low"]))
    checked = [
        Gate(
            least["low"] > params.min_auc_gain,
            f"The network's AUC less that of {name} is {signed(least['network_minus_baseline'])}, at least "
            f"{signed(least['low'])}, where more than {params.min_auc_gain:g} is asked for.",
        )
    ]
    high_recall = metrics["threshold"]["high_recall"]
    if params.guaranteed_recall:
        promised = bool(high_recall["guaranteed"] and high_recall["reached"])
        target = percent(high_recall["target_recall"])
        checked.append(Gate(promised, f"A sensitivity of {target} is {'' if promised else 'not '}guaranteed."))
    failed = metrics["explain"]["believable"]["failed"]
    named = f" ({', '.join(failed)})" if failed else ""
    checked.append(
        Gate(
            len(failed) <= params.max_failed_checks,
            f"{len(failed)} checks of the maps failed{named}, of which {params.max_failed_checks} may.",
        )
    )
    return checked


def register(project: Path) -> str:
    """Register the model of the pipeline at `project`; say what came of it.

    Raises ModelError where the pipeline is not up to date or a gate is not passed.
    """
    params = read_params(project / "params.yaml")
    _require_current(project)
    metrics = {stage: read_json(project / METRICS / f"{stage}.json") for stage in GATED}
    passed = gates(metrics, params.registry)
    if not all(gate.passed for gate in passed):
        raise ModelError("not registered. " + " ".join(gate.found for gate in passed if not gate.passed))
    store = open_store(project.resolve(), params.tracking.experiment)
    with TemporaryDirectory() as folder:
        better, why = _is_better(store, project / PREDICTIONS, params)
        found = " ".join(gate.found for gate in passed)
        version = _log(store, project, Path(folder), f"{found} {why}")
        client = store.client
        before = _champion(client)
        client.set_model_version_tag(NAME, version, "gates", found)
        client.set_model_version_tag(NAME, version, "champion", why)
        if better:
            client.set_model_version_tag(NAME, version, "before", before or "")
            client.set_registered_model_alias(NAME, CHAMPION, version)
    return f"Registered {NAME} version {version}{', now champion' if better else ''}. {found} {why}"


def rollback(project: Path, to: int | None) -> str:
    """Make version `to` champion, or the one before this champion; say so. Raises ModelError where there is none."""
    client = _existing(project)
    now = _champion(client)
    if now is None:
        raise ModelError(f"no version of {NAME} is champion; `dermascreen register` makes the first.")
    target = str(to) if to is not None else client.get_model_version(NAME, now).tags.get("before")
    if not target:
        raise ModelError(f"version {now} of {NAME} was the first champion; name another one with --to.")
    known = {str(found.version) for found in client.search_model_versions(f"name = '{NAME}'")}
    if target == now:
        raise ModelError(f"version {now} of {NAME} is champion already.")
    if target not in known:
        raise ModelError(f"{NAME} has no version {target}; it has {', '.join(sorted(known, key=int))}.")
    client.set_registered_model_alias(NAME, CHAMPION, target)
    client.set_model_version_tag(NAME, target, "champion", f"Rolled back from version {now}.")
    return f"Version {target} of {NAME} is champion again; it was version {now}."


@contextmanager
def located(model: str) -> Iterator[Path]:
    """The bundle of a model: a folder, or what the registry holds under models:/NAME@ALIAS or models:/NAME/VERSION."""
    if not model.startswith("models:/"):
        if not Path(model).is_dir():
            raise MissingInputError(Path(model))
        yield Path(model)
        return
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415 - MLflow is slow to import
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    _existing(Path.cwd())
    uri = store_uri(Path.cwd())
    with TemporaryDirectory() as folder:
        try:
            found = download_artifacts(model, dst_path=folder, tracking_uri=uri, registry_uri=uri)
        except (MlflowException, OSError) as error:
            said = str(getattr(error, "message", error)).partition("\n")[0].rstrip(".")
            raise ModelError(f"{model} is not in the registry at {uri} ({said}).") from None
        yield Path(found, "artifacts", "bundle")


def _existing(project: Path) -> "MlflowClient":
    """The store's client; a store that is not there yet is not made, as it holds no model."""
    root = project.resolve()
    file = store_uri(root).removeprefix("sqlite:///")
    if not file.startswith(("http", "databricks", "uc", "file:")) and not Path(file).exists():
        raise ModelError(f"{file} does not exist, so no model is registered; `dermascreen register` makes the first.")
    return open_store(root, None).client


def _require_current(project: Path) -> None:
    from dvc.exceptions import DvcException  # noqa: PLC0415
    from dvc.repo import Repo  # noqa: PLC0415

    try:
        changed = Repo(str(project)).status(["report"], with_deps=True)
    except DvcException as error:
        raise ModelError(f"{project} is not a DVC project that can be read ({error}).") from None
    if changed:
        raise ModelError(f"{', '.join(sorted(changed))} changed since it ran; run `dvc repro`, then register.")


def _is_better(store: Store, predictions: Path, params: Params) -> tuple[bool, str]:
    """Whether the model whose test predictions these are becomes champion, and why."""
    before = _champion(store.client)
    if before is None:
        return True, "It is the first to pass the gates."
    with _kept(store, before) as artifacts:
        table = pair(str(predictions), str(artifacts / PREDICTIONS.name), "test", common=True)
        rows = compare(table, draws=params.evaluate.bootstrap_draws, seed=params.seed)
    auc = rows[rows["measure"].eq("ROC AUC") & rows["method"].eq("lesions")].iloc[0]
    better = bool(auc["low"] > 0)
    return better, (
        f"On {len(table)} test images in common its AUC less that of version {before} is {signed(auc['difference'])} "
        f"({signed(auc['low'])} to {signed(auc['high'])}, by lesions): "
        + (f"better than version {before}, the champion before it." if better else f"version {before} stays champion.")
    )


@contextmanager
def _kept(store: Store, version: str) -> Iterator[Path]:
    """The artifacts of a registered version."""
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415

    with TemporaryDirectory() as folder:
        uri = f"models:/{NAME}/{version}"
        yield Path(
            download_artifacts(uri, dst_path=folder, tracking_uri=store.uri, registry_uri=store.uri), "artifacts"
        )


def _champion(client: "MlflowClient") -> str | None:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        return str(client.get_model_version_by_alias(NAME, CHAMPION).version)
    except MlflowException:
        return None


def _log(store: Store, project: Path, folder: Path, why: str) -> str:
    """Log the model in a run of its own, and register it; the version's number."""
    import mlflow  # noqa: PLC0415

    bundle = folder / "bundle"
    bundle.mkdir()
    for file in FILES:
        copy = shutil.copytree if (project / file).is_dir() else shutil.copy2
        copy(project / file, bundle / file.name)
    mlflow.set_tracking_uri(store.uri)
    mlflow.set_registry_uri(store.uri)
    tags = {"stage": "register", "model": content_md5(project / WEIGHTS)}
    with mlflow.start_run(experiment_id=store.experiment_id, run_name="register", tags=tags), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*input example", UserWarning)  # the signature is given
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("pyfunc.py")),
            artifacts={"bundle": str(bundle), "predictions": str(project.resolve() / PREDICTIONS)},
            code_paths=[str(Path(__file__).parents[1])],
            pip_requirements=[f"{package}=={installed(package)}" for package in PACKAGES],
            signature=_signature(),
        )
    if not store.client.search_registered_models(f"name = '{NAME}'"):
        store.client.create_registered_model(NAME, description="Tells malignant from benign skin lesions.")
    made = store.client.create_model_version(NAME, logged.model_uri, model_id=logged.model_id, description=why)
    return str(made.version)


def _signature() -> "ModelSignature":
    from mlflow.models import ModelSignature  # noqa: PLC0415
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec  # noqa: PLC0415

    text, number, truth = DataType.string, DataType.double, DataType.boolean
    given: list[ColSpec | TensorSpec] = [ColSpec(text, "image", required=False), ColSpec(text, "path", required=False)]
    answered: list[ColSpec | TensorSpec] = [
        ColSpec(number, "probability"), ColSpec(number, "low"), ColSpec(number, "high"), ColSpec(text, "label"),
        ColSpec(text, "operating_point"), ColSpec(truth, "abstain"), ColSpec(text, "caveat"), ColSpec(text, "warnings"),
        ColSpec(text, "error"),
    ]  # fmt: skip
    return ModelSignature(inputs=Schema(given), outputs=Schema(answered))
