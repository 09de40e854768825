"""The command, as its users call it."""

import csv
import io
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import webbrowser
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from programs import free_port
from serving_samples import pixels
from warmth import warm_environment

from dermascreen.artifacts.model.calibration import Calibration
from dermascreen.cli import main
from dermascreen.core.program import encodable
from dermascreen.core.tracking.address import store_uri
from dermascreen.core.tracking.store import open_store
from dermascreen.evidence.operating_points import Band, HighRecall
from dermascreen.prediction.forward import predict_logits
from dermascreen.serving import runs
from dermascreen.serving.address import page_at
from dermascreen.serving.output import COLUMNS, NOT_A_DEVICE, point_in_words


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code, *capsys.readouterr()


def test_a_table_for_people(capsys, models, photographs) -> None:
    files = photographs("a.jpg", "b.png")
    code, out, err = run(capsys, "predict", "--model", models, *files)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    caveat = "The sensitivity of 95\N{NO-BREAK SPACE}% that it aims at is not guaranteed"
    assert lines[0].startswith(f"! high_recall: {caveat}")
    assert lines[2].split() == ["decision", "probability", "interval", "photograph"]
    assert all(any(line.endswith(str(file)) for line in lines) for file in files)
    assert "At high_recall, a probability from 0." in out
    assert f"is called malignant. {caveat}" in out
    assert lines[-1] == NOT_A_DEVICE


def test_json_and_csv_say_the_same(capsys, models, photographs) -> None:
    files = photographs("a.jpg", "b.png")
    files.insert(1, files[0].with_name("missing.jpg"))
    code, out, err = run(capsys, "predict", "--model", models, "--json", *files)
    objects = [json.loads(line) for line in out.splitlines()]
    assert code == 3
    assert err == "dermascreen predict: 1 of 3 could not be predicted.\n"
    assert [one["path"] for one in objects] == list(map(str, files))
    assert [one["error"] for one in objects] == [None, "cannot be read (No such file or directory)", None]
    assert objects[1]["probability"] is objects[1]["decision"] is None
    assert objects[0]["decision"] == objects[0]["decisions"]["high_recall"]
    assert "is not guaranteed" in objects[0]["caveat"]

    code, out, _ = run(capsys, "predict", "--model", models, "--csv", *files)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 3
    assert list(rows[0]) == list(COLUMNS)
    assert [float(row["probability"]) for row in (rows[0], rows[2])] == [objects[n]["probability"] for n in (0, 2)]
    assert rows[0]["caveat"] == objects[0]["caveat"]
    assert (rows[1]["probability"], rows[1]["error"]) == ("", "cannot be read (No such file or directory)")


ODD = [b"l\xe9sion.jpg", "\N{MICROSCOPE}良性.jpg".encode(), b'cr\rlf\ntab\t",.jpg', b"esc\x1b[2J.jpg", b"z.jpg"]


