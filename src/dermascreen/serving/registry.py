"""MLflow's registry: a model enters only through its gates, and becomes champion only where it is shown to be better.

What was decided, and why, stands on the registered version: in its description, and in tags.
"""

import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from dermascreen.compare import compare, pair
from dermascreen.errors import (
    BadTableError,
    ComparisonError,
    MissingInputError,
    ModelError,
    PredictionsError,
    StoreError,
)
from dermascreen.files import read_json
from dermascreen.params import Params, RegistryParams, read_params
from dermascreen.pipeline import METRICS, PREDICTIONS, WEIGHTS, content_md5
from dermascreen.report.wording import percent, signed
from dermascreen.serving.bundle import FILES
from dermascreen.tracking import (
    Store,
    alone,
    answering,
    chosen,
    database_file,
    open_store,
    says_absent,
    shown_place,
    store_uri,
)

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.models.model import ModelInfo

NAME = "dermascreen"  # of the registered model
CHAMPION = "champion"
GATED = ("shortcuts", "threshold", "explain")  # stages whose metrics the gates look at
PACKAGES = (
    "captum", "jinja2", "matplotlib", "mlflow", "numpy", "opencv-python-headless", "pandas", "pillow", "pydantic",
    "pyyaml", "safetensors", "scikit-learn", "scipy", "filelock", "torch", "torchvision", "tqdm",
)  # fmt: skip

NO_ALIAS = "INVALID_PARAMETER_VALUE"  # what MLflow's stores say of an alias that a model does not have

# What follows of a failure at the store, by how far things had come.
STAYS = "the champion stays"
NOTHING = f"no version was registered, and {STAYS}"
LOST = (
    "put them back there, or give another version the alias with `dermascreen rollback --to VERSION`, or take it away "
    "in MLflow's page"
)


class Gate(NamedTuple):
    """A condition for registering, and what was found, as a sentence."""

    passed: bool
    found: str


class Verdict(NamedTuple):
    """Whether a model is better than the champion that it was compared with, and why."""

    champion: str | None  # the version of the champion
    better: bool
    why: str


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
    found = " ".join(gate.found for gate in passed)
    root = project.resolve()
    with answering(store_uri(root), NOTHING):
        store = open_store(root, params.tracking.experiment)
    with chosen(store):
        verdict = _compared(store, root / PREDICTIONS, params)  # what stops this, stops it before anything is logged
        logged = _logged(store, root)
        with alone(store, NOTHING):
            if _champion(store, NOTHING) != verdict.champion:  # another one was faster
                verdict = _compared(store, root / PREDICTIONS, params)
            version = _entered(store, logged, found, verdict)
            if verdict.better:
                _promote(store, version, verdict)
    return f"Registered {NAME} version {version}{', now champion' if verdict.better else ''}. {found} {verdict.why}"


def rollback(project: Path, to: int | None) -> str:
    """Make version `to` champion, or the one before this champion; say so. Raises ModelError where there is none."""
    store = _existing(project, STAYS)
    client = store.client
    with alone(store, STAYS):
        now = _champion(store, STAYS)
        if now is None:
            raise ModelError(f"no version of {NAME} is champion; `dermascreen register` makes the first.")
        with answering(store.uri, STAYS):
            before = client.get_model_version(NAME, now).tags.get("before")
            known = {str(found.version) for found in client.search_model_versions(f"name = '{NAME}'")}
        target = str(to) if to is not None else before
        if target is None:
            raise ModelError(f"which version was champion before version {now} is not known; name one with --to.")
        if not target:
            raise ModelError(f"version {now} of {NAME} was the first champion; name another one with --to.")
        if target == now:
            raise ModelError(f"version {now} of {NAME} is champion already.")
        if target not in known:
            raise ModelError(
                f"{NAME} has no version {target}; it has {', '.join(sorted(known, key=int))}: name one with --to."
            )
        with answering(store.uri, STAYS):
            if "before" not in client.get_model_version(NAME, target).tags:  # it never was champion
                client.set_model_version_tag(NAME, target, "before", now)
        _appoint(store, target, STAYS)
        with answering(store.uri, f"version {target} is champion again, and only the reason is not noted"):
            client.set_model_version_tag(NAME, target, "champion", f"Rolled back from version {now}.")
    return f"Version {target} of {NAME} is champion again; it was version {now}."


