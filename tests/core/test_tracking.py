import base64
import getpass
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pytest
from programs import free_port, wait_for

from dermascreen.artifacts.model.description import WEIGHTS
from dermascreen.core.errors import StoreError
from dermascreen.core.params import Params, read_params, with_changes
from dermascreen.core.tracking import address, failures, journal, page, sending
from dermascreen.core.tracking import run as tracking_run
from dermascreen.core.tracking import store as tracking_store
from dermascreen.core.tracking.address import store_uri, user
from dermascreen.core.tracking.run import Run, _changes, _texts, tracked_run
from dermascreen.core.tracking.sending import Answer, Sender

REPOSITORY = Path(__file__).parents[2]
PARAMS = read_params(REPOSITORY / "params.yaml")
MODEL = str(WEIGHTS)
PREDICTIONS = "reports/predictions.csv"
ALONE = "MLflow has no run that trained these weights; this run is logged on its own."


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))}


class Direct:
    """What a service does, in this process and at once."""

    def __init__(self, root: Path, run: str) -> None:
        self._root, self._run, self._sender = root, run, Sender()

    def ask(self) -> Answer:
        return self._sender.send(self._root, self._run)

    def finish(self, *, patient: bool) -> Answer:  # noqa: ARG002 - as the service does
        return self._sender.send(self._root, self._run)


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_run, "Service", Direct)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that has its tables, as creating them takes seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    with failures.quiet():
        tracking_store.import_mlflow()(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def root(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with an empty store, seen from a temporary copy of it."""
    root = tmp_path / "project"
    copy = tmp_path / "copy"
    root.mkdir()
    copy.mkdir()
    shutil.copy(empty_store, root)
    monkeypatch.chdir(copy)
    for name in {*os.environ, *tracking_store.ENVIRONMENT} - {*clean_environment()}:
        monkeypatch.setenv(name, "")  # so that what tracking sets is undone at the end
        monkeypatch.delenv(name)
    yield root
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415

    for engine in SqlAlchemyStore._engine_map.values():
        engine.dispose()


def runs(root: Path, experiment: str = "dermascreen") -> list[Any]:
    """All runs of an experiment, the oldest first."""
    with failures.quiet():
        client = tracking_store.import_mlflow()(f"sqlite:///{root}/mlflow.db")
        found = client.get_experiment_by_name(experiment)
        return [] if found is None else [*client.search_runs([found.experiment_id], order_by=["start_time ASC"])]


def train(root: Path, weights: str = "w1", params: Params = PARAMS, **metrics: float) -> None:
    with tracked_run("train", params, root, {"data/splits.csv": "s1"}) as run:
        run.log_metrics({"best_epoch": 3, **metrics})
        run.log_outputs({MODEL: weights})


def evaluate(root: Path, weights: str = "w1", auc: float = 0.9, params: Params = PARAMS) -> None:
    with tracked_run("evaluate", params, root, {"data/splits.csv": "s1", MODEL: weights}) as run:
        run.log_tags({"test_images": "t1"})
        run.log_metrics({"test.roc_auc": auc})
        run.log_outputs({PREDICTIONS: f"predictions of {weights}"})


def threshold(root: Path, weights: str = "w1", recall: float = 0.95, params: Params = PARAMS) -> None:
    with tracked_run("threshold", params, root, {PREDICTIONS: f"predictions of {weights}"}) as run:
        run.log_metrics({"high_recall.test.recall": recall})
        run.log_outputs({"models/operating_points.json": "o1"})


def with_target(recall: float) -> Params:
    return PARAMS.model_copy(update={"threshold": PARAMS.threshold.model_copy(update={"target_recall": recall})})


def test_a_data_stage_is_a_run_with_its_parameters_metrics_and_hashes(root: Path) -> None:
    with tracked_run("split", PARAMS, root, {"data/lesions.csv": "l1", "data/(old) raw/": "r1"}) as run:
        run.log_metrics({"test.images": 660.0})
        run.log_outputs({"data/splits.csv": "s1", "metrics/split.json": "m1"})
    (logged,) = runs(root, "dermascreen-data")
    assert (logged.info.run_name, logged.info.status) == ("split", "FINISHED")
    assert logged.data.params == {
        "split.protocol": "official",
        "split.val_fraction": "0.2",
        "split.test_fraction": "0.2",
        "split.selection_fraction": "0.0",
        "split.folds": "0",
        "split.fold": "0",
        "split.seed": "0",
    }
    assert logged.data.metrics == {"test.images": 660.0}
    assert {name: value for name, value in logged.data.tags.items() if not name.startswith("mlflow.")} == {
        "stage": "split",
        "input.data/lesions.csv": "l1",
        "input.data/_old_ raw": "r1",
        "output.data/splits.csv": "s1",
        "output.metrics/split.json": "m1",
    }
    assert logged.data.tags["mlflow.source.name"] == "stages/split.py"
    assert runs(root) == []


@pytest.mark.parametrize("stage", tracking_run.DATA_STAGES)
def test_every_data_stage_logs_its_own_section_beside_the_models(stage: str, root: Path) -> None:
    with tracked_run(stage, PARAMS, root, {}):
        pass
    (logged,) = runs(root, "dermascreen-data")
    section = {"download": "data"}.get(stage, stage)
    assert {name.split(".")[0] for name in logged.data.params} == {section}


def test_one_row_shows_a_model_with_its_parameters_and_results(root: Path) -> None:
    train(root)
    evaluate(root)
    threshold(root)
    with tracked_run("explain", PARAMS, root, {PREDICTIONS: "predictions of w1", MODEL: "w1"}) as run:
        run.log_metrics({"faithfulness": 0.7})
        run.log_outputs({})
    row, *children = runs(root)

    assert {child.info.run_name for child in children} == {"evaluate", "threshold", "explain"}
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {row.info.run_id}
    assert {child.data.tags["model"] for child in children} == {"w1"}
    assert [child.data.tags.get("test_images") for child in children] == ["t1", None, None]
    assert {name for child in children for name in child.data.params} == {
        "evaluate.batch_size", "evaluate.tta", "evaluate.bootstrap_draws", "evaluate.external",
        "threshold.target_recall", "threshold.confidence", "threshold.target_specificity", "threshold.groups",
        "explain.checked", "explain.images", "explain.layer", "explain.variant",
    }  # fmt: skip

    assert row.info.status == "FINISHED"
    assert row.data.metrics == {
        "best_epoch": 3.0, "test.roc_auc": 0.9, "high_recall.test.recall": 0.95, "faithfulness": 0.7,
    }  # fmt: skip
    assert {name.split(".")[0] for name in row.data.params} == {
        "seed", "data", "audit", "split", "preprocess", "model", "train",
    }  # fmt: skip
    assert row.data.params["train.lr"] == "0.001"
    assert row.data.params["train.augment.flip"] == "true"
    assert row.data.params["model.weights"] == "IMAGENET1K_V2"
    assert row.data.tags["threshold.target_recall"] == "0.95"
    assert row.data.tags["explain.layer"] == "auto"
    ids = {child.info.run_name: child.info.run_id for child in children}
    assert {stage: row.data.tags[f"{stage}.run_id"] for stage in ids} == ids


def test_a_later_choice_of_threshold_replaces_the_earlier_on_the_row(root: Path) -> None:
    train(root)
    evaluate(root)
    threshold(root, recall=0.9)
    threshold(root, recall=0.8, params=with_target(0.99))
    row = runs(root)[0]
    assert row.data.metrics["high_recall.test.recall"] == 0.8
    assert row.data.tags["threshold.target_recall"] == "0.99"


def test_results_go_to_the_model_with_these_weights_and_the_latest_of_equals(root: Path) -> None:
    for weights in ("w1", "w2", "w1", "w3"):
        train(root, weights)
    evaluate(root, "w1")
    threshold(root, "w1")
    shown = [sorted(row.data.metrics) for row in runs(root)[:4]]
    results = ["best_epoch", "high_recall.test.recall", "test.roc_auc"]
    assert shown == [["best_epoch"], ["best_epoch"], results, ["best_epoch"]]


def test_a_model_that_was_seen_before_takes_its_results_along(root: Path) -> None:
    train(root)
    evaluate(root)
    threshold(root, recall=0.9)
    threshold(root, recall=0.8, params=with_target(0.99))
    train(root, best_val=0.6)
    train(root, "w2")
    *_, again, other = runs(root)
    assert again.data.metrics == {
        "best_epoch": 3.0, "best_val": 0.6, "test.roc_auc": 0.9, "high_recall.test.recall": 0.9,
    }  # fmt: skip
    assert again.data.tags["threshold.target_recall"] == "0.95"
    assert again.data.tags["evaluate.run_id"] == runs(root)[1].info.run_id
    assert other.data.metrics == {"best_epoch": 3.0}
    assert "threshold.target_recall" not in other.data.tags


def test_results_of_a_failed_stage_do_not_reach_the_row(root: Path) -> None:
    train(root)

    def fail(run: Run) -> None:
        run.log_metrics({"test.roc_auc": 0.1})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), tracked_run("evaluate", PARAMS, root, {MODEL: "w1"}) as run:
        fail(run)
    train(root)
    shown = [sorted(logged.data.metrics) for logged in runs(root)]
    assert shown == [["best_epoch"], ["test.roc_auc"], ["best_epoch"]]


def test_without_its_training_run_a_stage_is_logged_on_its_own(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(root)
    (logged,) = runs(root)
    assert logged.info.status == "FINISHED"
    assert logged.data.metrics == {"test.roc_auc": 0.9}
    assert "mlflow.parentRunId" not in logged.data.tags
    assert capsys.readouterr().err == f"evaluate: {ALONE}\n"


def test_dvc_names_the_experiment_and_the_model(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(root)
    monkeypatch.setenv("DVC_EXP_NAME", "brisk-lion")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0123abc")
    train(root)
    evaluate(root)
    first, *named = runs(root)
    assert "dvc.exp_name" not in first.data.tags
    assert [logged.info.run_name for logged in (first, *named)] == ["resnet50", "brisk-lion", "evaluate"]
    assert {logged.data.tags["dvc.exp_name"] for logged in named} == {"brisk-lion"}
    assert {logged.data.tags["dvc.exp_baseline_rev"] for logged in named} == {"0123abc"}


def git(*arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], capture_output=True, text=True, check=True).stdout.strip()


def test_a_model_is_named_after_what_differs_from_the_revision(root: Path) -> None:
    shutil.copy(REPOSITORY / "params.yaml", ".")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "a")
    train(root)
    written = Path("params.yaml").read_text("utf-8")
    for old, new in (("seed: 0", "seed: 3"), ("lr: 1.0e-3", "lr: 5e-05"), ("ema: 0.0", "ema: 0.5")):
        assert written.count(old)
        written = written.replace(old, new, 1)
    Path("params.yaml").write_text(written, encoding="utf-8")
    train(root)
    Path("params.yaml").write_text(written.replace("  epochs: 30", "  epochs: 9", 1), encoding="utf-8")
    train(root)
    plain, changed, more = runs(root)
    assert plain.info.run_name == "resnet50"
    revision = git("rev-parse", "HEAD")
    assert plain.data.tags["command"] == f"git checkout {revision}\ndvc repro"
    assert changed.info.run_name == "seed=3, train.lr=5e-05, train.ema=0.5"
    assert changed.data.tags["command"] == (
        f"git checkout {revision}\ndvc exp run -S seed=3 -S train.lr=5e-05 -S train.ema=0.5"
    )
    assert more.info.run_name.endswith(" and 1 more")


def test_a_row_says_what_was_found_how_it_is_made_again_and_where_the_report_is(root: Path) -> None:
    train(root)
    with tracked_run("evaluate", PARAMS, root, {MODEL: "w1"}) as run:
        run.log_dataset(pd.DataFrame({"path": ["a"]}), "test", "d1", {"data/splits.csv": "s1"})
        run.log_metrics({"test/roc_auc": 0.98765, "val/roc_auc": 0.9})
        run.log_outputs({PREDICTIONS: "p1"})
    with tracked_run("report", PARAMS, root, {MODEL: "w1"}) as run:
        run.log_outputs({})
    row, _, report = runs(root)
    assert row.data.tags["mlflow.note.content"] == (
        "| | |\n| --- | --- |\n| ROC AUC on test | 0.9877 |\n| ROC AUC on val | 0.9 |\n\n"
        "Made again by:\n\n```sh\ndvc repro\n```\n\n"
        f"[The report](#/experiments/{row.info.experiment_id}/runs/{report.info.run_id}/artifacts?"
        "workflowType=machine_learning) is among the artifacts of the run of stage report."
    )
    client = tracking_store.import_mlflow()(f"sqlite:///{root}/mlflow.db")
    [model] = client.search_logged_models([row.info.experiment_id])
    assert (model.name, model.source_run_id, model.tags["weights.md5"]) == ("resnet50", row.info.run_id, "w1")
    assert model.params["train.lr"] == "0.001"
    assert {(metric.key, metric.value, metric.dataset_name) for metric in model.metrics} == {
        ("test/roc_auc", 0.98765, "test"), ("val/roc_auc", 0.9, None),
    }  # fmt: skip


def test_an_experiment_has_a_view_that_is_written_once(root: Path) -> None:
    train(root)
    client = tracking_store.import_mlflow()(f"sqlite:///{root}/mlflow.db")
    experiment = client.get_experiment_by_name("dermascreen")
    view = json.loads(experiment.tags[page.VIEW_TAG])
    assert (view["name"], experiment.tags["mlflow.note.content"]) == ("Compare models", page.ABOUT_MODELS)
    state = json.loads(zlib.decompress(base64.b64decode(view["state"].removeprefix("deflate;"))))
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`test/roc_auc`", False)
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} < {
        section["uuid"] for section in state["compareRunSections"]
    }
    client.set_experiment_tag(experiment.experiment_id, page.VIEW_TAG, "mine")
    evaluate(root)
    assert client.get_experiment_by_name("dermascreen").tags[page.VIEW_TAG] == "mine"


def test_the_code_is_known_by_its_revision_and_whether_it_differs(root: Path) -> None:
    git("init", "--quiet")
    Path("src").mkdir()
    Path("src/code.py").touch()
    Path("params.yaml").touch()
    git("add", ".")
    git("commit", "--quiet", "--message", "a")
    Path("params.yaml").write_text("seed: 1", encoding="utf-8")  # is on record in the run itself
    train(root)
    Path("src/more.py").touch()
    train(root)
    logged = runs(root)
    assert {run.data.tags["mlflow.source.git.commit"] for run in logged} == {git("rev-parse", "HEAD")}
    assert [run.data.tags["mlflow.source.git.dirty"] for run in logged] == ["false", "true"]


def test_curves_data_sets_and_files(root: Path) -> None:
    frame = pd.DataFrame({"path": ["a", "b"], "label": [0, 1]})
    Path("note.txt").write_text("note", encoding="utf-8")
    with tracked_run("train", PARAMS, root, {}) as run:
        for epoch, loss in enumerate((0.7, 0.5, 0.6)):
            run.log_metrics({"val_loss": loss}, step=epoch)
        run.log_dataset(frame, "train", "d" * 32 + ".dir", {"data/splits.csv": "s1"})
        run.log_dataset(frame[:1], "val", "d1", {"data/splits.csv": "s1", "data/processed": "p1.dir"})
        run.log_artifact("note.txt")
    (logged,) = runs(root)
    client = tracking_store.import_mlflow()(f"sqlite:///{root}/mlflow.db")
    history = client.get_metric_history(logged.info.run_id, "val_loss")
    assert [(metric.step, metric.value) for metric in history] == [(0, 0.7), (1, 0.5), (2, 0.6)]

    inputs = {entry.dataset.name: entry for entry in logged.inputs.dataset_inputs}
    assert {name: entry.dataset.digest for name, entry in inputs.items()} == {"train": "d" * 32 + ".dir", "val": "d1"}
    assert inputs["train"].dataset.profile == '{"num_rows": 2, "num_elements": 4}'
    assert json.loads(inputs["val"].dataset.source) == {
        "tags": {
            "mlflow.source.name": "data/splits.csv, data/processed",
            "md5 of data/splits.csv": "s1",
            "md5 of data/processed": "p1.dir",
        }
    }
    assert {name: [(tag.key, tag.value) for tag in entry.tags] for name, entry in inputs.items()} == {
        "train": [("mlflow.data.context", "train")],
        "val": [("mlflow.data.context", "val")],
    }

    artifacts = root / "mlartifacts" / logged.info.run_id / "artifacts"
    assert (artifacts / "note.txt").read_text("utf-8") == "note"
    assert [path.name for path in Path().iterdir()] == ["note.txt"]  # nothing in the temporary copy


def test_a_run_id_in_the_environment_takes_nothing_over(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(root)
    monkeypatch.setenv("MLFLOW_RUN_ID", runs(root)[0].info.run_id)
    train(root, "w2")
    assert [run.data.tags[f"output.{MODEL}"] for run in runs(root)] == ["w1", "w2"]


def test_a_deleted_experiment_is_restored(root: Path) -> None:
    train(root)
    client = tracking_store.import_mlflow()(f"sqlite:///{root}/mlflow.db")
    client.delete_experiment(runs(root)[0].info.experiment_id)
    train(root, "w2")
    assert [run.info.status for run in runs(root)] == ["FINISHED", "FINISHED"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ZeroDivisionError(), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(143), "KILLED"),
        (SystemExit(1), "FAILED"),
    ],
)
def test_a_run_ends_as_its_stage_does(error: BaseException, status: str, root: Path) -> None:
    with pytest.raises(type(error)), tracked_run("audit", PARAMS, root, {}):
        raise error
    assert [run.info.status for run in runs(root, "dermascreen-data")] == [status]


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (None, "sqlite:////project/mlflow.db"),
        ("", "sqlite:////project/mlflow.db"),
        ("sqlite:///runs/x.db", "sqlite:////project/runs/x.db"),
        ("sqlite+pysqlite:///x.db?timeout=5", "sqlite+pysqlite:////project/x.db?timeout=5"),
        ("sqlite:////elsewhere/x.db", "sqlite:////elsewhere/x.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("./mlruns", "/project/mlruns"),
        ("/elsewhere/mlruns", "/elsewhere/mlruns"),
        ("file:mlruns", "file:///project/mlruns"),
        ("file:///elsewhere/mlruns", "file:///elsewhere/mlruns"),
        ("http://localhost:5000", "http://localhost:5000"),
        ("postgresql://host/db", "postgresql://host/db"),
        ("databricks", "databricks"),
    ],
)
def test_a_relative_store_is_that_of_the_project(given: str | None, used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if given is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert store_uri(Path("/project")) == used


ODD = [
    "a b",
    "d%20e",
    "h?i",
    "#1",
    "ü",
    "it's",
    'say "x"',
    "a&b",
    "a+b",
    "back\\slash",
    "me:you@home",
    "line\nbreak",
    "-",
    "{x}",
]
ALL_AT_ONCE = "".join(ODD)


@pytest.mark.parametrize("name", [*ODD, ALL_AT_ONCE])
def test_a_project_is_tracked_whatever_its_folder_is_called(
    name: str, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "in" / name
    root.mkdir(parents=True)
    if name != ALL_AT_ONCE:  # for which the store is made there
        shutil.copy(empty_store, root)
    monkeypatch.chdir(root)
    note = tmp_path / "note.txt"
    note.touch()
    with tracked_run("train", PARAMS, root, {}) as run:
        run.log_metrics({"loss": 1.0})
        run.log_artifact(note)
    assert capsys.readouterr() == ("", "")
    with sqlite3.connect(root / "mlflow.db") as database:
        [(run_id, status, place)] = database.execute("SELECT run_uuid, status, artifact_uri FROM runs")
    database.close()
    assert (status, place) == ("FINISHED", (root / "mlartifacts" / run_id / "artifacts").as_uri())
    assert (root / "mlartifacts" / run_id / "artifacts/note.txt").exists()
    assert [path.name for path in (tmp_path / "in").iterdir()] == [name]
    assert address.database_file(store_uri(root)) == root / "mlflow.db"


def test_a_folder_whose_name_is_no_text_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / os.fsdecode(b"b\xe4r")
    root.mkdir()
    train(root)
    assert capsys.readouterr().err == (
        f"train: MLflow's store cannot be in {str(root)!a}, which has a character that an address cannot hold; "
        "rename the folder, or set MLFLOW_TRACKING_URI; until then, what is logged waits in .dermascreen/tracking.\n"
    )


def train_with_a_file(root: Path) -> None:
    """Train, and see the file that is logged arrive in the project."""
    before = len([*root.rglob("note.txt")])
    Path("note.txt").touch()
    with tracked_run("train", PARAMS, root, {}) as run:
        run.log_artifact("note.txt")
    assert len([*root.rglob("note.txt")]) == before + 1


def places(root: Path) -> set[str]:
    """The folders that a store names."""
    with sqlite3.connect(root / "mlflow.db") as database:
        found = [*database.execute("SELECT artifact_uri FROM runs UNION SELECT artifact_location FROM experiments")]
    database.close()
    return {place.partition("/mlartifacts")[0] for (place,) in found if "mlartifacts" in place}


def test_a_project_that_was_moved_finds_its_artifacts_and_writes_no_more_to_the_old_place(root: Path) -> None:
    train_with_a_file(root)
    moved = root.with_name("moved %3F")
    root.rename(moved)
    train_with_a_file(moved)
    assert places(moved) == {moved.as_uri()}
    assert not root.exists()
    moved.rename(root)
    train_with_a_file(root)
    assert places(root) == {root.as_uri()}


def test_an_old_place_that_may_not_be_looked_at_is_left(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_with_a_file(root)
    copy = root.with_name("mine")
    shutil.copytree(root, copy)
    exists = Path.exists

    def denied(self: Path) -> bool:
        if self.is_relative_to(root):
            raise PermissionError(13, "Permission denied", str(self))
        return exists(self)

    monkeypatch.setattr(Path, "exists", denied)
    train_with_a_file(copy)
    assert places(copy) == {copy.as_uri()}


@pytest.mark.parametrize("what", ["all", "store"])
def test_a_copy_of_a_project_writes_nothing_into_the_original(what: str, root: Path) -> None:
    train_with_a_file(root)
    before = sorted(root.rglob("*"))
    copy = root.with_name("another")
    shutil.copytree(root, copy)
    if what == "store":
        shutil.rmtree(copy / "mlartifacts")
    train_with_a_file(copy)
    assert sorted(root.rglob("*")) == before
    assert places(root) == {root.as_uri()}
    # The files of the first run are where they are.
    assert places(copy) == ({copy.as_uri()} if what == "all" else {copy.as_uri(), root.as_uri()})


def test_a_store_outside_of_the_project_is_left_as_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "mlflow.db").rename(root.with_name("team.db"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root.with_name('team.db')}")
    train(root)
    moved = root.with_name("moved")
    root.rename(moved)
    train(moved)
    assert capsys.readouterr().err == (
        f"train: MLflow at sqlite:///{root.with_name('team.db')} keeps the files of experiment dermascreen in "
        f"{root}/mlartifacts, which is not there; put that folder back, or give tracking.experiment in params.yaml "
        "another name; until then, what is logged waits in .dermascreen/tracking.\n"
    )
    assert not root.exists()


def test_a_store_of_the_users_own_wins(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "mlflow.db").rename(root / "own.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///own.db")
    train(root)
    (root / "own.db").rename(root / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (logged,) = runs(root)
    assert logged.info.artifact_uri == (root / "mlartifacts" / logged.info.run_id / "artifacts").as_uri()


WAITS = "so what is logged waits in .dermascreen/tracking"
LATER = "run `dermascreen sync`, or let the next stage send it"


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("text", "is not a database that can be read (file is not a database), {}; put a complete copy in its place"),
        ("folder", "cannot be opened to read and write (unable to open database file), {}; make sure that you have"),
    ],
)
def test_a_broken_store_is_one_line_without_a_wait(
    kind: str, problem: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    naps: list[float] = []
    monkeypatch.setattr(tracking_run, "revision", lambda: None)  # which naps while Git is at work
    monkeypatch.setattr(time, "sleep", naps.append)
    store = root / "mlflow.db"
    store.write_bytes(b"no database " * 100)
    if kind == "folder":
        store.unlink()
        store.mkdir()
    train(root)
    assert sum(naps) < 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"train: MLflow at sqlite:///{store} {problem.format(WAITS)}")
    assert err.count("\n") == 1
    assert len(journal.entries(root)) == 1


def test_an_unreachable_server_is_one_line_without_its_password(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:p@ss/w0rd@127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    evaluate(root)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("evaluate: MLflow at http://***@127.0.0.1:1 cannot be reached (")
    assert err.endswith(
        f", {WAITS}; check that it is running and that MLFLOW_TRACKING_URI is its address, and {LATER}.\n"
    )
    assert err.count("\n") == 1
    assert "w0rd" not in err
    assert not [path for path in root.rglob("*") if path.is_file() and b"w0rd" in path.read_bytes()]
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "10"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    for way in ("DOWNLOAD", "UPLOAD"):  # of files, which go through the server
        assert os.environ[f"MLFLOW_ENABLE_PROXY_MULTIPART_{way}"] == "false"


def test_what_a_store_that_was_away_missed_is_sent_by_the_next_stage_in_order_and_once(
    root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store, away = root / "mlflow.db", root / "away"
    Path("note.txt").write_text("note", encoding="utf-8")
    train(root, "w0")
    with tracked_run("train", PARAMS, root, {}) as run:
        run.log_metrics({"val_loss": 0.5}, step=0)
        store.rename(away)
        store.mkdir()
        run.log_metrics({"val_loss": 0.4}, step=1)
        run.log_metrics({"val_loss": 0.3}, step=2)
        run.log_artifact("note.txt")
        run.log_outputs({MODEL: "w1"})
    Path("note.txt").unlink()
    evaluate(root)
    out, err = capfd.readouterr()
    assert out == ""
    assert [line.split(" cannot")[0] for line in err.splitlines()] == [
        f"{stage}: MLflow at sqlite:///{store}" for stage in ("train", "evaluate")
    ]
    store.rmdir()
    away.rename(store)
    threshold(root)
    assert capfd.readouterr().err == "threshold: MLflow now has 2 earlier runs too.\n"
    assert not journal.entries(root)

    first, row, *results = runs(root)
    assert [logged.info.run_name for logged in (first, row, *results)] == ["resnet50"] * 2 + ["evaluate", "threshold"]
    assert {logged.data.tags["mlflow.parentRunId"] for logged in results} == {row.info.run_id}
    assert row.data.metrics == {"val_loss": 0.3, "test.roc_auc": 0.9, "high_recall.test.recall": 0.95}
    assert (root / "mlartifacts" / row.info.run_id / "artifacts/note.txt").read_text("utf-8") == "note"
    client = tracking_store.import_mlflow()(f"sqlite:///{store}")
    history = client.get_metric_history(row.info.run_id, "val_loss")
    assert [(metric.step, metric.value) for metric in history] == [(0, 0.5), (1, 0.4), (2, 0.3)]
    for logged in runs(root):  # with the times at which it was
        assert logged.info.start_time <= logged.info.end_time <= history[-1].timestamp + 60_000


@contextmanager
def server(folder: Path, port: str) -> Iterator[None]:
    """MLflow's server, killed at the end."""
    command = [
        sys.executable, "-m", "mlflow", "server", "--port", port, "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    log = folder / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=clean_environment(), stdout=output, stderr=output, start_new_session=True
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process, log)
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_server_that_is_killed_in_the_midst_of_training_ends_equal_to_one_that_was_not(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    Path("note.txt").touch()
    with ExitStack() as stack:
        running = stack.enter_context(ExitStack())
        running.enter_context(server(root, port))
        with tracked_run("train", PARAMS, root, {}) as run:
            run.log_metrics({"val_loss": 0.5}, step=0)
            running.close()
            run.log_metrics({"val_loss": 0.4}, step=1)
            run.log_artifact("note.txt")
            stack.enter_context(server(root, port))
            run.log_metrics({"val_loss": 0.3}, step=2)
            run.log_outputs({MODEL: "w1"})
        evaluate(root)
        client = tracking_store.import_mlflow()(f"http://127.0.0.1:{port}")
        experiment = client.get_experiment_by_name("dermascreen")
        result, row = client.search_runs([experiment.experiment_id])
        assert (row.info.status, result.info.status) == ("FINISHED", "FINISHED")
        assert result.data.tags["mlflow.parentRunId"] == row.info.run_id
        measured = {name: value for name, value in row.data.metrics.items() if not name.startswith("system/")}
        assert measured == {"val_loss": 0.3, "test.roc_auc": 0.9}
        history = client.get_metric_history(row.info.run_id, "val_loss")
        assert [(metric.step, metric.value) for metric in history] == [(0, 0.5), (1, 0.4), (2, 0.3)]
        assert "note.txt" in {file.path for file in client.list_artifacts(row.info.run_id)}
        assert len(client.search_logged_models([experiment.experiment_id])) == 1
    assert not journal.entries(root)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"train: MLflow at http://127.0.0.1:{port} cannot be reached (")


def test_a_run_that_ends_while_it_is_sent_is_not_said_to_have_waited(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    send = Sender._send

    def ending(self: Sender, *values: Any) -> list[str]:
        said = send(self, *values)
        monkeypatch.setattr(journal.Entry, "is_alive", lambda _: False)
        return said

    monkeypatch.setattr(Sender, "_send", ending)
    train(root)
    evaluate(root)
    assert capsys.readouterr().err == ""


def test_only_a_stage_that_others_follow_leaves_its_run_to_them(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []
    monkeypatch.setattr(Direct, "finish", lambda _, patient: waited.append(patient))
    for stage in ("split", "train", "report"):
        with tracked_run(stage, PARAMS, root, {}):
            pass
    with pytest.raises(ZeroDivisionError), tracked_run("split", PARAMS, root, {}):
        raise ZeroDivisionError
    assert waited == [False, True, True, True]


def test_runs_of_another_experiment_do_not_wait_for_one_that_cannot_be_opened(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = sending.open_store

    def refusing(root: Path, experiment: str) -> tracking_store.Store:
        if experiment == "dermascreen":
            raise StoreError("No.")
        return opened(root, experiment)

    monkeypatch.setattr(sending, "open_store", refusing)
    train(root)
    with tracked_run("audit", PARAMS, root, {}) as run:
        run.log_metrics({"pairs": 3})
    assert [logged.data.metrics for logged in runs(root, "dermascreen-data")] == [{"pairs": 3.0}]
    assert len(journal.entries(root)) == 1
    waits = "No; until then, what is logged waits in .dermascreen/tracking."
    assert capsys.readouterr().err == f"train: {waits}\naudit: {waits}\n"


class Killed(BaseException):
    pass


CALLS = (
    "create_run", "log_batch", "log_inputs", "log_artifact", "set_tag", "set_experiment_tag", "log_model_artifacts",
    "finalize_logged_model", "set_terminated",
)  # fmt: skip


def dumped(root: Path) -> dict[str, list[tuple[object, ...]]]:
    """What a store holds, but for identifiers and times that differ from one store to another."""
    selects = {
        "runs": "SELECT name, status, start_time, end_time FROM runs ORDER BY start_time",
        "metrics": "SELECT key, value, timestamp, step FROM metrics ORDER BY key, timestamp, step",
        "params": "SELECT name, key, value FROM params JOIN runs USING (run_uuid) ORDER BY name, key",
        "tags": "SELECT name, key, value FROM tags JOIN runs USING (run_uuid) "
        "WHERE key NOT LIKE '%run_id' AND key NOT LIKE '%parentRunId' ORDER BY name, key, value",
        "inputs": "SELECT source_type, destination_type FROM inputs",
        "datasets": "SELECT name, digest FROM datasets ORDER BY name",
        "models": "SELECT name, status FROM logged_models WHERE lifecycle_stage = 'active'",
        "model_metrics": "SELECT metric_name, metric_value, dataset_name FROM logged_model_metrics",
        "experiments": "SELECT key, value FROM experiment_tags ORDER BY key",
    }
    with sqlite3.connect(root / "mlflow.db") as database:
        found = {table: [*database.execute(select)] for table, select in selects.items()}
    database.close()
    return found


def test_sending_that_is_killed_at_any_call_loses_and_doubles_nothing(
    root: Path, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client_class = tracking_store.import_mlflow()
    monkeypatch.setattr(Direct, "ask", lambda _: None)
    monkeypatch.setattr(Direct, "finish", lambda _, patient: None)  # noqa: ARG005
    Path("note.txt").touch()
    with tracked_run("train", PARAMS, root, {}) as run:
        run.log_metrics({"val_loss": 0.5}, step=0)
        run.log_dataset(pd.DataFrame({"path": ["a"]}), "train", "d1", {})
        run.log_tags({"test_images": "t1"})
        run.log_artifact("note.txt")
        run.log_outputs({MODEL: "w1"})
    evaluate(root)
    times = iter(range(10**6))

    def attempt(name: str, last: int | None) -> tuple[dict[str, list[tuple[object, ...]]], int]:
        """Send the same journal to a store of its own, in a process that dies after `last` calls, and in another."""
        project = tmp_path / name
        shutil.copytree(root, project)
        shutil.copy(empty_store, project)
        monkeypatch.setattr(journal, "now", lambda: 0)
        calls = 0
        with monkeypatch.context() as patched:
            for call in CALLS:
                original = getattr(client_class, call)

                def counted(self: object, *values: object, _do: Any = original, **named: object) -> object:
                    nonlocal calls
                    done = _do(self, *values, **named)
                    calls += 1
                    if calls == last:
                        raise Killed
                    return done

                patched.setattr(client_class, call, counted)
            if last is None:
                Sender().send(project)
            else:
                with pytest.raises(Killed):
                    Sender().send(project)
        answer = Sender().send(project)
        assert (answer.said, answer.waiting, journal.entries(project)) == ([], 0, [])
        assert len([*project.rglob("mlartifacts/*/artifacts/note.txt")]) == 1
        return dumped(project), calls

    whole, calls = attempt("whole", None)
    assert len(whole["runs"]) == 2
    assert len(whole["models"]) == 1
    assert len(whole["experiments"]) == 2
    assert calls > 9
    for last in range(1, calls + 1):
        assert attempt(f"killed {next(times)}", last)[0] == whole


def test_a_stage_that_was_killed_ends_as_killed_and_keeps_what_it_logged(root: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from dermascreen.core.params import read_params
from dermascreen.core.tracking import run
class Nobody:
    def __init__(self, root, run): pass
    def ask(self): pass
run.Service = Nobody
with run.tracked_run("train", read_params(Path(sys.argv[1])), Path(sys.argv[2]), {}) as tracked:
    tracked.log_metrics({"val_loss": 0.5}, step=0)
    os.kill(os.getpid(), 9)
"""
    environment = {**clean_environment(), "PYTHONPATH": str(REPOSITORY / "src")}
    command = [sys.executable, "-c", code, str(REPOSITORY / "params.yaml"), str(root)]
    assert subprocess.run(command, env=environment, check=False).returncode == -9
    with (journal.entries(root)[0].folder / journal.EVENTS).open("ab") as events:
        events.write(b'{"event": "metr')  # as a machine leaves it that loses power
    evaluate(root)
    killed, _ = runs(root)
    assert (killed.info.status, killed.data.metrics) == ("KILLED", {"val_loss": 0.5})
    assert killed.info.end_time >= killed.info.start_time


def test_a_stage_that_does_not_wait_says_that_earlier_ones_wait(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "mlflow.db").unlink()
    (root / "mlflow.db").mkdir()
    train(root)
    capsys.readouterr()
    monkeypatch.setattr(Direct, "finish", lambda _, patient: None)  # noqa: ARG005
    threshold(root)
    assert capsys.readouterr().err.splitlines()[-1] == (
        "threshold: MLflow lacks what earlier runs logged, which waits in .dermascreen/tracking; "
        "run `dermascreen sync`."
    )


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("runs", "is a folder of files, to which MLflow no longer logs ("),
        ("htp://x", "is not an address that MLflow knows ("),
    ],
)
def test_an_address_that_is_none_is_said_to_be(
    address: str, said: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    train(root)
    assert f" {said}" in capsys.readouterr().err


def test_a_run_of_another_process_at_work_is_left_to_it(root: Path) -> None:
    with tracked_run("train", PARAMS, root, {}) as run:
        run.log_metrics({"val_loss": 0.5}, step=0)
        (live,) = runs(root)
        assert (live.info.status, live.data.metrics) == ("RUNNING", {"val_loss": 0.5})  # at once
        with tracked_run("audit", PARAMS, root, {}) as other:
            other.log_metrics({"pairs": 3})
        assert runs(root)[0].info.status == "RUNNING"
        assert len(journal.entries(root)) == 1
    assert [logged.info.status for logged in runs(root)] == ["FINISHED"]


def test_what_a_store_will_never_take_is_left_out_and_said_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tracked_run("audit", PARAMS, root, {}) as run:
        run.log_metrics({"a*b": 1.0})
        run.log_metrics({"c?d": 1.0})
        run.log_metrics({"pairs": 3.0})
    (logged,) = runs(root, "dermascreen-data")
    assert (logged.info.status, logged.data.metrics) == ("FINISHED", {"pairs": 3.0})
    err = capsys.readouterr().err
    assert err.startswith("audit: MLflow refuses a part of what is logged (MlflowException: Invalid value")
    assert err.count("refuses") == 2
    assert not journal.entries(root)


def test_a_run_whose_events_never_reached_the_disk_stops_no_other(root: Path) -> None:
    lost = root / journal.FOLDER / "0-train-1"
    lost.mkdir(parents=True)
    (lost / journal.EVENTS).touch()
    train(root)
    assert [logged.info.status for logged in runs(root)] == ["FINISHED"]
    assert not journal.entries(root)


def test_a_line_that_a_full_disk_took_in_part_is_not_read(root: Path) -> None:
    with tracked_run("train", PARAMS, root, {}) as run:
        assert run._journal is not None
        events = run._journal._events

        class Full:
            def write(self, line: bytes) -> int:
                return events.write(line[:20])

        run._journal._events = Full()  # type: ignore[assignment]
        run.log_metrics({"val_loss": 0.5}, step=0)
        run._journal._events = events
        run.log_metrics({"val_loss": 0.4}, step=1)
    (logged,) = runs(root)
    assert (logged.info.status, logged.data.metrics) == ("FINISHED", {"val_loss": 0.4})


def test_a_full_disk_is_one_line_and_no_failure(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "events.jsonl")

    with tracked_run("train", PARAMS, root, {}) as run:
        with monkeypatch.context() as patched:
            patched.setattr(journal.Journal, "write", full)
            run.log_metrics({"val_loss": 0.5}, step=0)
            run.log_metrics({"val_loss": 0.4}, step=1)
        run.log_metrics({"val_loss": 0.3}, step=2)
    assert capsys.readouterr().err == (
        "train: What is logged cannot all be kept (No space left on device: events.jsonl).\n"
    )
    assert runs(root)[0].data.metrics == {"val_loss": 0.3}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:p@ss/w0rd@host/x", "postgresql://***@host/x"),
        ("at sqlite:////data/me@site/mlflow.db", "at sqlite:////data/me@site/mlflow.db"),
        ("Permission denied: '/data/me@site/x'", "Permission denied: '/data/me@site/x'"),
        ("models:/dermascreen@champion", "models:/dermascreen@champion"),
        ("me:secret@host", "***@host"),
        ("https://host/x?token=abc&n=1", "https://host/x?token=***&n=1"),
    ],
)
def test_credentials_are_masked_and_names_are_not(text: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert failures.masked(text) == shown


def test_an_interrupt_is_not_swallowed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(journal.Journal, "keep", interrupted)
    with pytest.raises(KeyboardInterrupt), tracked_run("train", PARAMS, root, {}) as run:
        run.log_artifact("weights")
    assert [logged.info.status for logged in runs(root)] == ["KILLED"]


def test_a_process_that_does_not_lead_logs_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    run = Run("train", PARAMS)
    calls: list[Callable[[], None]] = [
        lambda: run.log_metrics({"loss": 1.0}),
        lambda: run.log_tags({"name": "text"}),
        lambda: run.log_dataset(pd.DataFrame({"path": ["a"]}), "train", "d1", {}),
        lambda: run.log_artifact("absent"),
        lambda: run.log_outputs({"a": "b"}),
        lambda: run.close("FINISHED"),
    ]
    for call in calls:
        call()
    assert capfd.readouterr() == ("", "")


WORKERS = """
import os
import sys
from pathlib import Path

from dermascreen.core.params import read_params
from dermascreen.core.tracking import run as tracking_run

params, root, *stages = sys.argv[1:]
for stage in stages:
    if os.fork() == 0:
        with tracking_run.tracked_run(stage, read_params(Path(params)), Path(root), {}) as run:
            run.log_metrics({"n": 1.0})
        sys.exit()
sys.exit(max(os.wait()[1] for _ in stages))
"""


def test_four_processes_on_a_fresh_store_lose_no_run(tmp_path: Path) -> None:
    root = tmp_path / "project"
    copy = tmp_path / "copy"
    root.mkdir()
    copy.mkdir()
    stages = ["download", "audit", "train", "report"]
    command = [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c", WORKERS]
    with TemporaryDirectory() as short:  # a socket's address has at most 107 characters
        workers = subprocess.run(
            [*command, str(REPOSITORY / "params.yaml"), str(root), *stages],
            cwd=copy,
            env={**clean_environment(), "PYTHONPATH": str(REPOSITORY / "src"), "TMPDIR": short},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert len([*Path(short).glob("*/*.log")]) == 1  # one process for all
    assert workers.returncode == 0
    assert {said.partition(": ")[2] for said in workers.stdout.splitlines()} <= {ALONE}  # of the report, to who asked
    assert not list(copy.iterdir())
    assert Sender().send(root) == Answer([], 0, 0)  # it waits until the other has sent what it was asked for
    logged = runs(root) + runs(root, "dermascreen-data")
    assert sorted(run.data.tags["stage"] for run in logged) == sorted(stages)
    assert {(run.info.status, run.data.metrics["n"]) for run in logged} == {("FINISHED", 1.0)}


def test_parameters_of_what_is_not_done_are_not_on_a_models_row() -> None:
    params = read_params()
    sections = ("data", "split")
    assert not [name for name in _texts(params, sections) if name.startswith(("data.table.", "split.hold_out."))]
    changes = {
        "data.source": "table",
        "split.protocol": "grouped",
        "split.hold_out": {"column": "site", "values": ["A"]},
    }
    texts = _texts(with_changes(params, changes), sections)
    assert (texts["data.table.columns.image"], texts["split.hold_out.values"]) == ("auto", '["A"]')


def test_an_address_that_is_none_does_not_keep_a_stage_from_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://[::1:5000")
    assert user() == getpass.getuser()


def test_a_revision_whose_params_are_in_another_encoding_does_not_keep_a_stage_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    Path("params.yaml").write_bytes("seed: 1 # für\n".encode("latin-1"))
    subprocess.run(["git", "add", "."], check=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *identity, "commit", "--quiet", "--message", "it"], check=True)
    Path("params.yaml").write_text("seed: 2 # für\n", encoding="utf-8")
    assert _changes() == {"seed": 2}
