"""What `dermascreen reproduce` says of a run that it has made again; tests/pipeline makes one."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import main

from dermascreen.core.hashes import content_md5
from dermascreen.evidence.intervals import Interval
from dermascreen.experiments import reproduce as module
from dermascreen.experiments.kept import HeadlineIntervals, KeptRun
from dermascreen.experiments.machine import Machine
from dermascreen.experiments.reproduce import compare_numbers
from dermascreen.experiments.workspace import ROOT, make_workspace, override_params

THERE = Machine(
    processor="A", instructions="AVX512", threads=8, gpus=("G",), python="3.12.1", torch="2.13.0", system="Some Linux"
)
HERE = Machine(
    processor="B", instructions="AVX2", threads=1, gpus=(), python="3.11.7", torch="2.15.0", system="Other Linux"
)
KEPT = {
    "near_dups": 2, "seconds": 60.5, "auc": 0.9, "auc_low": 0.85, "auc_high": 0.95, "recall": 0.96, "missed": 3,
    "guaranteed": True,
}  # fmt: skip
INTERVALS = {"auc": Interval(0.85, 0.95), "recall": Interval(0.9, 0.99), "missed": Interval(1.5, 7.25)}
TABLES = """
   stage             output           result
download  data/manifest.csv equal to the bit
   train metrics/train.json          differs

    number kept   new     interval              result
 near_dups    2     2                            equal
   seconds 60.5  12.0                    a measurement
       auc  0.9  0.91 0.85 to 0.95 within its interval
   auc_low 0.85 0.861                          differs
  auc_high 0.95  0.95                            equal
    recall 0.96  0.96  0.9 to 0.99               equal
    missed    3     5  1.5 to 7.25 within its interval
guaranteed true false                          differs