@contextmanager
def located(model: str) -> Iterator[Path]:
    """The bundle of a model: a folder, or what the registry holds under models:/NAME@ALIAS or models:/NAME/VERSION.

    What is missing or broken in it is missing in the registry, and said so.
    """
    if not model.startswith("models:/"):
        if not Path(model).is_dir():
            raise MissingInputError(Path(model))
        yield Path(model)
        return
    store = _existing(Path.cwd())
    with chosen(store):
        name, version = _named(store, model)
        with _files(store, name, version) as files:
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
def _files(store: Store, name: str, version: str, so: str = "") -> Iterator[Path]:
    """A copy of the files of a registered version; a ModelError where the store has none."""
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415 - MLflow is slow to import

    model = f"models:/{name}/{version}"
    with TemporaryDirectory() as folder:
        with answering(store.uri, so):
            place = store.client.get_model_version_download_uri(name, version)
            found = Path(download_artifacts(model, dst_path=folder, tracking_uri=store.uri, registry_uri=store.uri))
        if not (found / "MLmodel").is_file():  # of a folder that is not there MLflow copies nothing, and says nothing
            raise ModelError(
                f"the files of version {version} of {name} are not in {shown_place(place)}, where they were put"
                f"{f', so {so}' if so else ''}; {LOST}."
            )
        yield found


def _existing(project: Path, so: str = "") -> Store:
    """The store of a project; one that is not there yet is not made, as it holds no model."""
    root = project.resolve()
    uri = store_uri(root)
    with answering(uri, so):
        file = database_file(uri)
        if file is not None and not file.exists():
            raise ModelError(
                f"{file} does not exist, so no model is registered; `dermascreen register` makes the first."
            )
        return open_store(root, None)


def _require_current(project: Path) -> None:
    from dvc.exceptions import DvcException  # noqa: PLC0415
    from dvc.lock import LockError  # noqa: PLC0415
    from dvc.repo import Repo  # noqa: PLC0415

    try:
        changed = Repo(str(project)).status(["report"], with_deps=True)
    except LockError:
        raise ModelError("not registered, as DVC is at work in this project; run it again when that ends.") from None
    except DvcException as error:
        raise ModelError(f"{project} is not a DVC project that can be read ({error}).") from None
    if changed:
        raise ModelError(f"{', '.join(sorted(changed))} changed since it ran; run `dvc repro`, then register.")


def _compared(store: Store, predictions: Path, params: Params) -> Verdict:
    """Whether the model whose test predictions these are becomes champion, and why."""
    before = _champion(store, NOTHING)
    if before is None:
        return Verdict(None, True, "It is the first to pass the gates.")
    with _files(store, NAME, before, NOTHING) as files:
        kept = files / "artifacts" / PREDICTIONS.name
        try:
            table = pair(str(predictions), str(kept), "test", common=True)
        except (ComparisonError, PredictionsError) as error:
            if str(kept) not in str(error):
                raise
            said = str(error).replace(str(kept), f"version {before} of {NAME}").rstrip(".")
            raise ModelError(
                f"not registered, as the champion cannot be compared with ({said}); give another version the alias "
                f"{CHAMPION} with `dermascreen rollback --to VERSION`, or take it away in MLflow's page."
            ) from None
        rows = compare(table, draws=params.evaluate.bootstrap_draws, seed=params.seed)
    auc = rows[rows["measure"].eq("ROC AUC") & rows["method"].eq("lesions")].iloc[0]
    better = bool(auc["low"] > 0)
    return Verdict(
        before,
        better,
        f"On {len(table)} test images in common its AUC less that of version {before} is {signed(auc['difference'])} "
        f"({signed(auc['low'])} to {signed(auc['high'])}, by lesions): "
        + (f"better than version {before}, the champion before it." if better else f"version {before} stays champion."),
    )