@pytest.fixture
def odd(photographs, tmp_path) -> Path:
    """A folder of photographs with names of any bytes, and of what is no photograph."""
    for file, name in zip(photographs(*(f"{number}.jpg" for number in range(len(ODD)))), ODD, strict=True):
        (tmp_path / "odd").mkdir(exist_ok=True)
        file.rename(tmp_path / "odd" / os.fsdecode(name))
    (tmp_path / "odd/a.webp").write_bytes(b"RIFF....WEBP")
    (tmp_path / "odd/b_segmentation.png").touch()
    (tmp_path / "odd/notes.txt").touch()
    return tmp_path / "odd"


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_a_name_of_any_bytes_is_judged_and_shown(models, odd, encoding, monkeypatch) -> None:
    shown = {form: io.TextIOWrapper(io.BytesIO(), encoding, newline="") for form in ("--json", "--csv", None)}
    for form, stream in shown.items():
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding))
        with pytest.raises(SystemExit) as end:
            main(["predict", "--model", str(models), *([form] if form else []), str(odd)])
        assert end.value.code == 3  # a.webp
        sys.stderr.seek(0)
        assert sys.stderr.read().splitlines()[-3:] == [
            f"dermascreen predict: passed over 1 mask of a lesion ({odd}/b_segmentation.png).",
            f"dermascreen predict: passed over 1 file that is not an image ({odd}/notes.txt).",
            "dermascreen predict: 1 of 6 could not be predicted.",
        ]
    json_text, csv_text, table = (stream.buffer.getvalue().decode(encoding) for stream in shown.values())
    objects = [json.loads(line) for line in json_text.splitlines()]
    assert {os.fsencode(Path(one["path"]).name) for one in objects} == {*ODD, b"a.webp"}
    assert [one["error"] for one in objects if one["error"]] == ["is WebP, not JPEG or PNG"]
    rows = list(csv.DictReader(io.StringIO(csv_text, newline="")))
    assert [row["probability"] for row in rows] == [str(one["probability"] or "") for one in objects]
    expected = [encodable(one["path"]) for one in objects]
    assert [row["path"] for row in rows] == [
        path.encode(encoding, "backslashreplace").decode(encoding) for path in expected
    ]
    _, _, lines = table.partition("photograph\n")
    first = [line.split()[0] for line in lines.splitlines() if not line.startswith(" ")][:6]  # and no warnings
    assert set(first) <= {"malignant", "benign", "refer", "failed"}
    assert r"l\xe9sion.jpg" in table
    assert r"cr\rlf\ntab\t" in table
    assert "\x1b" not in table


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_list_of_names_of_any_bytes(capsys, models, odd, encoding, monkeypatch) -> None:
    listing = b"\0".join(os.fsencode(odd / os.fsdecode(name)) for name in ODD)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listing), encoding))
    code, out, err = run(capsys, "predict", "--model", models, "--csv", "-")
    assert (code, err) == (0, "")
    rows = csv.DictReader(io.StringIO(out, newline=""))
    assert [bool(row["probability"]) for row in rows] == [True] * len(ODD)


def test_another_operating_point(capsys, models, photographs) -> None:
    [file] = photographs("a.jpg")
    code, out, _ = run(capsys, "predict", "--model", models, "--json", "--point", "default", file)
    predicted = json.loads(out)
    assert (code, predicted["operating_point"]) == (0, "default")
    assert predicted["decision"] == ("malignant" if predicted["probability"] >= 0.5 else "benign")


def test_no_operating_point_is_explained_where_nothing_was_predicted(capsys, models, tmp_path) -> None:
    code, out, err = run(capsys, "predict", "--model", models, tmp_path / "gone.jpg")
    assert code == 3
    assert out.splitlines()[-1].startswith("failed ")
    assert err.endswith("dermascreen predict: 1 of 1 could not be predicted.\n")


def test_of_a_part_of_a_model_it_is_said_that_a_whole_one_is_needed(capsys, models, photographs, tmp_path) -> None:
    part = shutil.copytree(models, tmp_path / "part")
    (part / "sweep.csv").unlink()
    code, out, err = run(capsys, "predict", "--model", part, *photographs("a.jpg"))
    assert (code, out, err) == (
        1, "", f"dermascreen predict: {part}/sweep.csv does not exist; a model is all that the pipeline leaves in its "
        "folder models, so copy that as a whole.\n",
    )  # fmt: skip


def test_maps_are_saved_under_harmless_names(capsys, models, photographs, tmp_path) -> None:
    files = photographs("deep/a b.jpg", "..;rm.png")
    folder = tmp_path / "maps"
    code, _, _ = run(capsys, "predict", "--model", models, "--explain", folder, *files)
    assert code == 0
    assert sorted(file.name for file in folder.iterdir()) == ["0001-a_b.png", "0002-_rm.png"]
    code, out, err = run(capsys, "predict", "--model", "nowhere", "--explain", folder, *files)  # before reading a model
    assert (code, out, err) == (
        1, "", f"dermascreen predict: --explain: {folder} already exists; name a new or an empty folder.\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "nowhere", "a.jpg"], "check the path, or run the command in the folder that holds dvc.yaml."),
        (["--model", "models/model.json", "a.jpg"], "is a file; name the folder that holds a model's files."),
        (["--point", "best", "a.jpg"], "--point: best is not one of default, f1_optimal, youden, high_recall."),
        (["*.tif"], "*.tif: no JPEG or PNG file is there."),
        (["--model", "models:/dermascreen@champion", "a.jpg"], "`dermascreen register` makes the first."),
    ],
)
def test_a_mistake_is_one_sentence(capsys, models, tmp_path, monkeypatch, arguments, said) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "models").symlink_to(models)
    code, out, err = run(capsys, "predict", *arguments)
    assert (code, out) == (1, "")
    assert err.startswith("dermascreen predict: ")
    assert err.endswith(said + "\n")
    assert err.count("\n") == 1
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["predict"], ["predict", "--json", "--csv", "a.jpg"], ["guess"],
        ["app", "--port", "0"], ["ui", "--port", "65536"], ["ui", "--port", "http"],
    ],
)  # fmt: skip
def test_what_cannot_be_understood_ends_with_2(capsys, arguments) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "usage: dermascreen" in err


