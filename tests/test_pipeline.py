import errno
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from warmth import warm_environment

from dermascreen import pipeline
from dermascreen.errors import BadTableError
from dermascreen.params import Params, read_params
from dermascreen.pipeline import content_md5, flatten, hand_overs, project_root, stage

REPOSITORY = Path(__file__).parents[1]

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
    metrics:
      - metrics/split.json:
          cache: false
  idle:
    cmd: "true"
"""


class Recorder:
    """Stands in for tracking, and keeps what it is told."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self.outputs: dict[str, str] = {}
        self.end = "running"

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        self.metrics |= metrics

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
        run.write_metrics({"test": {"images": 3, "recall": 0.5, "note": "text"}})
    assert json.loads(Path("metrics/split.json").read_text("utf-8")) == {
        "test": {"images": 3, "recall": 0.5, "note": "text"}
    }
    assert recorder.metrics == {"test.images": 3.0, "test.recall": 0.5}
    assert recorder.outputs == {
        "data/splits.csv": "d41d8cd98f00b204e9800998ecf8427e",
        "data/cached": EMPTY_FOLDER,
        "metrics/split.json": content_md5("metrics/split.json"),
    }
    assert recorder.end == "finished"


def test_metrics_are_replaced_whole_or_not_at_all(recorder: Recorder) -> None:
    with stage("split") as run:
        Path("data/splits.csv").touch()
        Path("data/cached").mkdir()
        run.write_metrics({"recall": 0.5})
        with pytest.raises(ValueError, match="Out of range float"):
            run.write_metrics({"recall": float("nan")})
    assert [path.name for path in Path("metrics").iterdir()] == ["split.json"]
    assert json.loads(Path("metrics/split.json").read_text("utf-8")) == {"recall": 0.5}
    assert recorder.metrics == {"recall": 0.5}


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            BadTableError(Path("data/manifest.csv"), "is not a CSV table"),
            "data/manifest.csv is not a CSV table; run `dvc repro --force` to make it anew.",
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


def test_sigterm_unwinds_the_stage(recorder: Recorder) -> None:
    with pytest.raises(SystemExit) as end, stage("split"):
        signal.raise_signal(signal.SIGTERM)
    assert end.value.code == 143
    assert recorder.end == "failed"


def test_the_fingerprint_follows_parameters_and_inputs(recorder: Recorder) -> None:
    with stage("split") as run:
        Path("data/splits.csv").touch()
        Path("data/cached").mkdir()
        Path("metrics").mkdir()
        Path("metrics/split.json").touch()
    split = run.params.split.model_copy(update={"seed": 1})
    other = pipeline.Stage(
        "split", run.params.model_copy(update={"split": split}), run.inputs, run.tracking, leads=True
    )
    assert other.fingerprint("split") != run.fingerprint("split")
    assert other.fingerprint("seed", "model") == run.fingerprint("seed", "model")
    assert run.fingerprint("seed", "model") != run.fingerprint("seed")
    changed = pipeline.Stage("split", run.params, {**run.inputs, "data/manifest.csv": "0"}, run.tracking, leads=True)
    assert changed.fingerprint("split") != run.fingerprint("split")
    assert recorder.end == "finished"


@pytest.mark.usefixtures("workspace")
def test_hand_overs_are_data_and_not_code() -> None:
    assert hand_overs("split") == (
        ["data/manifest.csv", "data/archive"],
        ["data/splits.csv", "data/cached", "metrics/split.json"],
    )
    assert hand_overs("idle") == ([], [])


@pytest.mark.usefixtures("workspace")
def test_an_interpolated_path_is_the_parameter_of_the_moment() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text("utf-8"))
    params["data"]["archive"] = "elsewhere/photographs of 2026.zip"
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    assert hand_overs("split")[0] == ["data/manifest.csv", "elsewhere/photographs of 2026.zip"]


@pytest.mark.parametrize(
    ("metrics", "flat"),
    [
        ({}, {}),
        ({"auc": 0.5, "n": 3}, {"auc": 0.5, "n": 3.0}),
        ({"test": {"high": {"recall": 1}}, "val": {}}, {"test.high.recall": 1.0}),
        ({"reached": True, "note": "text", "nothing": None, "interval": [0.1, 0.2]}, {"reached": 1.0}),
    ],
)
def test_flatten(metrics: Mapping[str, object], flat: Mapping[str, float]) -> None:
    assert flatten(metrics) == flat


def test_project_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert project_root() == tmp_path / "copy"
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert project_root() == tmp_path
    monkeypatch.setenv("DVC_ROOT", "..")
    assert project_root() == tmp_path


@pytest.mark.slow
def test_content_md5_is_what_dvc_records(tmp_path: Path) -> None:
    folder = tmp_path / "photo graphs"
    # In the order of their paths, "a.txt" and "a b" stand on either side of "a/...".
    names = ("a/one", "a/b/c/two", "a.txt", "a-b", "a b/three", "é/ß.txt", "皮膚/slide 1.jpg", ".hidden", "A", "a0")
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}\r\n", encoding="utf-8")
    (folder / "empty/folder").mkdir(parents=True)
    (tmp_path / "one file.bin").write_bytes(bytes(range(256)) * 9000)
    for command in (["init", "--quiet", "--no-scm"], ["add", "--quiet", "photo graphs", "one file.bin"]):
        subprocess.run(["dvc", *command], cwd=tmp_path, env=warm_environment(), check=True)
    for name in ("photo graphs", "one file.bin"):
        recorded = yaml.safe_load((tmp_path / f"{name}.dvc").read_text("utf-8"))["outs"][0]["md5"]
        assert content_md5(tmp_path / name) == recorded
