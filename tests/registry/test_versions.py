import re
import shutil
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import reduce
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from unittest.mock import Mock

import mlflow
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from gated import gated
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ErrorCode

from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.artifacts.dataset.splits import Splits
from dermascreen.artifacts.model.description import WEIGHTS
from dermascreen.artifacts.model.files import MODEL_CARD
from dermascreen.cli import main
from dermascreen.core.errors import ModelError, StoreError
from dermascreen.core.tables import write_table
from dermascreen.core.tracking import relocation
from dermascreen.core.tracking import store as tracking_store
from dermascreen.experiments.workspace import override_params
from dermascreen.registry import files as registry_files
from dermascreen.registry import versions as registry
from dermascreen.registry.files import located
from dermascreen.serving.bundle import Bundle

REPOSITORY = Path(__file__).parents[2]


class Failing:
    """Counts calls to MLflow, and lets one of them fail: before it arrives, or when its answer is lost."""

    def __init__(self, at: int | None = None, *, lost: bool = False, error: Exception | None = None) -> None:
        self.calls: list[str] = []
        self._at, self._lost, self._error = at, lost, error or MlflowException("failed with error code 503")

    def wrap(self, name: str, call):
        def counted(*arguments, **named):
            self.calls.append(name)
            if len(self.calls) - 1 != self._at:
                return call(*arguments, **named)
            if self._lost:
                with suppress(MlflowException):
                    call(*arguments, **named)
            raise self._error

        return counted


class Client:
    """A client of MLflow all of whose calls are counted."""

    def __init__(self, client: MlflowClient, failing: Failing) -> None:
        self._client, self._failing = client, failing

    def __getattr__(self, name: str):
        return self._failing.wrap(name, getattr(self._client, name))


@pytest.fixture
def watch(monkeypatch):
    """Let every call that the registry makes go through a Failing."""
    opened = registry.open_store
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that MLflow warns of itself when it is imported
        called = ("pyfunc.log_model", "artifacts.download_artifacts", "search_experiments", "search_runs")
        places = [(reduce(getattr, path.split(".")[:-1], mlflow), path.split(".")[-1]) for path in called]
        functions = [(module, name, getattr(module, name)) for module, name in places]

    def use(failing: Failing) -> Failing:
        def open_store(*arguments):
            store = failing.wrap("open_store", opened)(*arguments)
            return store._replace(client=Client(store.client, failing))

        for module in (registry, registry_files):
            monkeypatch.setattr(module, "open_store", open_store)
        for module, name, function in functions:
            monkeypatch.setattr(module, name, failing.wrap(name, function))
        return failing

    return use


