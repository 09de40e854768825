"""The pages about servers, as they are printed: a registered model that is served, and a team's tracking server."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from PIL import Image
from programs import free_port, wait_for

from dermascreen.core.tracking.page import COLUMNS, CURVES, FOLDED
from dermascreen.experiments.workspace import clean_environment, override_params

from .conftest import BLOCK, DOCS, shell

ORDINARY = 300_000  # bytes of a photograph, more than a command line may hold
EXPERIMENT = "2"  # that of the models: stages made the other one first
FIRST_METRICS = """metrics => {  // whether the table shows these side by side: its columns take their places one by one
  const place = cell => cell.getBoundingClientRect().left;  // of aria-colindex there are two equal ones
  const cells = [...document.querySelectorAll(".ag-header-cell")].sort((one, other) => place(one) - place(other));
  const names = cells.map(cell => cell.innerText.trim());
  const first = names.indexOf(metrics[0]);
  return first >= 0 && metrics.every((metric, i) => names[first + i] === metric);
}"""
OPEN_GATES = {"registry.min_auc_gain": -1, "registry.guaranteed_recall": False, "registry.max_failed_checks": 8}


def printed(page: str) -> dict[str, list[str]]:
    """The blocks of commands of a page by what their titles say they need."""
    found: dict[str, list[str]] = {}
    for title, commands in BLOCK.findall((DOCS / page).read_text()):
        found.setdefault(title, []).append(commands)
    return found


@contextmanager
def serving(folder: Path, commands: str, address: str) -> Iterator[None]:
    """Run commands that end in a server, until it answers at `address` and the body is done."""
    log = folder / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=folder, env=clean_environment(), stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            wait_for(address, server, log)
            yield
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def test_a_registered_model_is_served_and_judges_an_ordinary_photograph(project) -> None:
    override_params(project / "params.yaml", OPEN_GATES)
    blocks = printed("how-to/serve.md")
    [register] = blocks["needs a model that passes its gates"]
    [_, serve] = blocks["needs a registered model"]
    [ask] = blocks["needs that server"]
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (520, 520, 3), dtype=np.uint8))
    (project / "photographs").mkdir()
    for path in ("photograph.jpg", "photographs/1.jpg"):
        noise.save(project / path, quality=95)
    assert (project / "photograph.jpg").stat().st_size > ORDINARY

    assert shell(project, "bash", "-euc", register).stdout.startswith("Registered dermascreen version 1, now champion.")
    store = MlflowClient(f"sqlite:///{project}/mlflow.db")
    [trained] = store.search_logged_models([EXPERIMENT], "name = 'tf_efficientnet_lite0'")
    version = store.get_model_version_by_alias("dermascreen", "champion")
    assert version.tags["trained_model"] == trained.model_id
    with serving(project, serve, "http://127.0.0.1:5001/ping"):
        [answer] = json.loads(shell(project, "bash", "-euo", "pipefail", "-c", ask).stdout)["predictions"]
    assert answer["error"] is None
    assert answer["decision"] in {"malignant", "benign"}
    said = json.loads(shell(project, "dermascreen", "predict", "--json", "photograph.jpg").stdout)
    assert (answer["probability"], answer["decision"]) == (said["probability"], said["decision"])


def test_the_page_of_runs_opens_where_models_are_compared(project, browser) -> None:
    port = free_port()
    with serving(project, f"dermascreen ui --port {port}", f"http://127.0.0.1:{port}/health"):
        printed_address = re.search(r"^Open (\S+) in a browser", (project / "server.log").read_text(), re.MULTILINE)
        assert printed_address is not None
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.goto(printed_address[1])
        page.wait_for_function(FIRST_METRICS, arg=[column.metric for column in COLUMNS[:3]], timeout=120_000)
        page.get_by_role("link", name="tf_efficientnet_lite0").wait_for()
        assert page.get_by_role("link", name="evaluate").count() == 0  # the models alone
        page.close()
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.goto(printed_address[1].replace("TABLE", "CHART"))
        page.get_by_text("Which model is better").wait_for(timeout=120_000)
        page.close()


def test_every_column_of_that_page_is_on_a_models_row(project) -> None:
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    [row] = client.search_runs([client.get_experiment_by_name("dermascreen").experiment_id], "tags.stage = 'train'")
    assert {column.metric for column in COLUMNS} | {*CURVES} <= row.data.metrics.keys()
    assert {metric.split("/")[0] for metric in row.data.metrics} == {*FOLDED} - {"system"}
    [model] = client.search_logged_models([row.info.experiment_id])
    parts = {metric.key: metric.dataset_name for metric in model.metrics}
    assert (parts["test/roc_auc"], parts["val/roc_auc"], parts["maps/failed_checks"]) == ("test", "val", None)


def test_a_team_s_server_answers_to_its_name_and_tracks_a_stage(project, tmp_path) -> None:
    name = socket.gethostname()
    blocks = printed("how-to/team-server.md")
    [start], [use] = (
        [block.replace("the-server", name) for block in blocks[title]]
        for title in ("needs a server", "needs that server")
    )
    assert name in start
    assert name in use
    wording = project / "src/dermascreen/report/wording.py"
    wording.write_text(wording.read_text() + "\n# So that stage report runs.\n")
    with serving(tmp_path, start, "http://127.0.0.1:5000/health"):
        done = shell(project, "bash", "-euo", "pipefail", "-c", use)
        client = MlflowClient(f"http://{name}:5000", f"http://{name}:5000")
        experiment = client.get_experiment_by_name("dermascreen")
        assert experiment is not None, done.stderr
        [run] = client.search_runs([experiment.experiment_id])
        assert (run.data.tags["stage"], run.info.status) == ("report", "FINISHED")
        assert {"report.html", "MODEL_CARD.md"} <= {file.path for file in client.list_artifacts(run.info.run_id)}
        refused = shell(
            tmp_path, "curl", "--silent", "--header", "Host: another:5000", "--output", "/dev/null", "--write-out",
            "%{http_code}", "http://127.0.0.1:5000/api/2.0/mlflow/experiments/get?experiment_id=0",
        )  # fmt: skip
    assert refused.stdout == "403"
