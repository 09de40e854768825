"""What `dermascreen keep` writes, what it leaves out, and where."""

import json
import os
from pathlib import Path

import pytest
import reported_models
from commands import main

from dermascreen.core.errors import BadTableError, InputError, MissingInputError
from dermascreen.evidence.intervals import Interval
from dermascreen.experiments import kept as module
from dermascreen.experiments.kept import HeadlineIntervals, KeptRun, Lock, read_numbers
from dermascreen.experiments.machine import Machine
from dermascreen.experiments.workspace import ROOT, override_params

LOCK = """\
schema: '2.0'
stages:
  download:
    cmd: PYTHONPATH=src python stages/download.py
    deps:
    - path: /elsewhere/set.zip
      hash: md5
      md5: aaaa
    - path: stages/download.py
      hash: md5
      md5: bbbb
    params:
      params.yaml:
        data:
          source: archive
          archive: /elsewhere/set.zip
    outs:
    - path: data/manifest.csv
      hash: md5
      md5: cccc
    - path: metrics/audit.json
      hash: md5
      md5: ffff
  external:
    cmd: PYTHONPATH=src python stages/external.py
    deps:
    - path: ../sites
      hash: md5
      md5: dddd.dir
    - path: data/manifest.csv
      hash: md5
      md5: cccc
    outs:
    - path: reports/details/external.json
      hash: md5
      md5: eeee
    - path: metrics/evaluate.json
      hash: md5
      md5: abcd
"""
GIVEN = {
    "data.source": "archive",
    "data.archive": "/elsewhere/set.zip",
    "model.weights": "/elsewhere/weights/a.pth",
    "model.own_weights": "/elsewhere/weights",
    "evaluate.external": "../sites",
}
FILES = ["dvc.lock", "intervals.json", "machine.json", "metrics/audit.json", "metrics/evaluate.json", "params.yaml"]
HERE = Machine(
    processor="Some processor", instructions="AVX2", threads=2, gpus=(), python="3.11.7", torch="2.15.0", system="Linux"
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a run leaves, entered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "_require_finished", lambda: None)
    monkeypatch.setattr(Machine, "here", lambda: HERE)
    Path("params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    override_params(Path("params.yaml"), GIVEN)
    Path("dvc.lock").write_text(LOCK)
    results = reported_models.good().results
    for details in (results.evaluate, results.threshold, results.shortcuts):
        details.write()
    Path("metrics").mkdir()
    Path("metrics/README.md").touch()
    Path("metrics/audit.json").write_text('{"near_dups": 2}')
    Path("metrics/evaluate.json").write_text('{"auc": 0.9}')
    Path("metrics/of_before.json").write_text('{"auc": 0.8}')  # which no stage writes any more
    return tmp_path


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.usefixtures("project")
def test_what_is_kept_can_be_read(capsys) -> None:
    main(["keep", "docs/results/mine"])
    assert files(Path("docs/results/mine")) == FILES
    assert capsys.readouterr().out == (
        "Kept in docs/results/mine, as made on this machine: Some processor with AVX2, 2 threads, no GPU; "
        "Python 3.11.7, torch 2.15.0, Linux.\n"
    )
    kept = KeptRun.read(Path("docs/results/mine"))
    assert kept.numbers == {"near_dups": 2, "auc": 0.9}
    assert kept.machine == HERE
    assert kept.lock == Lock(
        outputs={
            ("download", "data/manifest.csv"): "cccc",
            ("download", "metrics/audit.json"): "ffff",
            ("external", "reports/details/external.json"): "eeee",
            ("external", "metrics/evaluate.json"): "abcd",
        },
        inputs={"set.zip": "aaaa", "stages/download.py": "bbbb", "sites": "dddd.dir"},
    )


@pytest.mark.usefixtures("project")
def test_a_path_that_leads_out_of_the_project_is_kept_as_a_name_and_all_else_as_it_is() -> None:
    main(["keep", "mine"])
    assert Path("mine/dvc.lock").read_text() == LOCK.replace("/elsewhere/", "").replace("../sites", "sites")
    params = KeptRun.read(Path("mine")).params
    assert (params.data.archive, params.evaluate.external) == ("set.zip", "sites")
    assert (params.model.own_weights, params.model.weights) == ("weights", "weights/a.pth")
    comments = [line.partition(" # ")[2] for line in Path("params.yaml").read_text().splitlines()]
    assert [line.partition(" # ")[2] for line in Path("mine/params.yaml").read_text().splitlines()] == comments


def test_two_paths_of_one_name_cannot_both_be_kept() -> None:
    module._require_names_apart(["/a/photos", "/a/photos/", "data/photos", "../weights"])
    with pytest.raises(InputError, match=r"^/a/photos and /b/photos have one name, and only names are kept; rename"):
        module._require_names_apart(["/a/photos", "data/tables", "/b/photos"])


@pytest.mark.usefixtures("project")
def test_files_without_such_a_path_are_kept_to_the_byte() -> None:
    inside = {"data.archive": "data/archive", "evaluate.external": "data/external", "model.weights": "none"}
    override_params(Path("params.yaml"), inside | {"model.own_weights": "data/weights"})
    Path("dvc.lock").write_text("stages: {}   # nothing\n")
    main(["keep", "mine"])
    for name in ("params.yaml", "dvc.lock"):
        assert Path("mine", name).read_bytes() == Path(name).read_bytes()


@pytest.mark.usefixtures("project")
def test_a_kept_run_is_replaced_and_anything_else_is_refused(capsys) -> None:
    Path("empty").mkdir()
    main(["keep", "empty"])
    Path("metrics/evaluate.json").unlink()
    main(["keep", "empty"])
    assert files(Path("empty")) == [name for name in FILES if name != "metrics/evaluate.json"]
    Path("empty/notes.md").write_text("mine")
    capsys.readouterr()
    for folder in ("empty", "metrics", "params.yaml", "."):
        before = files(Path())
        with pytest.raises(SystemExit, match="1"):
            main(["keep", folder])
        assert capsys.readouterr().err == (
            f"dermascreen keep: {folder} is neither empty nor a run that was kept; name another folder.\n"
        )
        assert files(Path()) == before


@pytest.mark.usefixtures("project")
def test_a_run_is_kept_whole_or_not_at_all(monkeypatch) -> None:
    def fail() -> None:
        raise OSError(28, os.strerror(28))

    main(["keep", "mine"])
    monkeypatch.setattr(Machine, "here", fail)
    Path("metrics/audit.json").unlink()
    for folder in ("mine", "other"):
        with pytest.raises(SystemExit, match="1"):
            main(["keep", folder])
    assert files(Path("mine")) == FILES
    assert not [path for path in Path().iterdir() if path.name.startswith(".") or path.name == "other"]


def test_a_project_in_which_nothing_has_run_has_nothing_to_keep(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^dvc.lock does not exist; `dvc repro` in the folder that holds dvc.yaml"):
        module.keep(Path("mine"))


def test_every_number_whose_interval_a_stage_finds_has_one() -> None:
    results = reported_models.good().results
    found = HeadlineIntervals.of(results.evaluate, results.threshold, results.shortcuts).intervals
    assert list(found) == ["auc", "val_auc", "recall", "specificity", "missed", "missed_half", "auc_gain"]
    assert all(interval == Interval(round(interval.low, 4), round(interval.high, 4)) for interval in found.values())
    headline = {**results.evaluate.headline, **results.threshold.headline, **results.shortcuts.headline}
    assert all(interval.low <= headline[name] <= interval.high for name, interval in found.items())
    assert found["auc"] == Interval(round(headline["auc_low"], 4), round(headline["auc_high"], 4))
    assert found["auc_gain"].low == round(headline["gain_low"], 4)
    malignant = results.evaluate.test.malignant
    recall = results.threshold.high_recall.test.intervals.recall["clopper_pearson"]
    assert found["missed"].low == pytest.approx(malignant * (1 - recall.high), abs=1e-4)
    assert found["missed"].high == pytest.approx(malignant * (1 - recall.low), abs=1e-4)


@pytest.mark.parametrize("content", ["", "stages: [1]\n", "stages: {a: {outs: [{path: b}]}}\n", "a: [\n", "\x00"])
def test_what_is_no_lock_is_named(tmp_path, content) -> None:
    file = tmp_path / "dvc.lock"
    file.write_text(content)
    with pytest.raises(BadTableError, match=r"dvc.lock is not a dvc.lock; give a folder that `dermascreen keep` wrote"):
        Lock.read(file)


def test_missing_and_broken_files_are_named(tmp_path) -> None:
    with pytest.raises(MissingInputError, match="dvc\\.lock does not exist"):
        Lock.read(tmp_path / "dvc.lock")
    with pytest.raises(MissingInputError, match="metrics does not exist"):
        read_numbers(tmp_path)
    (tmp_path / "metrics").mkdir()
    for content in ("{", "[1]", "2"):
        (tmp_path / "metrics/train.json").write_text(content)
        with pytest.raises(BadTableError, match=r"train\.json does not hold a JSON object"):
            read_numbers(tmp_path)


def test_this_machine_is_described_without_whose_it_is(tmp_path, monkeypatch) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: A processor @ 2 GHz\nprocessor\t: 1\nmodel name\t: Another\n")
    monkeypatch.setattr("dermascreen.experiments.machine.CPUINFO", cpuinfo)
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"PRETTY_NAME": "Some Linux 12"})
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    machine = Machine.here()
    machine.write(tmp_path / "machine.json")
    assert Machine.read(tmp_path / "machine.json") == machine
    assert (machine.processor, machine.system) == ("A processor @ 2 GHz", "Some Linux 12, x86_64")
    assert machine.threads >= 1
    assert [*json.loads((tmp_path / "machine.json").read_text())] == [
        "processor", "instructions", "threads", "gpus", "python", "torch", "system", "onnxruntime",
    ]  # fmt: skip
    assert not any(
        place in (tmp_path / "machine.json").read_text() for place in (os.uname().nodename, str(Path.home()))
    )
    one = HERE.model_copy(update={"threads": 1, "gpus": ("NVIDIA H100", "NVIDIA H100")})
    assert str(one).startswith("Some processor with AVX2, 1 thread, NVIDIA H100 and NVIDIA H100; Python 3.11.7")


@pytest.mark.usefixtures("project")
def test_a_lock_that_was_cut_off_is_not_taken_for_whole() -> None:
    main(["keep", "mine"])
    lock = Path("mine/dvc.lock")
    lock.write_text(lock.read_text().partition("  external:")[0])
    with pytest.raises(BadTableError) as refused:
        KeptRun.read(Path("mine"))
    assert str(refused.value) == (
        "mine/dvc.lock lacks metrics/evaluate.json, so it is not whole; give a folder that `dermascreen keep` wrote."
    )


def test_a_folder_without_a_kept_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError) as refused:
            KeptRun.read(folder)
        assert str(refused.value) == f"{folder} holds no kept run; give a folder that `dermascreen keep` wrote."