1 of 2 outputs are equal to the bit. These differ on any machine: metrics/train.json holds the seconds that training \
took, reports/report.html and models/MODEL_CARD.md the Git revision and data.archive.
The code and all other inputs are those of the kept run.
Kept run:     A with AVX512, 8 threads, G; Python 3.12.1, torch 2.13.0, Some Linux
This machine: B with AVX2, 1 thread, no GPU; Python 3.11.7, torch 2.15.0, Other Linux
"""


def write_lock(folder: Path, archive: str, md5: str, *, seconds: str, code: str = "bbbb") -> None:
    folder.joinpath("dvc.lock").write_text(
        f"stages:\n"
        f"  download:\n"
        f"    deps: [{{path: {archive}, md5: {md5}}}, {{path: stages/download.py, md5: {code}}}]\n"
        f"    outs: [{{path: data/manifest.csv, md5: cccc}}]\n"
        f"  train:\n"
        f"    deps: [{{path: data/manifest.csv, md5: cccc}}]\n"
        f"    outs: [{{path: metrics/train.json, md5: {seconds}}}]\n"
    )


def write_numbers(folder: Path, numbers: dict) -> None:
    folder.joinpath("metrics").mkdir(parents=True, exist_ok=True)
    folder.joinpath("metrics/train.json").write_text(json.dumps(numbers))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was made from set.zip, kept in `kept`; the working folder is next to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Machine, "here", lambda: HERE)
    Path("set.zip").write_bytes(b"photographs")
    folder = Path("kept")
    write_numbers(folder, KEPT)
    folder.joinpath("params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    override_params(folder / "params.yaml", {"data.source": "archive", "data.archive": "set.zip"})
    write_lock(folder, "set.zip", content_md5("set.zip"), seconds="dddd")
    HeadlineIntervals(intervals=INTERVALS).write(folder / HeadlineIntervals.PATH)
    THERE.write(folder / Machine.PATH)
    return folder


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> dict:
    """In place of the pipeline: it leaves these numbers, and hashes that differ in one output."""
    found = {**KEPT, "seconds": 12.0, "auc": 0.91, "auc_low": 0.861, "missed": 5, "guaranteed": False}

    def run_pipeline(folder: Path, *options: str) -> None:
        assert options == ("--no-run-cache",)
        write_lock(folder, Path("set.zip").resolve().as_posix(), "aaaa", seconds="eeee", code=found.pop("code", "bbbb"))
        write_numbers(folder, found)

    def make_small_workspace(folder: Path, overrides: dict) -> None:
        for name in ("data/tables", "data/weights", "data/external"):
            (folder / name).mkdir(parents=True)
        assert overrides["data.archive"] == str(Path("set.zip").resolve())
        kept = KeptRun.read(Path("kept")).params
        assert (overrides["train.lr"], overrides["preprocess.fit"]) == (kept.train.lr, kept.preprocess.fit)

    monkeypatch.setattr(module, "run_pipeline", run_pipeline)
    monkeypatch.setattr(module, "make_workspace", make_small_workspace)
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit, match="1"):
        main(["reproduce", "kept", *arguments])
    return capsys.readouterr().err


@pytest.mark.usefixtures("kept", "pipeline")
def test_every_output_and_every_number_has_a_row(capsys) -> None:
    main(["reproduce", "kept", "--archive", "set.zip"])
    assert capsys.readouterr().out == TABLES
    assert Path(".reproduced/dvc.lock").exists()


@pytest.mark.usefixtures("kept")
def test_numbers_outside_their_intervals_are_named_after_the_tables(pipeline, capsys) -> None:
    pipeline["recall"] = 0.8999
    with pytest.raises(SystemExit, match="1"):
        main(["reproduce", "kept", "--archive", "set.zip", "--into", "one"])
    shown = capsys.readouterr()
    assert "    recall 0.96 0.8999  0.9 to 0.99             outside\n" in shown.out
    assert shown.err == "dermascreen reproduce: kept is not reproduced: recall is outside its interval.\n"
    del pipeline["auc"]  # not measured is not within
    assert refused(capsys, "--archive", "set.zip", "--into", "other") == (
        "dermascreen reproduce: kept is not reproduced: auc and recall are outside their intervals.\n"
    )


@pytest.mark.usefixtures("kept")
def test_code_that_has_changed_is_named(pipeline, capsys) -> None:
    pipeline["code"] = "ffff"
    main(["reproduce", "kept", "--archive", "set.zip"])
    told = "\nNot as in the kept run, which may be why outputs differ: stages/download.py.\n"
    assert told in capsys.readouterr().out


def test_a_number_of_one_run_alone_differs() -> None:
    table = compare_numbers({"ece": 0.1}, {"new": 1}, {})
    assert table.to_numpy().tolist() == [["ece", "0.1", "", "", "differs"], ["new", "", "1", "", "differs"]]


def test_both_ends_are_within() -> None:
    for auc, result in [(0.85, "within its interval"), (0.95, "within its interval"), (0.9501, "outside")]:
        assert compare_numbers({"auc": 0.9}, {"auc": auc}, INTERVALS)["result"].tolist() == [result]


@pytest.mark.usefixtures("kept")
def test_another_archive_is_refused_before_anything_is_made(capsys) -> None:
    used = f"dermascreen reproduce: kept was made from set.zip with md5 {content_md5('set.zip')}; "
    Path("other.zip").write_bytes(b"others")
    assert refused(capsys, "--archive", "other.zip") == f"{used}other.zip has md5 {content_md5('other.zip')}.\n"
    assert refused(capsys) == f"{used}give that with --archive.\n"
    assert refused(capsys, "--archive", "none.zip").startswith("dermascreen reproduce: none.zip does not exist; ")
    assert sorted(path.name for path in Path().iterdir()) == ["kept", "other.zip", "set.zip"]


def test_a_run_that_took_no_archive_takes_none(kept, capsys) -> None:
    override_params(kept / "params.yaml", {"data.source": "synthetic"})
    assert refused(capsys, "--archive", "set.zip") == (
        "dermascreen reproduce: kept was made with data.source synthetic, which takes no archive; leave --archive "
        "out.\n"
    )


@pytest.mark.usefixtures("pipeline")
def test_what_else_the_run_was_given_is_asked_for(kept, capsys) -> None:
    override_params(kept / "params.yaml", {"evaluate.external": "sites"})
    assert refused(capsys, "--archive", "set.zip") == (
        f"dermascreen reproduce: kept was made with evaluate.external sites; put that in "
        f"{Path.cwd()}/.reproduced/sites and run the same command again.\n"
    )


@pytest.mark.usefixtures("pipeline")
def test_other_sites_than_those_of_the_run_are_refused(kept, capsys) -> None:
    override_params(kept / "params.yaml", {"evaluate.external": "../sites"})
    sites = Path("sites")
    sites.mkdir()
    (sites / "hospital.zip").write_bytes(b"theirs")
    kept_md5, lock = content_md5(sites), kept / "dvc.lock"
    lock.write_text(lock.read_text().replace("deps: [", f"deps: [{{path: ../sites, md5: {kept_md5}}}, ", 1))
    main(["reproduce", "kept", "--archive", "set.zip", "--into", "one"])
    assert "1 of 2 outputs are equal to the bit." in capsys.readouterr().out
    (sites / "hospital.zip").write_bytes(b"others")
    assert refused(capsys, "--archive", "set.zip") == (
        f"dermascreen reproduce: kept was made with evaluate.external ../sites with md5 {kept_md5}; "
        f"{Path.cwd()}/.reproduced/../sites has md5 {content_md5(sites)}.\n"
    )


def test_what_was_put_into_the_workspace_stays_there(kept, monkeypatch, capsys) -> None:
    monkeypatch.setattr(module, "run_pipeline", lambda folder, *_: (write_lock(folder, "set.zip", "aaaa", seconds="e"),
                                                                    write_numbers(folder, KEPT)))  # fmt: skip
    override_params(kept / "params.yaml", {"data.table.files": "data/tables/mine.csv"})
    table = Path.cwd() / ".reproduced/data/tables/mine.csv"
    asked = f"dermascreen reproduce: kept was made with data.table.files data/tables/mine.csv; put that in {table} and"
    assert refused(capsys, "--archive", "set.zip").startswith(asked)
    table.write_text("image\n")
    main(["reproduce", "kept", "--archive", "set.zip"])
    assert table.read_text() == "image\n"


def test_sites_in_the_usual_place_are_copied_if_they_are_those_of_the_run_and_missed_aloud(
    kept, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(module, "run_pipeline", lambda folder, *_: (write_lock(folder, "set.zip", "aaaa", seconds="e"),
                                                                    write_numbers(folder, KEPT)))  # fmt: skip
    project, lock = Path.cwd() / "project", kept / "dvc.lock"
    shutil.copytree(ROOT / "data/external", project / "data/external")
    (project / "data/external/hospital.zip").write_bytes(b"theirs")
    md5 = content_md5(project / "data/external")
    lock.write_text(lock.read_text().replace("deps: [", f"deps: [{{path: data/external, md5: {md5}}}, ", 1))
    main(["reproduce", "kept", "--archive", "set.zip"])
    said = f"kept was made with evaluate.external data/external with md5 {md5}, and {Path.cwd()}/.reproduced/data/ext"
    assert said in capsys.readouterr().out
    assert not Path(".reproduced/data/external/hospital.zip").exists()
    monkeypatch.setattr(module, "ROOT", project)
    main(["reproduce", "kept", "--archive", "set.zip"])
    assert said not in capsys.readouterr().out
    assert Path(".reproduced/data/external/hospital.zip").read_bytes() == b"theirs"


@pytest.mark.usefixtures("kept")
def test_a_folder_of_somebody_is_refused(capsys) -> None:
    Path("mine").mkdir()
    Path("mine/notes.md").touch()
    assert refused(capsys, "--archive", "set.zip", "--into", "mine") == (
        f"dermascreen reproduce: {Path.cwd()}/mine is neither empty nor a folder that dermascreen made; name another "
        "one.\n"
    )


def test_files_that_are_missing_from_the_folder_are_named(kept, capsys) -> None:
    for name in ("machine.json", "intervals.json", "metrics/train.json", "dvc.lock", "params.yaml"):
        (kept / name).unlink()
        named = "kept/metrics" if name.startswith("metrics") else f"kept/{name}"
        assert refused(capsys, "--archive", "set.zip").startswith(f"dermascreen reproduce: {named} does not exist; ")


def test_an_interrupted_run_keeps_what_it_has_made(kept, monkeypatch, capsys) -> None:
    def fail(folder: Path, *_: str) -> None:
        (folder / ".dvc/cache").mkdir()
        (folder / ".dvc/cache/made").touch()
        raise subprocess.CalledProcessError(1, "dvc")

    def go_on(folder: Path, *_: str) -> None:
        assert (folder / ".dvc/cache/made").exists()
        assert "archive: " + str(Path("set.zip").resolve()) in (folder / "params.yaml").read_text()
        write_lock(folder, "set.zip", "aaaa", seconds="dddd")
        write_numbers(folder, KEPT)

    assert module.make_workspace is make_workspace
    monkeypatch.setattr(module, "run_pipeline", fail)
    assert refused(capsys, "--archive", "set.zip") == ""  # dvc has said why
    monkeypatch.setattr(module, "run_pipeline", go_on)
    main(["reproduce", "kept", "--archive", "set.zip"])
    assert "\n2 of 2 outputs are equal to the bit." in capsys.readouterr().out
    assert (kept / "params.yaml").read_text().count("archive: set.zip") == 1


def test_a_run_of_before_is_completed_with_what_it_did(kept) -> None:
    lines = (kept / "params.yaml").read_text().splitlines(keepends=True)
    later = ("  fit:", "  field_of_view:", "  selection_fraction:", "  groups:")
    (kept / "params.yaml").write_text("".join(line for line in lines if not line.startswith(later)))
    params = KeptRun.read(kept).params
    assert (params.preprocess.fit, params.split.selection_fraction, params.threshold.groups) == ("squash", 0.0, [])
