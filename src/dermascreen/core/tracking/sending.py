"""From the journal to MLflow: each run in order and once, whatever ended the last attempt.

What a run logs can be sent twice without harm: MLflow keeps one metric of a name, step and time, and one parameter,
tag, data set and file of a name. Only the run itself must not be created twice; one that may have been is looked up.

Runs find each other by content: tags hold the md5 of each file that a run read (`input.data/splits.csv`) and wrote
(`output.models/weights.safetensors`), as in dvc.lock. A run id in a tracked file would make an identical model look
new. The run of `train` is the row of its model: the runs of later stages about these weights are nested below it, and
their results are copied onto it, so that one row shows parameters next to results.
"""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dermascreen.core.errors import StoreError
from dermascreen.core.files import fingerprint
from dermascreen.core.tracking import journal, page
from dermascreen.core.tracking.address import store_uri
from dermascreen.core.tracking.failures import answering, is_refusal, masked, problem_of
from dermascreen.core.tracking.journal import Entry, Event, Sent
from dermascreen.core.tracking.store import Store, chosen, open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

WEIGHTS = "models/weights.safetensors"  # what identifies a model
TRAIN = "train"
WAITS = f"what is logged waits in {journal.FOLDER}"
LATER = "run `dermascreen sync`, or let the next stage send it"
KILLED = "KILLED"
MODEL_NAME = 120  # characters of a model's name


class Answer(NamedTuple):
    """What came of sending."""

    said: list[str]  # what went wrong, in sentences
    sent: int  # how many runs that had waited for the store MLflow now has
    waiting: int  # how many runs have ended and are not sent


class Sender:
    """Send what waits in the journals of projects, and measure the machine while their models are trained."""

    def __init__(self) -> None:
        self._monitors: dict[str, Any] = {}  # SystemMetricsMonitor, which has no types

    def send(self, root: Path, own: str | None = None) -> Answer:
        """Send what there is so far of run `own`, after every run that has ended.

        A run of another process that is still at work is left to that. Where the store does not answer, what was not
        sent waits, and so does all that follows in the same experiment.
        """
        said: dict[str, None] = {}
        sent = 0
        with journal.sending_lock(root):
            stores: dict[str, Store | None] = {}  # by experiment; None if it cannot be reached
            for entry in journal.entries(root):
                alive = entry.is_alive()
                if alive and entry.folder.name != own:
                    continue
                events = _events(entry, alive=alive)
                if not events:  # a machine lost power before they were on the disk
                    entry.remove()
                    continue
                experiment, missed = events[0]["experiment"], entry.was_missed()
                try:
                    if experiment not in stores:
                        stores[experiment] = None
                        stores[experiment] = _opened(root, experiment)
                    if (store := stores[experiment]) is not None:
                        with answering(store.uri, WAITS, LATER):
                            said |= dict.fromkeys(self._send(store, entry, events))
                        sent += missed and entry.folder.name != own and not entry.folder.exists()
                except StoreError as error:
                    stores[experiment] = None
                    said[str(error)] = None
                if not alive and entry.folder.exists():
                    entry.miss()
            return Answer(list(said), sent, len(_waiting(root)))

    def _send(self, store: Store, entry: Entry, events: list[Event]) -> list[str]:
        """Send the events that the store does not have, and remove an entry that is complete; return what to say."""
        key = fingerprint(store.uri)
        said: list[str] = []
        sent = entry.sent(key)
        if sent is None or not sent.run:
            sent = Sent(key, _created(store, entry, events[0], begun=sent, said=said), events=1)
            entry.mark(sent)
        if events[0]["stage"] == TRAIN and events[-1]["event"] != journal.CLOSE:
            self._watch(store, sent.run, again=sent.events > 1)
        try:
            for event in events[sent.events :]:
                try:
                    _apply(store, sent.run, entry, event)
                except Exception as error:  # MLflow's, or of a database or network, which all but refusals stay
                    if not is_refusal(error):
                        raise
                    said.append(f"MLflow refuses a part of what is logged ({problem_of(error)}); it has the rest.")
                sent = replace(sent, events=sent.events + 1)
        finally:
            entry.mark(sent)
        if events[-1]["event"] == journal.CLOSE:
            if monitor := self._monitors.pop(sent.run, None):
                monitor.finish()
            entry.remove()
        return said[:1]

    def _watch(self, store: Store, run: str, *, again: bool) -> None:
        """Log the use of processor, memory, disk, network and GPU to a run until it ends, as MLflow does."""
        from mlflow.system_metrics import system_metrics_monitor  # noqa: PLC0415

        if run not in self._monitors and os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "").lower() != "false":
            monitor: Any = system_metrics_monitor.SystemMetricsMonitor
            self._monitors[run] = monitor(run, resume_logging=again, tracking_uri=store.uri)
            self._monitors[run].start()


