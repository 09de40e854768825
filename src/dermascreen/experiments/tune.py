"""Search for better parameters with Optuna, by val alone; any number of workers on any number of machines take part.

A trial is `dvc exp run --temp` of stage train, and becomes a DVC experiment. One that is behind the others after the
same number of epochs is stopped, and leaves only its run in MLflow. All workers keep the trials in one place, a
database or a file, from which the next parameters are chosen. No trial sees test: that is for the winner, when it is
run again.
"""

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import dvc.api
import optuna
from dvc.exceptions import DvcException
from dvc.repo import Repo
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, ProgrammingError, SQLAlchemyError

from dermascreen.artifacts.dataset.splits import Splits
from dermascreen.artifacts.model.training import TrainDetails
from dermascreen.core.errors import MissingInputError, SearchError
from dermascreen.core.files import CACHE, fingerprint
from dermascreen.core.hashes import content_md5
from dermascreen.core.params import Params, read_params
from dermascreen.core.tracking import journal
from dermascreen.core.tracking.failures import masked
from dermascreen.core.tracking.run import CHECKPOINTS
from dermascreen.experiments.space import Space, options
from dermascreen.experiments.workspace import clean_environment
from dermascreen.training.turns import discard

FOLDER = CACHE / "tune"  # the file of a search on one machine, and what the last trials printed
VALUES, SEEN = "values", "seen"  # what is kept of a trial: its parameters, and when its worker last looked after it
LOOK = 1.0  # seconds between looks at a trial
SIGN = 30.0  # seconds between signs of life
DEAD = 300.0  # seconds without a sign after which a worker is taken for dead
ATTEMPTS = 3  # to open a database that others may be making
GIVE_UP = 3  # trials in a row that fail
VAL_AUC = "training/val_roc_auc"
TAKEN_FOR_DEAD = "this worker was taken for dead, so the search does not count it"
LOST = (  # the errors of a storage
    SQLAlchemyError, ArgumentError, optuna.exceptions.StorageInternalError, ImportError, json.JSONDecodeError,
    UnicodeDecodeError,
)  # fmt: skip
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


def run(given: argparse.Namespace) -> int:
    """`dermascreen tune`: take trials until the search has as many as it should, and name the best."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a job in a shell's background ignores Ctrl-C, and so would DVC
        signal.signal(number, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # which nohup ignores
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    root, base = Path.cwd().resolve(), read_params()
    space = Space(given.space, base)
    if not Splits.PATH.exists():
        raise MissingInputError(Splits.PATH)
    if _uncommitted():
        raise SearchError(
            "params.yaml has changes that are not committed, which the winner's command would lack; commit them first."
        )
    if given.storage is None:
        (root / FOLDER).mkdir(parents=True, exist_ok=True)
    place = given.storage if given.storage is not None else str(root / FOLDER / f"{given.study}.log")
    with _reachable(place):
        study = _opened(given.study, place, space, base)
        failures = 0
        while failures < GIVE_UP:
            _require_same(study, space, read_params())  # DVC takes the files as they are now
            _bury(study)
            trial = _next(study, given.trials)
            if trial is None:
                break
            failures = 0 if _try(study, trial, space, root) else failures + 1
        best = _best(study)
        if failures == GIVE_UP:
            raise SearchError(f"{GIVE_UP} trials in a row failed; the last one's words are in {FOLDER}.")
        if best is None:
            raise SearchError("no trial of this search has come to its end.")
        print(_conclusion(study, best), flush=True)
    return 0


@contextmanager
def _reachable(place: str) -> Iterator[None]:
    """Raise SearchError in place of any error of the storage."""
    try:
        yield
    except LOST as error:
        cause = error.__cause__ or error
        said = masked(str(cause)).strip().partition("\n")[0]
        raise SearchError(f"--storage: {masked(place)} cannot be used ({said}).") from None


def _opened(name: str, place: str, space: Space, base: Params) -> optuna.Study:
    """The study that all workers of this search share. Raises SearchError if it is another search's."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    storage: BaseStorage
    if "://" in place:
        storage = _database(place)
    else:
        _require_trials(Path(place))
        storage = JournalStorage(JournalFileBackend(place))
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(constant_liar=True),  # other workers' trials count before they end
        pruner=optuna.pruners.MedianPruner(n_warmup_steps=base.train.warmup_epochs),
    )
    if not study.get_trials(deepcopy=False):
        _require_no_experiments(name)
    _require_same(study, space, base)
    return study


def _require_no_experiments(study: str) -> None:
    """Raise SearchError if DVC has experiments with the names that the trials of a new study get."""
    if taken := sorted(name for name in _experiments() if re.fullmatch(rf"{re.escape(study)}-\d+", name)):
        raise SearchError(
            f"--study: {taken[0]} is an experiment of an earlier search called {study}, whose trials are not in this "
            "storage; give this search another name, or remove its experiments with `dvc exp remove`."
        )