@pytest.fixture(scope="module")
def champion(tmp_path_factory) -> Path:
    """A project whose version 1 is champion, and which has a model now that is better; look, but do not touch."""
    root = tmp_path_factory.mktemp("champion") / "project"
    (root / "models").mkdir(parents=True)
    shutil.copy(REPOSITORY / "params.yaml", root)
    override_params(root / "params.yaml", {"evaluate.bootstrap_draws": 100})
    for details in gated():
        details.write(root / details.PATH)
    names = np.array([f"{number}.jpg" for number in range(4)], dtype=object)
    zeros, ones = np.zeros(4, int), np.ones(4, int)
    Manifest(names, zeros, np.full(4, "test", object), ones, ones, names).write(root / Manifest.PATH)
    Splits(names, zeros, zeros, np.array(["test", "test", "val", "train"], object), zeros).write(root / Splits.PATH)
    for name in ("weights.safetensors", "MODEL_CARD.md"):
        (root / "models" / name).write_text("small", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        make_light(patch)
        predict(root, 0.4)
        assert "is the first to pass the gates" in registry.register(root)
    predict(root, 1.0)
    return root


def make_light(patch: pytest.MonkeyPatch) -> None:
    """Without DVC, without the weight of a model, and without what is handed over with it."""
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    patch.setattr(registry, "_current_lock", lambda _: b"")
    patch.setattr(registry, "complete", lambda *_: None)
    patch.setattr(registry, "BUNDLE", (WEIGHTS, MODEL_CARD))
    patch.setattr(tracking_store, "LOCK_TIMEOUT", 0.1)
    patch.setattr(relocation, "BUSY_TIMEOUT", 0.1)


def predict(root: Path, skill: float) -> None:
    """Predictions of a model that is right as often as `skill` says."""
    label = np.arange(60) % 2
    noise = np.random.default_rng(0).random(60)
    table = pd.DataFrame({"path": [f"{number}.jpg" for number in range(60)], "split": "test", "label": label})
    table["lesion"] = np.arange(60)
    table["probability"] = (skill * (0.1 + 0.8 * label) + (1 - skill) * noise).round(4)
    write_table(table, root / "reports/predictions.csv")


@pytest.fixture
def project(champion, tmp_path, monkeypatch) -> Path:
    root = tmp_path / "project"
    shutil.copytree(champion, root)
    monkeypatch.chdir(root)
    make_light(monkeypatch)
    return root


def command(capfd, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code, *capfd.readouterr()


def client(root: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{root}/mlflow.db", f"sqlite:///{root}/mlflow.db")


def now_champion(root: Path) -> str:
    return str(client(root).get_model_version_by_alias("dermascreen", "champion").version)


def copies(champion: Path, tmp_path: Path) -> Iterator[Path]:
    """A new copy of the project at every turn, as long as one is asked for."""
    for number in count():
        root = tmp_path / f"copy{number}"
        shutil.copytree(champion, root)
        yield root


@pytest.mark.parametrize("lost", [False, True], ids=["call", "answer"])
def test_register_that_fails_anywhere_leaves_a_champion_and_the_way_back(
    lost, champion, tmp_path, monkeypatch, watch, capfd
) -> None:
    make_light(monkeypatch)
    ended = {}
    for at, root in enumerate(copies(champion, tmp_path)):
        monkeypatch.chdir(root)
        failing = watch(Failing(at, lost=lost))
        code, out, err = command(capfd, "register")
        if len(failing.calls) <= at:
            break
        name, now = failing.calls[at], now_champion(root)
        ended[at, name] = now
        watch(Failing())
        if code == 0:  # only the answer was lost
            assert (name, now, err) == ("set_registered_model_alias", "2", "")
        else:
            assert (code, out, now) == (1, "", "1"), name
            assert re.fullmatch(r"dermascreen register: MLflow at sqlite:///\S+ .*the champion stays; .*\.\n", err), err
            assert command(capfd, "register")[1].startswith("Registered dermascreen version")
        assert now_champion(root) > "1"
        assert command(capfd, "rollback")[1].startswith("Version 1 of dermascreen is champion again")
    assert [name for _, name in ended] == [
        "open_store", "get_model_version_by_alias", "get_model_version_download_uri", "download_artifacts",
            "search_experiments", "search_runs",
        "create_registered_model", "set_registered_model_tag", "log_model",
        "get_model_version_by_alias", "search_logged_models", "create_model_version",
        "get_model_version_by_alias", "set_registered_model_alias",
    ]  # fmt: skip
    assert set(ended.values()) == ({"1", "2"} if lost else {"1"})


@pytest.mark.parametrize("lost", [False, True], ids=["call", "answer"])
def test_rollback_that_fails_anywhere_leaves_a_champion_and_the_way_back(
    lost, project, tmp_path, monkeypatch, watch, capfd
) -> None:
    assert command(capfd, "register")[0] == 0
    predict(project, 0.5)
    assert command(capfd, "register")[0] == 0
    calls = []
    for at, root in enumerate(copies(project, tmp_path)):
        monkeypatch.chdir(root)
        failing = watch(Failing(at, lost=lost))
        code, out, err = command(capfd, "rollback", "--to", "3")
        if len(failing.calls) <= at:
            break
        calls.append(name := failing.calls[at])
        watch(Failing())
        appointed = name == "set_model_version_tag" and "set_registered_model_alias" in failing.calls
        if code == 0:
            assert (name, err) == ("set_registered_model_alias", "")
        else:
            assert (code, out) == (1, "")
            assert err.startswith("dermascreen rollback: MLflow at sqlite:///")
            assert ("version 3 is champion, and only" if appointed else "so the champion stays; ") in err
            assert err.count("\n") == 1
        assert now_champion(root) == ("3" if appointed or code == 0 else "2")
        back = {"3": "2", "2": "1"}[now_champion(root)]
        assert command(capfd, "rollback")[1].startswith(f"Version {back} of dermascreen is champion again")
    assert calls == [
        "open_store", "get_model_version_by_alias", "get_model_version", "search_model_versions", "get_model_version",
        "set_model_version_tag", "set_registered_model_alias", "set_model_version_tag",
    ]  # fmt: skip


def test_no_error_of_a_lookup_is_taken_for_absence_while_there_is_a_champion(project, monkeypatch) -> None:
    store = tracking_store.open_store(project, None)
    for code in ErrorCode.keys():  # noqa: SIM118 - which is no dictionary
        away = Mock(side_effect=MlflowException("no", ErrorCode.Value(code)))
        monkeypatch.setattr(MlflowClient, "get_model_version_by_alias", away)
        with pytest.raises(StoreError):
            registry._champion(store, "")
    for code in ErrorCode.keys():  # noqa: SIM118
        unknown = MlflowException("no alias", ErrorCode.Value("INVALID_PARAMETER_VALUE"))
        away = Mock(side_effect=MlflowException("no", ErrorCode.Value(code)))
        monkeypatch.setattr(MlflowClient, "get_model_version_by_alias", Mock(side_effect=unknown))
        monkeypatch.setattr(MlflowClient, "get_registered_model", away)
        if code in {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}:
            assert registry._champion(store, "") is None
        else:
            with pytest.raises(StoreError):
                registry._champion(store, "")


def test_a_store_says_that_there_is_no_model_and_no_champion(project) -> None:
    store = tracking_store.open_store(project, None)
    store.client.delete_registered_model_alias("dermascreen", "champion")
    assert registry._champion(store, "") is None
    store.client.delete_registered_model("dermascreen")
    assert registry._champion(store, "") is None


def test_the_verdict_rests_on_what_compare_draws_and_not_on_delongs_test(project) -> None:
    assert ", by lesions): better than version 1, the champion before it." in registry.register(project)


def test_one_that_became_champion_in_the_meantime_is_compared_with(project, monkeypatch) -> None:
    def slowly(*arguments, log=registry._logged):
        monkeypatch.setattr(registry, "_logged", log)
        registry.register(project)
        return log(*arguments)

    monkeypatch.setattr(registry, "_logged", slowly)
    said = registry.register(project)
    assert said.startswith("Registered dermascreen version 3. ")
    assert "its AUC less that of version 2 is 0.000" in said
    assert now_champion(project) == "2"
    assert "before" not in client(project).get_model_version("dermascreen", "3").tags
    assert client(project).get_model_version("dermascreen", "2").tags["before"] == "1"


def test_what_the_pipeline_makes_while_it_is_registered_is_not(project, monkeypatch, capfd) -> None:
    locks = iter([b"as the gates saw it", b"as it is when its files are copied"])
    monkeypatch.setattr(registry, "_current_lock", lambda _: next(locks))
    assert command(capfd, "register") == (
        1, "",
        "dermascreen register: not registered, as the pipeline ran again in the meantime; register what it made.\n",
    )  # fmt: skip
    assert now_champion(project) == "1"
    assert len(client(project).search_model_versions("name = 'dermascreen'")) == 1


def test_a_second_comparison_is_not_of_what_the_pipeline_made_since(project, monkeypatch) -> None:
    now = [b"as the gates saw it"]

    def slowly(*arguments, log=registry._logged):
        monkeypatch.setattr(registry, "_logged", log)
        registry.register(project)  # which becomes champion, so that another comparison is needed
        logged = log(*arguments)
        now[0] = b"of another run"
        return logged

    monkeypatch.setattr(registry, "_current_lock", lambda _: now[0])
    monkeypatch.setattr(registry, "_logged", slowly)
    with pytest.raises(ModelError, match=r"^not registered, as the pipeline ran again in the meantime"):
        registry.register(project)
    assert now_champion(project) == "2"
    assert len(client(project).search_model_versions("name = 'dermascreen'")) == 2


def test_predictions_of_other_photographs_of_the_same_names_are_not_compared(project, capfd) -> None:
    file = project / "reports/predictions.csv"
    [kept] = (project / "mlartifacts/models").rglob("predictions.csv")
    pd.read_csv(kept).assign(sha256="of the champion's").to_csv(kept, index=False)
    pd.read_csv(file).assign(sha256="of other data").to_csv(file, index=False)
    code, out, err = command(capfd, "register")
    assert (code, out) == (1, "")
    assert "not registered, as it cannot be compared with the champion (" in err
    assert "version 1 of dermascreen are of different data: not the same photograph is at 0.jpg); give another" in err
    assert now_champion(project) == "1"


def test_a_champion_that_a_server_got_at_the_last_moment_stays(project, monkeypatch, capfd) -> None:
    create = MlflowClient.create_model_version

    def meanwhile(self, *arguments, **named):
        other = create(self, *arguments, **named)
        self.set_registered_model_alias("dermascreen", "champion", other.version)
        return create(self, *arguments, **named)

    monkeypatch.setattr(MlflowClient, "create_model_version", meanwhile)
    code, out, err = command(capfd, "register")
    assert (code, out) == (1, "")
    assert "version 3 was registered, but is not champion: version 2 became champion in the meantime" in err
    assert now_champion(project) == "2"


def test_the_version_says_how_many_models_its_test_set_has_seen(project) -> None:
    store = client(project)
    [experiment] = [found.experiment_id for found in store.search_experiments(filter_string="name = 'dermascreen'")]
    images = Manifest.read(Manifest.PATH).content_of(np.array(["1.jpg", "0.jpg"], object))
    for weights in ("w1", "w2"):
        tags = {"stage": "evaluate", "test_images": images, "input.models/weights.safetensors": weights}
        store.set_terminated(store.create_run(experiment, tags=tags).info.run_id)
    said = registry.register(project)
    version = store.get_model_version("dermascreen", "2")
    assert version.tags["models_tested"] == "3"
    assert "3 models, this one among them, are known to this MLflow store" in said
    *_, last = sentences = version.description.split("\n- ")
    assert len(sentences) == 6  # four gates, the comparison with the champion, and this
    assert last.startswith("3 models, this one among them, are known to this MLflow store")
    assert store.get_model_version("dermascreen", "1").tags["models_tested"] == "1"


def test_a_key_that_cannot_sign_is_refused_before_anything_is_logged(project, capfd) -> None:
    before = len(client(project).search_logged_models(["0", "1"]))
    assert command(capfd, "register", "--sign", "none.pem") == (
        1, "", "dermascreen register: --sign: none.pem does not exist.\n",
    )  # fmt: skip
    assert len(client(project).search_logged_models(["0", "1"])) == before


def test_a_version_that_never_was_champion_can_be_left_again(project, capfd) -> None:
    command(capfd, "register")
    predict(project, 0.5)
    command(capfd, "register")
    said = command(capfd, "rollback", "--to", "3")[1]
    assert said == "Version 3 of dermascreen is champion; it was version 2.\n"
    assert command(capfd, "rollback")[1].startswith("Version 2 of dermascreen is champion again; it was version 3.")
    store = client(project)
    store.delete_model_version_tag("dermascreen", "2", "before")
    assert command(capfd, "rollback")[2] == (
        "dermascreen rollback: which version was champion before version 2 is not known; name one with --to.\n"
    )
    store.set_model_version_tag("dermascreen", "2", "before", "1")
    store.delete_model_version("dermascreen", "1")
    assert command(capfd, "rollback")[2] == (
        "dermascreen rollback: dermascreen has no version 1; it has 2, 3: name one with --to.\n"
    )


def test_a_champion_without_its_files_is_not_replaced(project, capfd) -> None:
    [model] = (project / "mlartifacts/models").iterdir()
    (model / "artifacts/artifacts/predictions.csv").write_text("path\n", encoding="utf-8")
    assert (
        "cannot be compared with the champion (version 1 of dermascreen lacks the column"
        in command(capfd, "register")[2]
    )
    shutil.rmtree(model)
    code, out, err = command(capfd, "register")
    assert (code, out) == (1, "")
    assert err.startswith(f"dermascreen register: the files of version 1 of dermascreen are not in {model}/artifacts, ")
    assert "so no version was registered, and the champion stays; put them back there" in err
    assert err.count("\n") == 1
    assert now_champion(project) == "1"
    assert command(capfd, "predict", "--model", "models:/dermascreen@champion", "params.yaml")[2].startswith(
        "dermascreen predict: "
    )


@pytest.mark.usefixtures("project")
def test_a_registered_model_that_lacks_a_file_names_its_version() -> None:
    said = r"^version 1 of dermascreen cannot be used: its artifacts/bundle/calibration\.json does not exist; put"
    with pytest.raises(ModelError, match=said), located("models:/dermascreen@champion") as folder:
        Bundle.read(folder)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("model", ["models:/", "models:/dermascreen", "models:/a/b/c", "models:/a@b@c", "models:/@x"])
def test_what_names_no_registered_model(model) -> None:
    with pytest.raises(ModelError, match="is not a name such as models:/dermascreen@champion"), located(model):
        pass


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("model", ["models:/dermascreen@best", "models:/other@champion", "models:/dermascreen/9"])
def test_a_model_that_is_not_registered(model) -> None:
    with pytest.raises(ModelError, match=f"^{model} is not in the registry at sqlite:///"), located(model):
        pass


def spoil(root: Path, way: str) -> None:
    database = root / "mlflow.db"
    if way == "no database":
        database.write_text("hello " * 1000, encoding="utf-8")
    elif way == "folder":
        database.unlink()
        database.mkdir()
    else:
        with closing(sqlite3.connect(database)) as opened, opened:
            opened.execute("UPDATE alembic_version SET version_num = ?", [way])


@pytest.mark.parametrize("arguments", [("register",), ("rollback",), ("predict", "--model", "models:/x@y", "a.jpg")])
@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("no database", "is not a database that can be read (file is not a database)"),
        ("folder", "cannot be opened to read and write (unable to open database file)"),
        ("acf3f17fdcc7", "run `mlflow db upgrade sqlite:///"),
        ("ffffffffffff", "was made by a newer MLflow (Detected out-of-date database schema"),
    ],
)
def test_a_store_that_is_no_store_is_one_sentence(way, said, arguments, project, monkeypatch, capfd) -> None:
    spoil(project, way)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    Path("a.jpg").touch()
    code, out, err = command(capfd, *arguments)
    assert (code, out) == (1, "")
    assert err.startswith(f"dermascreen {arguments[0]}: MLflow at sqlite:///{project}/mlflow.db ")
    assert said in err
    assert (", so the champion stays; " in err) == (arguments[0] == "rollback")
    assert (", so no version was registered, and the champion stays; " in err) == (arguments[0] == "register")
    assert err.count("\n") == 1


def test_a_store_that_is_in_use_is_one_sentence(project, capfd) -> None:
    with closing(sqlite3.connect(project / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        code, out, err = command(capfd, "rollback")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "is in use by another program (database is locked), so the champion stays; wait for that to end" in err
    with FileLock(project / "mlflow.db.registry.lock"):
        assert "is in use by another program" in command(capfd, "rollback")[2]


class Answer(BaseHTTPRequestHandler):
    """Answers every request with the status and body that its server has."""

    def do_GET(self) -> None:
        body = self.server.body.encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the server's name

    def log_message(self, *_) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, "down", "cannot answer now"),
        (429, "slowly", "cannot answer now"),
        (500, '{"error_code": "INTERNAL_ERROR", "message": "secret=abc"}', "cannot answer now"),
        (403, "no", "refuses (API request"),
        (403, '{"error_code": "PERMISSION_DENIED", "message": "no"}', "refuses (PERMISSION_DENIED: no)"),
        (401, "who", "refuses (API request"),
        (404, "<html>", "does not answer like an MLflow 3 server"),
        (404, '{"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}', "failed (INVALID_PARAMETER_VALUE: no)"),
        (200, "<html>", "does not answer like an MLflow 3 server"),
        (302, "", "failed ("),
    ],
)
@pytest.mark.parametrize("name", ["register", "rollback"])
@pytest.mark.usefixtures("project")
def test_a_server_that_does_not_answer_is_one_sentence(name, status, body, said, monkeypatch, capfd) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        server.status, server.body = status, body
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:pass-word@127.0.0.1:{server.server_port}")
        code, out, err = command(capfd, name)
        server.shutdown()
        thread.join()
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"dermascreen {name}: MLflow at http://***@127.0.0.1:{server.server_port} {said}")
    assert "the champion stays; " in err
    assert not re.search("pass-word|abc", err)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://me:pass-word@127.0.0.1:1", "http://***@127.0.0.1:1 cannot be reached (Connection refused)"),
        ("http://nowhere.invalid", "http://nowhere.invalid cannot be reached ("),
        ("postgresql://me:pass-word@127.0.0.1:1/x", "postgresql://***@127.0.0.1:1/x "),
        ("sqlite:/x.db", "sqlite:/x.db is a folder of files, to which MLflow no longer logs ("),
        ("nothing://x", "nothing://x is not an address that MLflow knows ("),
        ("./mlruns", "/mlruns is a folder of files, to which MLflow no longer logs ("),
    ],
)
@pytest.mark.usefixtures("project")
def test_a_store_that_is_away_is_one_sentence(uri, said, monkeypatch, capfd) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    code, out, err = command(capfd, "rollback")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert said in err
    assert ", so the champion stays; " in err
    assert "pass-word" not in err