def sync(root: Path) -> str:
    """Send what waits in the project at `root`; return a sentence. Raises StoreError, with what waits, if some does.

    If nothing waits, a server is asked all the same, so that somebody who has just got an account can try it.
    """
    logged = (root / journal.FOLDER).is_dir()
    if not logged and not (root / "dvc.yaml").is_file():
        raise StoreError(f"{root} has no dvc.yaml; run the command in the folder of a project.")
    before = _waiting(root) if logged else []
    if not before and (uri := store_uri(root)).startswith("http"):
        with answering(uri, again="run `dermascreen sync` again"):
            open_store(root, None).client.search_experiments(max_results=1)
        return f"Nothing waited; MLflow at {masked(uri)} answers."
    if not logged:
        return f"Nothing waits: {root} has no {journal.FOLDER}."
    answer = Sender().send(root)
    if waiting := _waiting(root):
        listed = ", ".join(f"{opening['stage']} of {_time(opening['at'])}" for opening in waiting)
        why = " ".join(answer.said).replace(LATER, "run `dermascreen sync` again")
        raise StoreError(f"{why} Waiting: {listed}.")
    sent = f"{len(before)} run{'s' * (len(before) != 1)} sent" if before else "Nothing waited"
    return " ".join([f"{sent}; MLflow has all that was logged.", *answer.said])


def _waiting(root: Path) -> list[Event]:
    """The event that opens each run that has ended and is not sent."""
    found: list[Event] = []
    for entry in journal.entries(root):
        with suppress(FileNotFoundError):  # another process has just sent and removed it
            if not entry.is_alive():
                found += entry.events()[:1]
    return found


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1000).astimezone().isoformat(" ", "seconds")


def _opened(root: Path, experiment: str) -> Store:
    try:
        with answering(store_uri(root), WAITS, LATER):
            return open_store(root, experiment)
    except StoreError as error:
        if error.__cause__ is not None:  # and the sentence says what follows
            raise
        raise StoreError(f"{str(error).rstrip('.')}; until then, {WAITS}.") from error


def _events(entry: Entry, *, alive: bool) -> list[Event]:
    """The events of an entry, with an end for a process that was killed."""
    events = entry.events()
    if events and not alive and events[-1]["event"] != journal.CLOSE:
        events.append({"event": journal.CLOSE, "at": events[-1]["at"], "status": KILLED})
    return events


def _created(store: Store, entry: Entry, opening: Event, *, begun: Sent | None, said: list[str]) -> str:
    """The id of the run that `opening` describes, which is created unless an earlier attempt has done so."""
    client, experiment = store.client, store.experiment_id
    found: list[Run] = []
    if begun is not None:
        same = f"attributes.start_time = {opening['at']} and tags.stage = '{opening['stage']}'"
        found = client.search_runs([experiment], same)
    else:
        entry.mark(Sent(fingerprint(store.uri)))
    if found:
        run = found[0].info.run_id
    else:
        tags = dict(opening["tags"])
        if opening["about_a_model"]:
            tags |= _place(client, experiment, opening["inputs"], said)
        _introduce(client, experiment, opening)
        created = client.create_run(experiment, start_time=opening["at"], tags=tags, run_name=opening["name"])
        run = created.info.run_id
    _log(client, run, opening["at"], params=opening["params"])
    return str(run)