def _experiments() -> set[str]:
    """The names of DVC's experiments in this repository."""
    try:
        with closing(Repo()) as repo:
            return {name for named in repo.experiments.ls(all_commits=True).values() for name, _ in named}
    except DvcException as error:
        raise SearchError(f"DVC has no experiments here ({error}).") from None


def _uncommitted() -> bool:
    """Whether params.yaml differs from the one that experiments start from; raises SearchError where none is."""
    known = ["git", "rev-parse", "--quiet", "--verify", "HEAD"]
    if subprocess.run(known, check=False, capture_output=True).returncode:
        raise SearchError("a search needs a Git repository with a commit; run `git init`, and commit the project.")
    command = ["git", "diff", "--quiet", "HEAD", "--", "params.yaml"]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 1


def _require_same(study: optuna.Study, space: Space, base: Params) -> None:
    """Raise SearchError if a study began from other parameters, another split or another space."""
    sections = base.model_dump(include={"seed", "data", "audit", "split", "preprocess", "model", "train"})
    mine = {"space": space.texts, "base": fingerprint([sections, content_md5(Splits.PATH)])}
    for key, value in mine.items():
        if (known := study.user_attrs.get(key)) is None:
            study.set_user_attr(key, value)
        elif known != value:
            differs = "searches other parameters" if key == "space" else "began from another params.yaml or split"
            raise SearchError(f"--study: {study.study_name} {differs}; give this search another name.")


def _require_trials(file: Path) -> None:
    """Raise SearchError if trials cannot be kept in a file, which is then left as it is."""
    if not file.parent.is_dir():
        raise SearchError(f"--storage: {file.parent} does not exist.")
    try:
        if file.exists() and not (file.is_file() and _begins_with_a_trial(file)):
            raise SearchError(f"--storage: {file} is not a file of trials.")
    except OSError as error:
        raise SearchError(f"--storage: {file} cannot be read ({error.strerror}).") from None


def _begins_with_a_trial(file: Path) -> bool:
    """Whether a file is empty, or begins with a line as Optuna writes it."""
    with file.open("rb") as lines:
        first = lines.readline()
    try:
        return not first or "op_code" in json.loads(first)
    except (ValueError, TypeError):  # not JSON, or not an object
        return False


def _database(place: str) -> RDBStorage:
    """A storage in a database; of two workers that make its tables at the same time, one fails and finds them made."""
    try:
        make_url(place)
    except ValueError:  # a port that is no number
        raise SearchError(f"--storage: {masked(place)} is not the address of a database.") from None
    for _ in range(ATTEMPTS - 1):
        with suppress(IntegrityError, ProgrammingError):
            return RDBStorage(place, engine_kwargs={"pool_pre_ping": True})
    return RDBStorage(place, engine_kwargs={"pool_pre_ping": True})


def _bury(study: optuna.Study) -> None:
    """Fail trials whose worker has given no sign of life."""
    for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        if not _lives(trial):
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def _lives(trial: FrozenTrial) -> bool:
    begun = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return bool(time.time() - max(trial.user_attrs.get(SEEN, 0.0), begun) < DEAD)


def _next(study: optuna.Study, wanted: int) -> optuna.Trial | None:
    """A new trial; None if those that have ended and those that others are at are as many as wanted."""
    counted = (*ENDED, TrialState.RUNNING)
    if len(study.get_trials(deepcopy=False, states=counted)) >= wanted:
        return None
    trial = study.ask()
    trial.set_user_attr(SEEN, time.time())
    before = [other for other in study.get_trials(deepcopy=False, states=counted) if other.number < trial.number]
    if len(before) >= wanted:  # others asked at the same time
        study.tell(trial, state=TrialState.FAIL)
        return None
    return trial


def _try(study: optuna.Study, trial: optuna.Trial, space: Space, root: Path) -> bool:
    """Run a trial, and tell what came of it; returns whether it came to an end of its own."""
    name = f"{study.study_name}-{trial.number}"
    try:
        values = space.suggest(trial)
        trial.set_user_attr(VALUES, values)
        shown = " ".join(options(values)[1::2])
        if same := _same(study, trial.number, values):
            _tell(study, trial, same.state, same.value)
            print(f"{name}: {shown}: as {study.study_name}-{same.number}", flush=True)
            return True
        print(f"{name}: {shown}", flush=True)
        pruned_after = _train(trial, name, values, root)
        if pruned_after is not None:
            told, ended = _tell(study, trial, TrialState.PRUNED), f"stopped after epoch {pruned_after}"
        else:
            auc = _val_auc(name)
            told, ended = _tell(study, trial, TrialState.COMPLETE, auc), f"val AUC {auc:.4f}"
        print(f"{name}: {ended}{'' if told else f'; {TAKEN_FOR_DEAD}'}", flush=True)
    except optuna.exceptions.UpdateFinishedTrialError:
        print(f"{name}: given up, as {TAKEN_FOR_DEAD}", flush=True)
    except SearchError as error:
        _tell(study, trial, TrialState.FAIL)
        print(f"{name}: {error}", flush=True)
        return False
    except BaseException:  # also Ctrl-C; raised again, when the others know not to wait for this trial
        with suppress(Exception):  # the storage may be what failed
            _tell(study, trial, TrialState.FAIL)
        raise
    return True


