import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from dermascreen.core import stage as pipeline
from dermascreen.core.definition import code_fingerprint, hand_overs
from dermascreen.core.errors import BadTableError
from dermascreen.core.files import fingerprint, replacing
from dermascreen.core.hashes import content_md5
from dermascreen.core.params import Params, read_params
from dermascreen.core.records import Details
from dermascreen.core.stage import project_root, stage

REPOSITORY = Path(__file__).parents[2]

PIPELINE = """
stages:
  split:
    cmd: python stages/split.py
    deps:
      - data/manifest.csv
      - ${data.archive}
      - stages/split.py
      - src/dermascreen/files.py
    outs:
      - data/splits.csv
      - data/cached:
          cache: false
      - reports/details/split.json
    metrics: [metrics/split.json: {cache: false}]
  idle:
    cmd: "true"
"""


class Found(Details):
    PATH = Path("reports/details/split.json")

    recall: float
    note: str

    @property
    def headline(self) -> dict[str, float | int | bool]:
        return {"recall": self.recall} if self.note else {}

    @property
    def row(self) -> dict[str, float]:
        return {"test/recall": self.recall}


class Recorder:
    """Stands in for tracking, and keeps what it is told."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self.artifacts: list[Path] = []
        self.outputs: dict[str, str] = {}
        self.end = "running"

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        self.metrics |= metrics

    def log_artifact(self, path: Path) -> None:
        self.artifacts.append(path)

    def log_outputs(self, hashes: Mapping[str, str]) -> None:
        self.outputs |= hashes


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    Path("dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    Path("data/archive").mkdir(parents=True)
    Path("data/manifest.csv").write_text("path\n", encoding="utf-8")
    handler = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def recorder(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()

    @contextmanager
    def tracked_run(name: str, params: Params, root: Path, inputs: Mapping[str, str]) -> Iterator[Recorder]:
        assert (name, params, root) == ("split", read_params(REPOSITORY / "params.yaml"), workspace)
        assert inputs == {"data/manifest.csv": "e7fa32cb05ba9ddc8d5f75bdf1694790", "data/archive": EMPTY_FOLDER}
        recorder.end = "failed"
        yield recorder
        recorder.end = "finished"

    monkeypatch.setattr(pipeline, "tracked_run", tracked_run)
    return recorder


EMPTY_FOLDER = "d751713988987e9331980363e24189ce.dir"


def test_a_stage_hands_over_parameters_inputs_metrics_and_outputs(recorder: Recorder) -> None:
    with stage("split") as run:
        assert run.name == "split"
        assert run.params.split.protocol == "official"
        Path("data/splits.csv").write_text("", encoding="utf-8")
        Path("data/cached").mkdir()
        run.report(Found(recall=0.5, note="text"))
    assert json.loads(Found.PATH.read_text("utf-8")) == {"recall": 0.5, "note": "text"}
    assert json.loads(Path("metrics/split.json").read_text("utf-8")) == {"recall": 0.5}
    assert recorder.metrics == {"test/recall": 0.5}
    assert recorder.artifacts == [Found.PATH]
    assert recorder.outputs == {
        "data/splits.csv": "d41d8cd98f00b204e9800998ecf8427e",
        "data/cached": EMPTY_FOLDER,
        str(Found.PATH): content_md5(Found.PATH),
        "metrics/split.json": content_md5("metrics/split.json"),
    }
    assert recorder.end == "finished"


def test_arguments_end_a_stage_before_it_begins(recorder: Recorder, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/stages/split.py", "--help"])
    with pytest.raises(SystemExit, match="1"), stage("split"):
        raise AssertionError
    said = "split: --help: a stage takes no arguments; its parameters are in params.yaml.\n"
    assert (recorder.end, capsys.readouterr().err) == ("running", said)
    monkeypatch.setattr(sys, "argv", ["/bin/pytest", "--help"])  # another program that runs a stage
    with stage("split"):
        for path in ("data/splits.csv", str(Found.PATH), "metrics/split.json", "data/cached"):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).touch()
    assert recorder.end == "finished"


@pytest.mark.parametrize("defined", ["", "- 1", "stages: {}", "stages: {split: 3}", "stages: {split: {outs: }}"])
def test_a_broken_definition_is_one_sentence(defined: str, recorder: Recorder, capsys) -> None:
    Path("dvc.yaml").write_text(defined, encoding="utf-8")
    with pytest.raises(SystemExit, match="1"), stage("split"):
        raise AssertionError
    said = "split: dvc.yaml has no usable definition of stage split; `dvc status` says more.\n"
    assert (recorder.end, capsys.readouterr().err) == ("running", said)


BEGINNING = """
import gc, signal
signal.signal(signal.SIGINT, signal.{handler})
import stages  # as `python -m stages.NAME` does first
from dermascreen.core.stage import stage
print(gc.isenabled(), signal.getsignal(signal.SIGINT) == signal.{while_importing})
try:
    with stage("split"):
        pass