def test_the_command_is_installed(models, photographs) -> None:
    [file] = photographs("a.jpg")
    command = [Path(sys.executable).with_name("dermascreen"), "predict", "--model", str(models), "-"]
    done = subprocess.run(command, input=f"{file}\n", capture_output=True, text=True, check=True)
    assert str(file) in done.stdout


def test_a_reader_that_wants_no_more_is_no_mistake(models, photographs) -> None:
    [file] = photographs("a.jpg")
    command = ["dermascreen", "predict", "--json", "--model", str(models), str(file)]
    with subprocess.Popen(
        command, env=warm_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        running.stdout.close()
        assert (running.stderr.read(), running.wait()) == ("", 128 + signal.SIGPIPE)


def test_export_replaces_no_folder(capsys, models, tmp_path) -> None:
    (tmp_path / "kept").touch()
    code, out, err = run(capsys, "export", "--model", models, tmp_path)
    assert (code, out, err) == (1, "", f"dermascreen export: {tmp_path} is a folder; name a file to write.\n")
    assert (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("splits.csv", "already exists; name another file, or remove it."),
        ("model.onnx", "already exists; name another file, or remove it."),
        ("new.txt", "does not end with .onnx; name a file that does."),
    ],
)
def test_export_replaces_no_file(capsys, models, tmp_path, name: str, said: str) -> None:
    for kept in ("splits.csv", "model.onnx"):
        (tmp_path / kept).write_text("kept")
    code, out, err = run(capsys, "export", "--model", models, tmp_path / name)
    assert (code, out, err) == (1, "", f"dermascreen export: {tmp_path / name} {said}\n")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"splits.csv": "kept", "model.onnx": "kept"}


def test_export_is_equal_to_torch(capsys, models, tmp_path, bundle) -> None:
    code, out, _ = run(capsys, "export", "--model", models, tmp_path / "model.onnx")
    assert code == 0
    assert "(0.0001 is allowed)" in out
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 5):
        shown = pixels(count, 9)
        logit, probability = session.run(None, {"pixels": shown})
        np.testing.assert_allclose(logit, predict_logits(bundle.predictor.network, shown, np.arange(count)), atol=1e-4)
        np.testing.assert_allclose(probability, 1 / (1 + np.exp(-logit / 2.0)), atol=1e-6)


def test_export_averages_the_views_that_the_calibration_is_of(capsys, models, tmp_path, bundle) -> None:
    shutil.copytree(models, tmp_path / "models")
    Calibration(temperature=2.0, tta=True).write(tmp_path / "models" / Calibration.PATH.name)
    code, *_ = run(capsys, "export", "--model", tmp_path / "models", tmp_path / "model.onnx")
    assert code == 0
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 3):
        shown, rows = pixels(count, 9), np.arange(count)
        expected = predict_logits(bundle.predictor.network, shown, rows, tta=True)
        logit, probability = session.run(None, {"pixels": shown})
        np.testing.assert_allclose(logit, expected, atol=1e-5)
        assert np.abs(expected - predict_logits(bundle.predictor.network, shown, rows)).max() > 1e-4
        np.testing.assert_allclose(probability, 1 / (1 + np.exp(-expected / 2.0)), atol=1e-5)


