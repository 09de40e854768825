"""How people use it: experiments in place, in a temporary copy and from a queue; comparing, plotting, drawing."""

import json

import dvc.api
import pandas as pd
from mlflow import MlflowClient

from .conftest import run_page, shell


def model_rows(folder) -> list:
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("dermascreen").experiment_id
    return client.search_runs([experiment], "tags.stage = 'train'")


def metrics_at(folder, name: str) -> str:
    return str(dvc.api.read("metrics/evaluate.json", repo=str(folder), rev=name))


def test_an_experiment_in_place_is_compared_with_what_was(project) -> None:
    shell(project, "dvc", "exp", "run", "--name", "views", "-S", "evaluate.tta=true")
    difference = json.loads(shell(project, "dvc", "metrics", "diff", "--json").stdout)
    before, after = (difference["metrics/evaluate.json"]["ece"][side] for side in ("old", "new"))
    assert before != after
    changed = json.loads(shell(project, "dvc", "params", "diff", "--json").stdout)["params.yaml"]
    assert changed == {"evaluate.tta": {"old": False, "new": True, "diff": 1}}
    shown = shell(project, "dvc", "exp", "show", "--csv").stdout
    assert "views" in shown
    assert "auc_low" in shown
    compared = shell(project, "dermascreen", "compare", "views", "HEAD", PYTHONPATH="src").stdout
    assert "A: views\nB: HEAD\n" in compared
    first, second = (json.loads(metrics_at(project, name)) for name in ("views", "HEAD"))
    assert (first["ece"], second["ece"]) == (after, before)
    assert f"{first['auc']:.4f} {second['auc']:.4f}" in compared


def test_folds_from_a_queue_with_two_workers_are_pooled_and_lose_no_run(project) -> None:
    run_page(project, "how-to/sweep.md")
    rows = {row.data.tags.get("dvc.exp_name"): row for row in model_rows(project)}
    assert {rows[name].data.params["split.fold"] for name in ("cv-1", "cv-2")} == {"0", "1"}
    assert all("high_recall/recall" in row.data.metrics for row in rows.values())
    for name in ("cv-1", "cv-2"):  # ran in copies elsewhere, and are in the project's store
        assert float(rows[name].data.params["train.lr"]) == 0.00005
        assert "test/roc_auc" in rows[name].data.metrics
        assert rows[name].info.status == "FINISHED"
        assert rows[name].info.run_name.startswith(f"{name}: ")
    assert (project / "params.yaml").read_text().count("5e-05") == 0

    pooled = pd.read_csv(project / "reports/pooled_predictions.csv")
    assert sorted(pooled["path"]) == sorted(pd.read_csv(project / "data/manifest.csv")["path"])
    alone = shell(project, "dermascreen", "pool", "cv-1", "HEAD", check=False, PYTHONPATH="src")
    assert alone.returncode == 1
    assert alone.stderr.startswith("dermascreen pool: cv-1 and HEAD differ in split")


def test_plots_overlay_val_and_test(finished, tmp_path) -> None:
    shell(finished, "dvc", "plots", "show", "--out", str(tmp_path))
    page = (tmp_path / "index.html").read_text()
    for title in ("ROC", "Precision and recall", "Calibration", "Loss by epoch", "Recall and specificity by threshold"):
        assert title in page
    assert "roc_val.csv" in page
    assert "roc_test.csv" in page
