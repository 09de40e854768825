"""The pages about servers, as they are printed: a registered model that is served, and MLflow's page."""

import json
import re

import numpy as np
from mlflow import MlflowClient
from PIL import Image
from programs import free_port

from dermascreen.core.tracking.page import COLUMNS, CURVES, FOLDED
from dermascreen.experiments.workspace import override_params

from .conftest import OPEN_GATES, printed, serving, shell

ORDINARY = 300_000  # bytes of a photograph, more than a command line may hold
EXPERIMENT = "2"  # that of the models: stages made the other one first
FIRST_METRICS = """metrics => {  // whether the table shows these side by side: its columns take their places one by one
  const place = cell => cell.getBoundingClientRect().left;  // of aria-colindex there are two equal ones
  const cells = [...document.querySelectorAll(".ag-header-cell")].sort((one, other) => place(one) - place(other));
  const names = cells.map(cell => cell.innerText.trim());
  const first = names.indexOf(metrics[0]);
  return first >= 0 && metrics.every((metric, i) => names[first + i] === metric);
}"""


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
    store = MlflowClient(*[f"sqlite:///{project}/mlflow.db"] * 2)  # other tests choose a registry for the process
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
        log = (project / "server.log").read_text()
        printed_address = re.search(r"^MLflow is starting; in some seconds, open (\S+) in a browser", log, re.MULTILINE)
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
    groups = {metric.split("/")[0] for metric in row.data.metrics}  # a short training has no "system"
    assert groups - {"system"} == {*FOLDED} - {"system"}
    [model] = client.search_logged_models([row.info.experiment_id])
    parts = {metric.key: metric.dataset_name for metric in model.metrics}
    assert (parts["test/roc_auc"], parts["val/roc_auc"], parts["maps/failed_checks"]) == ("test", "val", None)