except SystemExit:  # there is no project here
    print(gc.isenabled(), gc.get_freeze_count() > 1000, signal.getsignal(signal.SIGINT) == signal.{handler})
"""


@pytest.mark.parametrize(("handler", "while_importing"), [("default_int_handler", "SIG_DFL"), ("SIG_IGN", "SIG_IGN")])
def test_until_a_stage_begins_nothing_searches_for_cycles_or_explains_an_interruption(
    tmp_path: Path, handler: str, while_importing: str
) -> None:
    program = BEGINNING.format(handler=handler, while_importing=while_importing)
    paths = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "src")))
    process = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert process.stdout.splitlines() == ["False True", "True True True"]


@pytest.mark.usefixtures("recorder")
def test_a_stage_deletes_what_one_that_was_killed_left_of_its_outputs() -> None:
    with replacing(Path("data/splits.csv")) as temporary:
        temporary.touch()
    temporary.touch()
    remnant = temporary.rename(temporary.with_name(".splits.csv.1.tmp"))
    with stage("split") as run:
        assert not remnant.exists()
        Path("data/splits.csv").touch()
        Path("data/cached").mkdir()
        run.report(Found(recall=0.5, note="text"))


def test_metrics_are_replaced_whole_or_not_at_all(recorder: Recorder) -> None:
    with stage("split") as run:
        Path("data/splits.csv").touch()
        Path("data/cached").mkdir()
        run.report(Found(recall=0.5, note="text"))
        with pytest.raises(ValueError, match="Out of range float"):
            run.report(Found.model_construct(recall=float("nan"), note="text"))
    for path in (Found.PATH, Path("metrics/split.json")):
        assert [found.name for found in path.parent.iterdir()] == ["split.json"]
        assert json.loads(path.read_text("utf-8"))["recall"] == 0.5
    assert recorder.metrics == {"test/recall": 0.5}


@pytest.mark.usefixtures("recorder")
def test_a_stage_without_headline_numbers_has_no_metrics(workspace: Path) -> None:
    (workspace / "dvc.yaml").write_text(PIPELINE.replace("    metrics: [metrics/split.json: {cache: false}]\n", ""))
    with stage("split") as run:
        Path("data/splits.csv").touch()
        Path("data/cached").mkdir()
        run.report(Found(recall=0.5, note=""))
    assert Found.PATH.exists()
    assert not Path("metrics").exists()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            BadTableError(Path("data/manifest.csv"), "is not a CSV table"),
            "data/manifest.csv is not a CSV table; run `dvc repro` to make it again.",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "data/splits.csv"),
            "The disk is full at data/splits.csv; free some space and run the same command again.",
        ),
        (
            OSError(errno.EDQUOT, "Disk quota exceeded", "data/splits.csv"),
            "The disk is full at data/splits.csv; free some space and run the same command again.",
        ),
        (
            OSError(errno.EACCES, "Permission denied", "data/splits.csv"),
            "data/splits.csv cannot be read or written (Permission denied).",
        ),
    ],
)
def test_a_users_mistake_ends_in_one_sentence_and_exit_code_1(
    error: Exception, sentence: str, recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end, stage("split"):
        raise error
    assert end.value.code == 1
    assert capsys.readouterr() == ("", f"split: {sentence}\n")
    assert recorder.end == "failed"


def test_a_full_disk_without_a_file_names_the_folder(
    workspace: Path, recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit), stage("split"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert f"The disk is full at {workspace};" in capsys.readouterr().err
    assert recorder.end == "failed"


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), ZeroDivisionError()])
def test_our_own_mistakes_keep_their_stack_trace(
    error: Exception, recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(type(error)), stage("split"):
        raise error
    assert capsys.readouterr() == ("", "")
    assert recorder.end == "failed"


def test_a_missing_input_names_the_way_out(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    Path("data/manifest.csv").unlink()
    with pytest.raises(SystemExit) as end, stage("split"):
        pytest.fail("the body must not run")
    assert end.value.code == 1
    assert capsys.readouterr().err == (
        "split: data/manifest.csv does not exist; `dvc pull` fetches what others have pushed, `dvc repro` makes it.\n"
    )
    assert recorder.end == "running"


def test_bad_parameters_end_before_anything_runs(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    Path("params.yaml").write_text("seed: -1\n", encoding="utf-8")
    with pytest.raises(SystemExit) as end, stage("split"):
        pytest.fail("the body must not run")
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith("split: params.yaml: ")
    assert recorder.end == "running"


def test_sigterm_unwinds_the_stage(recorder: Recorder, capfd) -> None:
    with pytest.raises(SystemExit) as end, stage("split"):
        signal.raise_signal(signal.SIGTERM)
    assert end.value.code == 143
    assert recorder.end == "failed"
    assert capfd.readouterr().err == "split: terminated.\n"


def test_the_fingerprint_follows_parameters_inputs_and_code(recorder: Recorder) -> None:
    with stage("split") as run:
        Path("data/splits.csv").touch()
        Path("data/cached").mkdir()
        run.report(Found(recall=0.5, note="text"))
    split = run.params.split.model_copy(update={"seed": 1})
    other = pipeline.Stage(
        "split", run.params.model_copy(update={"split": split}), run.inputs, run.tracking, leads=True
    )
    assert other.fingerprint("split") != run.fingerprint("split")
    assert other.fingerprint("seed", "model") == run.fingerprint("seed", "model")
    assert run.fingerprint("seed", "model") != run.fingerprint("seed")
    changed = pipeline.Stage("split", run.params, {**run.inputs, "data/manifest.csv": "0"}, run.tracking, leads=True)
    assert changed.fingerprint("split") != run.fingerprint("split")
    before = run.fingerprint("split")
    code = Path("src/dermascreen/files.py")
    code.parent.mkdir(parents=True)
    code.write_text("ONE = 1\n", encoding="utf-8")
    assert run.fingerprint("split") != before
    assert recorder.end == "finished"


@pytest.mark.usefixtures("workspace")
def test_hand_overs_are_data_and_not_code() -> None:
    assert hand_overs("split") == (
        ["data/manifest.csv", "data/archive"],
        ["data/splits.csv", "data/cached", "reports/details/split.json", "metrics/split.json"],
    )
    assert hand_overs("idle") == ([], [])


@pytest.mark.usefixtures("workspace")
def test_the_code_of_a_stage_is_the_files_of_python_that_it_depends_on() -> None:
    pipeline = Path("dvc.yaml").read_text("utf-8").replace("src/dermascreen/files.py", "src/dermascreen/data")
    Path("dvc.yaml").write_text(pipeline, encoding="utf-8")
    seen = [code_fingerprint("split")]
    for name in ("data/inner/two.py", "data/one.py", "data/__pycache__/one.pyc", "other.py", "../../stages/split.py"):
        file = Path("src/dermascreen", name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name, encoding="utf-8")
        seen.append(code_fingerprint("split"))
    same = [before == after for before, after in itertools.pairwise(seen)]
    assert same == [False, False, True, True, False]
    assert code_fingerprint("idle") == fingerprint({})


@pytest.mark.usefixtures("workspace")
def test_an_interpolated_path_is_the_parameter_of_the_moment() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text("utf-8"))
    params["data"]["archive"] = "elsewhere/photographs of 2026.zip"
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    assert hand_overs("split")[0] == ["data/manifest.csv", "elsewhere/photographs of 2026.zip"]


def test_project_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert project_root() == tmp_path / "copy"
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert project_root() == tmp_path
    monkeypatch.setenv("DVC_ROOT", "..")
    assert project_root() == tmp_path
    for root in (tmp_path, copy := tmp_path / ".dvc/tmp/exps/standalone/tmp1"):  # of a project in a folder below
        for folder in (".dvc", "skin"):
            (root / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for root in (tmp_path, copy):
        monkeypatch.chdir(root / "skin")
        assert project_root() == tmp_path / "skin"
