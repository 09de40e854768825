"""MLflow's registry: a model enters only through its gates, and becomes champion only if it is shown to be better.

The registered version records what was decided, and why, in its description and in tags.
"""

import shutil
import warnings
from collections.abc import Callable
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.artifacts.dataset.splits import TEST, Splits
from dermascreen.artifacts.model.description import WEIGHTS
from dermascreen.artifacts.model.files import BUNDLE
from dermascreen.artifacts.results.details.evaluation import ShortcutsDetails, ThresholdDetails
from dermascreen.artifacts.results.details.explanation import ExplainDetails
from dermascreen.artifacts.results.predictions import Predictions
from dermascreen.core.errors import (
    ComparisonError,
    ModelError,
    PredictionsError,
    StoreError,
)
from dermascreen.core.hashes import content_md5
from dermascreen.core.params import Params, read_params
from dermascreen.core.tracking.address import store_uri
from dermascreen.core.tracking.failures import answering, says_absent
from dermascreen.core.tracking.store import Store, alone, chosen, open_store
from dermascreen.experiments.compare import compare, pair
from dermascreen.registry.files import CHAMPION, NAME, NO_ALIAS, existing_store, files_of
from dermascreen.registry.gates import gates
from dermascreen.registry.handover import complete
from dermascreen.registry.looks import models_tested
from dermascreen.registry.signatures import key_of
from dermascreen.report.numbers import signed
from dermascreen.report.wording import looks_of

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.models.model import ModelInfo
PACKAGE = Path(__file__).parents[1]  # of which a registered model keeps a copy
PACKAGES = (  # that a served model needs, which makes no maps and so needs no torch
    "mlflow", "numpy", "onnxruntime", "pandas", "pillow", "pydantic", "ruamel-yaml", "safetensors", "scikit-learn",
    "scipy", "threadpoolctl", "tqdm",
)  # fmt: skip
PURPOSE = "Tells malignant from benign skin lesions. Not a medical device."

# The consequence of a failure at the store, by how far the command had come.
STAYS = "the champion stays"
NOTHING = f"no version was registered, and {STAYS}"


class Verdict(NamedTuple):
    """Whether a model is better than the champion that it was compared with, and why."""

    champion: str | None  # the version of the champion
    better: bool
    why: str


def register(project: Path, private_key: Path | None = None) -> str:
    """Register the model of the pipeline at `project`; return the outcome in sentences.

    Parameters: `private_key`, an elliptic-curve key in PEM with which the model's files are signed.
    Raises ModelError if the pipeline is not up to date or a gate is not passed, and SignatureError if the key cannot
    be used.
    """
    params = read_params(project / "params.yaml")
    if private_key is not None:
        key_of(private_key)  # refuses one that cannot sign before anything is done
    lock = _current_lock(project)
    passed = gates(
        ShortcutsDetails.read(project / ShortcutsDetails.PATH),
        ThresholdDetails.read(project / ThresholdDetails.PATH),
        ExplainDetails.read(project / ExplainDetails.PATH),
        params.split.protocol,
        params.registry,
    )
    if not all(gate.passed for gate in passed):
        raise ModelError("not registered. " + " ".join(gate.found for gate in passed if not gate.passed))
    found = [gate.found for gate in passed]
    root = project.resolve()
    with answering(store_uri(root), NOTHING):
        store = open_store(root, params.tracking.experiment)
    with chosen(store):
        # First, so that nothing has been logged if it fails.
        verdict = _compared(store, root / Predictions.PATH, params)
        weights = content_md5(root / WEIGHTS)
        tested = Splits.read(root / Splits.PATH).part(TEST).path
        with answering(store.uri, NOTHING):
            models = models_tested(Manifest.read(root / Manifest.PATH).content_of(tested), weights)
        _enter_name(store)

        def completed(bundle: Path) -> None:
            _require_unchanged(project, lock)
            complete(bundle, root, params, models, private_key)

        logged = _logged(store, root, weights, completed)
        with alone(store, NOTHING):
            if _champion(store, NOTHING) != verdict.champion:  # another one became champion in the meantime
                _require_unchanged(project, lock)
                verdict = _compared(store, root / Predictions.PATH, params)
            version = _entered(store, logged, weights, verdict, found=found, models=models)
            if verdict.better:
                _promote(store, version, verdict)
    registered = f"Registered {NAME} version {version}{', now champion' if verdict.better else ''}."
    return " ".join([registered, *found, verdict.why, looks_of(models)])


