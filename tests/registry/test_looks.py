from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from dermascreen.core.tracking.store import Store, chosen, open_store
from dermascreen.registry.looks import models_tested


@pytest.fixture
def store(tmp_path, monkeypatch) -> Iterator[Store]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    opened = open_store(tmp_path, "dermascreen")
    with chosen(opened):
        yield opened


def look(
    client: MlflowClient, experiment: str, weights: str, images: str, *, stage="evaluate", status="FINISHED"
) -> str:
    tags = {"stage": stage, "test_images": images, "input.models/weights.safetensors": weights}
    run = client.create_run(experiment, tags=tags).info.run_id
    client.set_terminated(run, status)
    return run


def test_models_are_counted_once_in_all_experiments_and_also_if_deleted(store: Store) -> None:
    client, here = store.client, store.experiment_id
    elsewhere = client.create_experiment("another", Path("/nowhere").as_uri())
    for weights in ("w1", "w2", "w2", "w3"):
        look(client, here, weights, "these")
    look(client, elsewhere, "w4", "these")
    client.delete_run(look(client, here, "w5", "these"))
    look(client, here, "w6", "others")
    look(client, here, "w7", "these", status="FAILED")
    look(client, here, "w8", "these", stage="explain")
    assert models_tested("these", "w1") == 5
    assert models_tested("these", "own") == 6
    client.delete_experiment(elsewhere)
    assert models_tested("these", "w1") == 5
    assert models_tested("never seen", "own") == 1
