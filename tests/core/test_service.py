import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from dermascreen.core.errors import StoreError
from dermascreen.core.tracking import journal, service
from dermascreen.core.tracking.journal import Journal
from dermascreen.core.tracking.sending import Answer, sync
from dermascreen.core.tracking.service import Service


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project, whose processes end with the test."""
    for name in [name for name in os.environ if name.startswith(("DVC_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    with TemporaryDirectory() as short:  # an address has at most 107 characters
        monkeypatch.setattr("tempfile.tempdir", short)
        yield tmp_path
        for process in processes():
            os.kill(process, signal.SIGKILL)


def processes() -> list[int]:
    """The processes that serve in the folder of this test."""
    folder = str(service._address().parent)
    found = psutil.process_iter(["cmdline"])
    return [process.pid for process in found if folder in " ".join(process.info["cmdline"] or [])]


def begin(root: Path) -> Journal:
    return Journal(
        root, "split", experiment="x", name="split", tags={"stage": "split"}, params={}, about_a_model=False, inputs={}
    )


def complete(root: Path) -> Answer | None:
    run = begin(root)
    stage = Service(root, run.name)
    run.close("FINISHED")
    return stage.finish(patient=True)


def runs(root: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    return client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])


def test_stages_share_a_process_that_may_be_starting_or_be_killed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin(root)
    stage = Service(root, run.name)
    assert stage.ask() is None  # not yet
    run.close("FINISHED")
    assert stage.finish(patient=False) is None  # left to a process that is starting
    monkeypatch.setenv("DVC_STAGE", "audit")
    assert complete(root) == Answer([], 0, 0)
    run = begin(root)
    run.close("FINISHED")
    assert Service(root, run.name).finish(patient=False) == Answer([], 0, 0)  # it has started
    assert sync(root) == "Nothing waited; MLflow has all that was logged."
    [first] = processes()

    run = begin(root)
    stage = Service(root, run.name)
    stage.ask()
    os.kill(first, signal.SIGKILL)
    run.close("FINISHED")
    assert stage.finish(patient=True) == Answer([], 0, 0)
    [second] = processes()
    assert second != first
    assert not journal.entries(root)

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "somebody")
    stage = Service(root, "another")
    assert len(processes()) == 2
    stage._disconnect()


def test_an_answer_that_nobody_took_is_part_of_the_last_one(root: Path) -> None:
    begin(root).close("FINISHED")
    [earlier] = journal.entries(root)
    earlier.miss()
    run = begin(root)
    stage = Service(root, run.name)
    assert stage.ask() is None  # and this sends what had waited
    run.close("FINISHED")
    assert stage.finish(patient=True) == Answer([], 1, 0)


def test_a_process_outlives_the_copy_in_which_an_experiment_started_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, copy = Path(service.__file__), root / "copy"
    shutil.copytree(code.parents[2], copy / "dermascreen", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(service, "__file__", str(copy / code.relative_to(code.parents[3])))
    run = begin(root)
    stage = Service(root, run.name)
    shutil.rmtree(copy)
    run.close("FINISHED")
    assert stage.finish(patient=True) == Answer([], 0, 0)


def test_a_project_that_is_made_anew_has_its_runs_in_its_new_store(root: Path) -> None:
    assert complete(root) == Answer([], 0, 0)
    [first] = processes()
    (root / "mlflow.db").unlink()
    assert complete(root) == Answer([], 0, 0)
    [second] = processes()
    assert second != first
    assert complete(root) == Answer([], 0, 0)  # by the same process
    assert processes() == [second]
    assert [run.info.run_name for run in runs(root)] == ["split", "split"]


def test_while_a_process_lives_no_other_takes_its_place(root: Path) -> None:
    complete(root)
    [only] = processes()
    service._address().rename(root / "hidden")  # so that it does not answer
    waiting = subprocess.Popen([sys.executable, "-m", "dermascreen.core.tracking.service", str(service._address())])
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(2)
    os.kill(only, signal.SIGKILL)
    assert waiting.wait(30) == 0
    assert only not in processes()


def test_it_ends_when_nobody_has_asked_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "IDLE", 0.0)
    with service._Server(tmp_path / "socket") as server:
        server.serve()


def test_a_process_that_ends_without_a_word_is_named_by_its_exit_code(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = subprocess.CompletedProcess([], -9, b"", b"")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(StoreError, match=r"does not start \(exit code -9\)$"):
        Service(root, "x")


def test_a_temporary_folder_with_a_long_path_is_one_sentence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root / ("long" * 30)
    folder.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr("tempfile.tempdir", str(folder))
        with pytest.raises(StoreError, match=r"is too long for a socket: set TMPDIR to a shorter one$"):
            Service(root, "x")


def test_a_temporary_folder_that_cannot_be_written_to_is_one_sentence(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(tempfile.gettempdir(), "file")
    file.touch()
    with monkeypatch.context() as patched:
        patched.setattr("tempfile.tempdir", str(file))
        with pytest.raises(StoreError, match=r"cannot be made \(Not a directory\): set TMPDIR to another folder$"):
            Service(root, "x")


def test_a_process_that_ends_at_each_question_is_one_sentence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ending:
        def ask(self, _: bytes) -> None:
            raise BrokenPipeError

        def close(self) -> None:
            pass

    monkeypatch.setattr(service._Connection, "to", lambda _: Ending())
    with pytest.raises(StoreError, match=r"does not answer \(it ended\)$"):
        Service(root, "x").finish(patient=True)


def test_a_folder_that_others_can_write_to_is_not_used(root: Path) -> None:
    folder = service._address().parent
    folder.chmod(0o777)
    with pytest.raises(StoreError, match="is not a folder of this user's alone"):
        Service(root, "x")
    folder.chmod(0o700)


def test_sync_says_what_waits(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match=r"has no dvc\.yaml; run the command in the folder of a project\.$"):
        sync(root)
    (root / "dvc.yaml").touch()
    assert sync(root) == f"Nothing waits: {root} has no .dermascreen/tracking."
    begin(root).close("FINISHED")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StoreError) as error:
        sync(root)
    assert "cannot be reached" in str(error.value)
    assert ", and run `dermascreen sync` again. Waiting: split of 20" in str(error.value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    begin(root).close("FINISHED")
    assert sync(root) == "2 runs sent; MLflow has all that was logged."
    assert sync(root) == "Nothing waited; MLflow has all that was logged."


def test_what_a_stage_leaves_to_a_process_that_is_starting_is_sent_without_another(root: Path) -> None:
    run = begin(root)
    stage = Service(root, run.name)
    run.close("FINISHED")
    assert stage.finish(patient=False) is None
    end = time.monotonic() + 120
    while journal.entries(root) and time.monotonic() < end:
        time.sleep(0.1)
    assert not journal.entries(root)
    assert [run.info.status for run in runs(root)] == ["FINISHED"]