def rollback(project: Path, to: int | None) -> str:
    """Make version `to`, or the previous champion, champion; return a sentence. Raises ModelError if there is none."""
    store = existing_store(project, STAYS)
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
            again = " again"
            if "before" not in client.get_model_version(NAME, target).tags:  # it has never been champion
                again = ""
                client.set_model_version_tag(NAME, target, "before", now)
        _appoint(store, target, STAYS)
        with answering(store.uri, f"version {target} is champion{again}, and only the reason is not noted"):
            client.set_model_version_tag(NAME, target, "champion", f"Rolled back from version {now}.")
    return f"Version {target} of {NAME} is champion{again}; it was version {now}."


def _current_lock(project: Path) -> bytes:
    """dvc.lock, by which what the pipeline made can be told; raises ModelError if that is not up to date."""
    from dvc.exceptions import DvcException  # noqa: PLC0415
    from dvc.lock import LockError  # noqa: PLC0415
    from dvc.repo import Repo  # noqa: PLC0415

    lock = project / "dvc.lock"
    if not lock.exists():
        raise ModelError("not registered, as the pipeline has not run here; run `dvc repro`, then register.")
    try:
        changed = Repo(str(project)).status(["report"], with_deps=True)
    except LockError:
        raise ModelError("not registered, as DVC is at work in this project; run it again when that ends.") from None
    except DvcException as error:
        raise ModelError(f"{project} is not a DVC project that can be read ({error}).") from None
    if changed:
        raise ModelError(f"{', '.join(sorted(changed))} changed since it ran; run `dvc repro`, then register.")
    return lock.read_bytes()


def _require_unchanged(project: Path, lock: bytes) -> None:
    """Raise ModelError if the pipeline has run, or been changed, since its dvc.lock was read."""
    if _current_lock(project) != lock:
        raise ModelError("not registered, as the pipeline ran again in the meantime; register what it made.")


def _compared(store: Store, predictions: Path, params: Params) -> Verdict:
    """Whether the model whose test predictions these are becomes champion, and why."""
    before = _champion(store, NOTHING)
    if before is None:
        return Verdict(None, True, "It is the first to pass the gates.")
    with files_of(store, NAME, before, NOTHING) as files:
        kept = files / "artifacts" / Predictions.PATH.name
        try:
            table = pair(str(predictions), str(kept), "test", common=True)
        except (ComparisonError, PredictionsError) as error:
            if str(kept) not in str(error):
                raise
            said = str(error).replace(str(kept), f"version {before} of {NAME}").rstrip(".")
            raise ModelError(
                f"not registered, as it cannot be compared with the champion ({said}); give another version the alias "
                f"{CHAMPION} with `dermascreen rollback --to VERSION`, or remove the alias on MLflow's page."
            ) from None
        rows = compare(table, draws=params.evaluate.bootstrap_draws, seed=params.seed)
    auc = rows[rows["measure"].eq("ROC AUC")].iloc[-1]  # by the cluster bootstrap, as the others
    better = bool(auc["low"] > 0)
    return Verdict(
        before,
        better,
        f"On {len(table)} test images in common its AUC less that of version {before} is {signed(auc['difference'])} "
        f"({signed(auc['low'])} to {signed(auc['high'])}, by {auc['method']}): "
        + (f"better than version {before}, the champion before it." if better else f"version {before} stays champion."),
    )


def _champion(store: Store, so: str) -> str | None:
    """The champion's version; None only if the store says that there is none.

    A store reports an unknown alias with the same error as any bad request, so the model's list of aliases is checked
    before that is believed.
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


def _enter_name(store: Store) -> None:
    """Make the registered model, unless there is one; before its files are sent, see whether it may be changed."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - MLflow is slow to import

    with answering(store.uri, NOTHING):
        try:
            store.client.create_registered_model(NAME, description=PURPOSE)
        except MlflowException as error:
            if error.error_code not in {"RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"}:
                raise
        store.client.set_registered_model_tag(NAME, "registered_by", "dermascreen")