def _introduce(client: "MlflowClient", experiment: str, opening: Event) -> None:
    """Give an experiment its saved view and its description, unless it has them, perhaps changed by people."""
    known = client.get_experiment(experiment).tags
    if opening["stage"] == TRAIN or opening["about_a_model"]:
        new = {page.VIEW_TAG: page.saved_view(opening["at"]), page.NOTE: page.ABOUT_MODELS}
    else:
        new = {page.NOTE: page.ABOUT_DATA}
    for tag in new.keys() - known.keys():
        client.set_experiment_tag(experiment, tag, new[tag])


def _apply(store: Store, run: str, entry: Entry, event: Event) -> None:
    client = store.client
    match event["event"]:
        case journal.METRICS:
            _log(client, run, event["at"], metrics=event["metrics"], step=event["step"])
        case journal.TAGS:
            _log(client, run, event["at"], tags=event["tags"])
        case journal.DATASET:
            client.log_inputs(run, [_dataset(event)])
        case journal.ARTIFACT:
            client.log_artifact(run, str(entry.folder / event["file"]))
        case journal.OUTPUTS:
            _log_outputs(store, run, event)
        case journal.CLOSE:
            client.set_terminated(run, event["status"], event["at"])


def _place(client: "MlflowClient", experiment: str, inputs: Mapping[str, str], said: list[str]) -> dict[str, str]:
    """Tags that name the model a stage is about, and put its run below the model's row."""
    model = _model(client, experiment, inputs)
    row = _latest(client, experiment, {"stage": TRAIN, f"output.{WEIGHTS}": model}) if model else None
    if row is None:
        said.append("MLflow has no run that trained these weights; this run is logged on its own.")
        return {"model": model} if model else {}
    return {"model": str(model), "mlflow.parentRunId": row.info.run_id}


def _log_outputs(store: Store, run_id: str, event: Event) -> None:
    """Tag the run with what it wrote, and put model and results on one row."""
    client = store.client
    _log(client, run_id, event["at"], tags=event["tags"])
    run = client.get_run(run_id)
    if f"output.{WEIGHTS}" in event["tags"]:
        _log_model(store, run)
    if row := run.data.tags.get("mlflow.parentRunId"):
        _show_on_row(client, row, run)
    # DVC does not evaluate the same weights again, so a model that was seen before gets its earlier results.
    for stage, params in event["later"].items():
        same = {"stage": stage, "model": event["tags"].get(f"output.{WEIGHTS}", "")}
        runs = (found for found in _finished(client, run.info.experiment_id, same) if found.data.params == params)
        if found := next(runs, None):
            _show_on_row(client, run_id, found)


def _log_model(store: Store, run: "Run") -> None:
    """Enter what a run trained among MLflow's models, unless it is there; its weights are where DVC keeps them."""
    import mlflow  # noqa: PLC0415
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus  # noqa: PLC0415

    client, model = store.client, ""
    same = f"source_run_id = '{run.info.run_id}'"
    for found in client.search_logged_models([run.info.experiment_id], same):
        if found.status == LoggedModelStatus.READY:
            model = found.model_id
        else:  # by a process that was killed meanwhile
            client.delete_logged_model(found.model_id)
    if not model:
        tags = {name: value for name, value in run.data.tags.items() if name in (page.COMMAND, "mlflow.source.name")}
        tags |= {"weights": WEIGHTS, "weights.md5": run.data.tags[f"output.{WEIGHTS}"]}
        with chosen(store):
            model = mlflow.create_external_model(
                name=re.sub(r"[^\w-]+", "-", run.info.run_name)[:MODEL_NAME], source_run_id=run.info.run_id,
                tags=tags, params=run.data.params, model_type="image-classifier", experiment_id=run.info.experiment_id,
            ).model_id  # fmt: skip
    if not (run.outputs and run.outputs.model_outputs):
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model, step=0)])