def _tell(study: optuna.Study, trial: optuna.Trial, state: TrialState, auc: float | None = None) -> bool:
    """Say what came of a trial; False if others took this worker for dead and have said that it failed."""
    told = study.tell(trial, auc if state == TrialState.COMPLETE else None, state, skip_if_finished=True)
    return bool(told.state == state)


def _same(study: optuna.Study, number: int, values: Mapping[str, Any]) -> FrozenTrial | None:
    """An ended trial with the same values: DVC knows an experiment by its content, and training is deterministic."""
    ended = study.get_trials(deepcopy=False, states=ENDED)
    return next((found for found in ended if found.number != number and found.user_attrs.get(VALUES) == values), None)


def _train(trial: optuna.Trial, name: str, values: Mapping[str, Any], root: Path) -> int | None:
    """Train in a copy of the project; returns the epoch after which it was stopped, if it was.

    DVC runs in a group of its own, which is stopped with this program; checkpoints of a training that did not come to
    its end are removed, unless another one of the same values, which waited for it, has them. Raises SearchError if DVC
    fails.
    """
    command = ["dvc", "exp", "run", "--temp", "--name", name, *options(values), "train"]
    environment = os.environ | {"PATH": clean_environment()["PATH"]}
    log = root / FOLDER / f"{name}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    reported, seen = 0, 0.0
    checkpoints: str | None = None
    stopped_after: int | None = None
    with (
        log.open("w", encoding="utf-8") as output,
        subprocess.Popen(
            command, cwd=root, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            while stopped_after is None and process.poll() is None:
                if time.monotonic() - seen > SIGN:
                    trial.set_user_attr(SEEN, time.time())
                    seen = time.monotonic()
                found, epochs = _progress(root, name)
                checkpoints = found or checkpoints
                for epoch, auc in epochs[reported:]:
                    trial.report(auc, epoch)
                    reported += 1
                    if trial.should_prune():
                        stopped_after = epoch
                        break
                else:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(LOOK)
        finally:
            _stop(process)
            if process.returncode and checkpoints:
                discard(root / CACHE / "checkpoints" / checkpoints)
    if process.returncode and stopped_after is None:
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise SearchError(f"failed ({masked(said[-1]) if said else 'DVC said nothing'}); all of it is in {log}.")
    log.unlink()
    return stopped_after if process.returncode else None  # it may have ended just before it was to be stopped


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt DVC and its stage, as Ctrl-C does, upon which they remove the copy, and wait for that."""
    with suppress(ProcessLookupError):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
    process.wait()


def _progress(root: Path, name: str) -> tuple[str | None, list[tuple[int, float]]]:
    """Where training keeps its checkpoints, and the val AUC of each epoch so far, as it logs them."""
    for entry in journal.entries(root):
        try:
            first, *later = entry.events() or [{}]
        except FileNotFoundError:  # it ended, and MLflow has it
            continue
        if first.get("stage") == "train" and first["tags"].get("dvc.exp_name") == name:
            tags = [event["tags"].get(CHECKPOINTS) for event in later if event["event"] == journal.TAGS]
            measured = [event for event in later if event["event"] == journal.METRICS and VAL_AUC in event["metrics"]]
            return next(iter(tags), None), [(event["step"], event["metrics"][VAL_AUC]) for event in measured]
    return None, []


def _val_auc(name: str) -> float:
    try:
        return TrainDetails.model_validate_json(dvc.api.read(str(TrainDetails.PATH), rev=name)).best_val_roc_auc
    except (DvcException, FileNotFoundError, ValueError) as error:
        raise SearchError(f"has no result that can be read ({error}).") from None


def _best(study: optuna.Study) -> FrozenTrial | None:
    """The trial with the highest val AUC, the first of equals."""
    ended = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    return max(ended, key=lambda trial: trial.value or 0.0, default=None)


def _conclusion(study: optuna.Study, best: FrozenTrial) -> str:
    counts = {state: len(study.get_trials(deepcopy=False, states=[state])) for state in TrialState}
    running = counts[TrialState.RUNNING]
    command = shlex.join(["dvc", "exp", "run", "--name", f"{study.study_name}-best", *options(best.user_attrs[VALUES])])
    return (
        f"Trials that came to their end: {counts[TrialState.COMPLETE]}; stopped: {counts[TrialState.PRUNED]}"
        f"{f'; still running elsewhere: {running}' if running else ''}. The best, {study.study_name}-{best.number}, "
        f"has a val AUC of {best.value:.4f}. That is the best of many, so expect less on test, which no trial saw. "
        f"To run it through the whole pipeline, test included:\n\n{command}"
    )