def _logged(store: Store, root: Path, weights: str, completed: Callable[[Path], None]) -> "ModelInfo":
    """Log the model, whose weights have this md5, in a run of its own.

    Parameters: `completed`, which looks at the copies of its files, and adds to their folder.
    """
    import mlflow  # noqa: PLC0415

    with TemporaryDirectory() as folder:
        bundle, predictions = Path(folder, "bundle"), Path(folder, Predictions.PATH.name)
        bundle.mkdir()
        shutil.copy2(root / Predictions.PATH, predictions)
        for file in BUNDLE:
            copy = shutil.copytree if (root / file).is_dir() else shutil.copy2
            copy(root / file, bundle / file.name)
        completed(bundle)
        tags = {"stage": "register", "model": weights}
        with (
            answering(store.uri, NOTHING),
            mlflow.start_run(experiment_id=store.experiment_id, run_name="register", tags=tags),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", "(?s).*input example", UserWarning)  # the signature is given
            logged: ModelInfo = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(PACKAGE / "serving/pyfunc.py"),
                # As addresses: MLflow takes a percent sign in a path for the beginning of a quoted character.
                artifacts={"bundle": bundle.as_uri(), "predictions": predictions.as_uri()},
                code_paths=[str(PACKAGE)],
                pip_requirements=[f"{package}=={installed(package)}" for package in PACKAGES],
                signature=_signature(),
            )
    return logged


def _entered(
    store: Store, logged: "ModelInfo", weights: str, verdict: Verdict, *, found: list[str], models: int
) -> str:
    """Register what was logged, with the reason and the previous champion; returns the version's number."""
    tags = {"gates": " ".join(found), "champion": verdict.why, "models_tested": str(models)}
    if verdict.better:
        tags["before"] = verdict.champion or ""
    with answering(store.uri, NOTHING):
        tags |= _trained(store, weights)
    with answering(store.uri, f"whether a version was registered is not known, and {STAYS}", refused=NOTHING):
        made = store.client.create_model_version(
            NAME, logged.model_uri, model_id=logged.model_id, tags=tags,
            description="\n".join(f"- {sentence}" for sentence in [*found, verdict.why, looks_of(models)]),
        )  # fmt: skip
    return str(made.version)


def _trained(store: Store, weights: str) -> dict[str, str]:
    """A tag with the id under which MLflow has the model as it was trained, with its metrics, if it was logged here."""
    found = store.client.search_logged_models([store.experiment_id], f"tags.`weights.md5` = '{weights}'")
    return {"trained_model": found[0].model_id} if found else {}


def _promote(store: Store, version: str, verdict: Verdict) -> None:
    """Make a better version champion; raises ModelError if the champion has changed in the meantime."""
    done = f"version {version} was registered, and {STAYS}"
    if (now := _champion(store, done)) != verdict.champion:  # a server has no lock
        raise ModelError(
            f"version {version} was registered, but is not champion: version {now} became champion in the meantime, "
            "with which it was not compared; run `dermascreen register` again."
        )
    _appoint(store, version, done)


def _appoint(store: Store, version: str, otherwise: str) -> None:
    """Make a version champion, as the last step; `otherwise` says what holds if that fails."""
    try:
        with answering(store.uri, otherwise):
            store.client.set_registered_model_alias(NAME, CHAMPION, version)
    except StoreError:  # perhaps only the response was lost
        if _champion(store, f"whether version {version} is champion is not known") != version:
            raise


def _signature() -> "ModelSignature":
    from mlflow.models import ModelSignature  # noqa: PLC0415
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec  # noqa: PLC0415

    text, number, truth = DataType.string, DataType.double, DataType.boolean
    given: list[ColSpec | TensorSpec] = [ColSpec(text, "image", required=False), ColSpec(text, "path", required=False)]
    answered: list[ColSpec | TensorSpec] = [
        ColSpec(number, "probability"), ColSpec(number, "low"), ColSpec(number, "high"), ColSpec(text, "decision"),
        ColSpec(text, "operating_point"), ColSpec(truth, "abstain"), ColSpec(text, "caveat"), ColSpec(text, "warnings"),
        ColSpec(text, "error"),
    ]  # fmt: skip
    return ModelSignature(inputs=Schema(given), outputs=Schema(answered))