def _champion(store: Store, so: str) -> str | None:
    """The champion's version; None only if the store says that there is none.

    Of an alias that it does not know, a store says what it says of any bad request: so the model is asked for its
    aliases before that is believed.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - MLflow is slow to import

    with answering(store.uri, so):
        try:
            return str(store.client.get_model_version_by_alias(NAME, CHAMPION).version)
        except MlflowException as error:
            if not (says_absent(error) or error.error_code == NO_ALIAS):
                raise
            try:
                if CHAMPION not in store.client.get_registered_model(NAME).aliases:
                    return None
            except MlflowException as second:
                if says_absent(second):
                    return None
                raise
            raise


def _logged(store: Store, root: Path) -> "ModelInfo":
    """Log the model in a run of its own."""
    import mlflow  # noqa: PLC0415

    with TemporaryDirectory() as folder:
        bundle = Path(folder, "bundle")
        bundle.mkdir()
        for file in FILES:
            copy = shutil.copytree if (root / file).is_dir() else shutil.copy2
            copy(root / file, bundle / file.name)
        tags = {"stage": "register", "model": content_md5(root / WEIGHTS)}
        with (
            answering(store.uri, NOTHING),
            mlflow.start_run(experiment_id=store.experiment_id, run_name="register", tags=tags),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", "(?s).*input example", UserWarning)  # the signature is given
            logged: ModelInfo = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(__file__).with_name("pyfunc.py")),
                # As addresses: MLflow takes a percent sign in a path for the beginning of a quoted character.
                artifacts={"bundle": bundle.as_uri(), "predictions": (root / PREDICTIONS).as_uri()},
                code_paths=[str(Path(__file__).parents[1])],
                pip_requirements=[f"{package}=={installed(package)}" for package in PACKAGES],
                signature=_signature(),
            )
    return logged


def _entered(store: Store, logged: "ModelInfo", found: str, verdict: Verdict) -> str:
    """Register what was logged, with why and with the way back; the version's number."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - MLflow is slow to import

    with answering(store.uri, NOTHING):
        try:
            store.client.create_registered_model(NAME, description="Tells malignant from benign skin lesions.")
        except MlflowException as error:
            if error.error_code not in {"RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"}:
                raise
    tags = {"gates": found, "champion": verdict.why} | ({"before": verdict.champion or ""} if verdict.better else {})
    with answering(store.uri, f"whether a version was registered is not known, and {STAYS}"):
        made = store.client.create_model_version(
            NAME, logged.model_uri, model_id=logged.model_id, tags=tags, description=f"{found} {verdict.why}"
        )
    return str(made.version)


def _promote(store: Store, version: str, verdict: Verdict) -> None:
    """Make a version champion that is better than the champion; a ModelError if that has changed in the meantime."""
    done = f"version {version} was registered, and {STAYS}"
    if (now := _champion(store, done)) != verdict.champion:  # a server has no lock
        raise ModelError(
            f"version {version} was registered, but is not champion: version {now} became champion in the meantime, "
            "with which it was not compared; run `dermascreen register` again."
        )
    _appoint(store, version, done)


def _appoint(store: Store, version: str, otherwise: str) -> None:
    """Make a version champion, as the last step; `otherwise` says what is so if it fails."""
    try:
        with answering(store.uri, otherwise):
            store.client.set_registered_model_alias(NAME, CHAMPION, version)
    except StoreError:  # perhaps only the answer was lost
        if _champion(store, f"whether version {version} is champion is not known") != version:
            raise


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