def _model_of(client: "MlflowClient", run: "Run") -> str | None:
    """The id of the model that a run trained, if there is one."""
    found = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    return str(found[0].model_id) if found else None


def _log(
    client: "MlflowClient",
    run_id: str,
    at: int,
    *,
    metrics: Mapping[str, float] | None = None,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    step: int | None = None,
) -> None:
    from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415

    client.log_batch(
        run_id,
        metrics=[Metric(name, value, at, step or 0) for name, value in (metrics or {}).items()],
        params=[Param(name, value) for name, value in (params or {}).items()],
        tags=[RunTag(name, value) for name, value in (tags or {}).items()],
    )


def _dataset(event: Event) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415

    profile = json.dumps({"num_rows": event["rows"], "num_elements": event["elements"]})
    source = json.dumps({"tags": event["tags"]})
    dataset = Dataset(event["name"], event["digest"], source_type="code", source=source, profile=profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", event["name"])])


def _show_on_row(client: "MlflowClient", row: str, run: "Run") -> None:
    """Copy results onto a model's row, and parameters as its tags: a finished run's cannot be added to.

    MLflow's models have the results too, each tied to the part of the images that it was measured on.
    """
    from mlflow.entities import Metric  # noqa: PLC0415

    source = {f"{run.data.tags['stage']}.run_id": run.info.run_id}
    _log(client, row, journal.now(), tags=run.data.params | source)
    if used := _datasets(run):
        client.log_inputs(row, used)
    shown = client.get_run(row)
    model, parts = _model_of(client, shown), {used.dataset.name: used.dataset for used in _datasets(shown)}
    metrics = []
    for name, value in run.data.metrics.items():
        part = parts.get(page.PARTS.get(name.split("/")[0], ""))
        of_part = {"dataset_name": part.name, "dataset_digest": part.digest} if part else {}
        metrics.append(Metric(name, value, journal.now(), 0, model_id=model, **of_part))
    client.log_batch(row, metrics=metrics)
    shown = client.get_run(row)
    report = shown.data.tags.get("report.run_id")
    address = page.files_address(shown.info.experiment_id, report) if report else None
    note = page.described(shown.data.metrics, shown.data.tags.get(page.COMMAND, "dvc repro"), address)
    client.set_tag(row, page.NOTE, note)


def _datasets(run: "Run") -> "list[DatasetInput]":
    return [*run.inputs.dataset_inputs] if run.inputs else []


def _model(client: "MlflowClient", experiment: str, inputs: Mapping[str, str]) -> str | None:
    """The md5 of the weights behind a stage's inputs; for predictions, of the weights that their run read."""
    if WEIGHTS in inputs:
        return inputs[WEIGHTS]
    for path, md5 in inputs.items():
        maker = _latest(client, experiment, {f"output.{path}": md5})
        if maker is not None and "model" in maker.data.tags:
            return str(maker.data.tags["model"])
    return None


def _latest(client: "MlflowClient", experiment: str, tags: Mapping[str, str]) -> "Run | None":
    return next(iter(_finished(client, experiment, tags)), None)


def _finished(client: "MlflowClient", experiment: str, tags: Mapping[str, str]) -> "list[Run]":
    """The finished runs with these tags, the latest first."""
    conditions = ["attributes.status = 'FINISHED'", *(f"tags.`{name}` = '{value}'" for name, value in tags.items())]
    return list(client.search_runs([experiment], " and ".join(conditions), order_by=["attributes.start_time DESC"]))