def test_a_browser_is_opened_when_the_server_answers(monkeypatch) -> None:
    opened, ended = [], []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(os, "_exit", ended.append)
    with socket.create_server(("127.0.0.1", 0)) as server:
        runs._open("http://there", *server.getsockname())
    assert (opened, ended) == (["http://there"], [0])
    monkeypatch.setattr(runs, "START", 0.0)
    runs._open("http://there", "127.0.0.1", int(free_port()))
    assert (opened, ended) == (["http://there"], [0, 0])


def test_runs_of_no_project_are_one_sentence_and_nothing_is_made(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    for command, said in (("ui", "has neither dvc.yaml nor runs"), ("sync", "has no dvc.yaml")):
        code, out, err = run(capsys, command)
        assert (code, out) == (1, "")
        assert err == f"dermascreen {command}: {tmp_path} {said}; run the command in the folder of a project.\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("http://there:5000", "names a server, which shows its runs itself"),
        ("databricks://mine", "is databricks://mine, "),
    ],
)
def test_a_store_that_has_a_page_of_its_own_gets_no_other(tmp_path, monkeypatch, capsys, place, said) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("a server was started"))
    code, out, err = run(capsys, "ui", "--port", free_port())
    assert (code, out) == (1, "")
    assert err.startswith(f"dermascreen ui: MLFLOW_TRACKING_URI {said}")


def test_an_address_is_one_that_a_browser_opens() -> None:
    assert page_at("127.0.0.1", 5000) == "http://127.0.0.1:5000"
    assert page_at("::1", 5000) == "http://[::1]:5000"


def test_the_page_of_runs_is_of_the_store_here_also_where_the_project_was_moved(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before, after = tmp_path / "before", tmp_path / "after %"
    (before / "mlartifacts").mkdir(parents=True)
    open_store(before, "runs")
    before.rename(after)
    monkeypatch.chdir(after)
    started = []
    monkeypatch.setattr(os, "execve", lambda *command: started.append(command))
    port = free_port()
    run(capsys, "ui", "--port", port)
    [(_, command, environment)] = started
    assert environment["MLFLOW_BACKEND_STORE_URI"] == store_uri(after)
    assert not any("sqlite" in str(part) for part in command)
    assert command[-1] == port
    with closing(sqlite3.connect(after / "mlflow.db")) as store:
        places = [place for (place,) in store.execute("SELECT artifact_location FROM experiments")]
    assert len(places) == 2  # MLflow's own one, and ours
    assert all(place.startswith((after / "mlartifacts").as_uri()) for place in places)


@pytest.mark.parametrize(
    ("patients", "said"),
    [
        (None, "95 % of malignant lesions"),
        (80, "95 % of malignant lesions"),
        (62, "every malignant lesion of 95 % of patients"),
    ],
)
def test_a_guarantee_says_whether_it_is_of_lesions_or_of_patients(patients, said) -> None:
    point = HighRecall(0.25, "a rule", 0.95, 0.9, True, True, 80, 1, 45, patients=patients)
    band = Band(0.25, 0.75, "a rule", 0.8, 0.9, True, 80, 1, 45, patients=patients)
    bundle = SimpleNamespace(points={"high_recall": point, "abstention": band}, caveat=lambda _: None)
    assert point_in_words(bundle, "high_recall").replace("\xa0", " ") == (
        "At high_recall, a probability from 0.250 on is called malignant. With 90 % confidence, this finds "
        f"{said} like those it was chosen on."
    )
    assert point_in_words(bundle, "abstention").replace("\xa0", " ") == (
        "At abstention, a probability from 0.750 on is called malignant, below 0.250 benign, and what lies between is "
        f"referred. With 90 % confidence, this calls malignant or refers {said} like those it was chosen on. With 90 % "
        f"confidence, this calls benign or refers {said.replace('malignant', 'benign').replace('95', '80')} like those "
        "it was chosen on."
    )


def test_a_band_promises_what_is_guaranteed_of_it_and_says_what_is_not() -> None:
    point = HighRecall(0.25, "a rule", 0.95, 0.9, True, False, 80, 1, 45)  # reached by calling everything malignant
    band = Band(0.25, 0.75, "a rule", 0.8, 0.9, False, 8, None, 45)
    bundle = SimpleNamespace(points={"high_recall": point, "abstention": band}, caveat=lambda _: "This is why.")
    assert point_in_words(bundle, "abstention").endswith(" what lies between is referred. This is why.")
