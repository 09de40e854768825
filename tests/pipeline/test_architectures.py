"""Networks of other families than EfficientNet-Lite0, the fixture's, through the whole pipeline; and start weights."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from dermascreen.experiments.workspace import override_params

from .conftest import shell

OTHERS = {  # the changes to the fixture's parameters, under which the maps have 2 x 2 cells
    "preprocess.image_size": 64,
    "train.epochs": 1,
    "explain.layer": "auto",
    "evaluate.external": "data/external",
}


@pytest.mark.parametrize(
    ("architecture", "layer", "features", "name"),
    [
        ("resnet50", "layer4", 2048, "A ResNet50"),
        ("mobilenetv3_small_050", "blocks.5", 1024, "The network mobilenetv3\\_small\\_050 of timm"),
        ("convnext_atto", "stages.3", 320, "The network convnext\\_atto of timm"),
    ],
)
def test_networks_of_every_family_go_from_train_to_report(
    project, architecture: str, layer: str, features: int, name: str
) -> None:
    override_params(project / "params.yaml", OTHERS | {"model.architecture": architecture, "model.weights": "none"})
    done = shell(project, "dvc", "repro")
    assert f"train: {architecture} from random weights; precision " in done.stdout
    assert "Running stage 'audit'" not in done.stdout
    described = json.loads((project / "models/model.json").read_text())
    assert (described["architecture"], described["image_size"]) == (architecture, 64)
    assert described["start"]["source"] == "drawn at random"
    assert json.loads((project / "reports/details/train.json").read_text())["architecture"] == architecture
    assert json.loads((project / "models/explanation.json").read_text())["layer"] == f"backbone.{layer}"
    assert load_file(project / "models/reference/features.safetensors")["features"].shape[1] == features
    logits = pd.read_csv(project / "reports/predictions.csv")["logit"]
    assert np.isfinite(logits).all()
    assert logits.nunique() > len(logits) / 2
    card = (project / "models/MODEL_CARD.md").read_text()
    assert f"\n{name} gives a dermoscopy photograph a probability" in card
    assert "It was trained from random weights, not by transfer learning." in card


def test_a_network_without_maps_is_one_sentence_before_any_batch(project) -> None:
    override_params(project / "params.yaml", {"model.architecture": "vit_tiny_patch16_224", "model.weights": "none"})
    before = (project / "models/weights.safetensors").read_bytes()
    done = shell(project, "python", "-m", "stages.train", check=False, PYTHONPATH="src")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "train: model.architecture: vit_tiny_patch16_224 has no layer whose output is N x C x h x w, and maps of what "
        "the network looked at are made from one, as in resnet50, tf_efficientnet_lite0 or convnext_tiny.\n"
    )
    assert (project / "models/weights.safetensors").read_bytes() == before


def test_start_weights_that_change_are_trained_from_again(project) -> None:
    def status() -> dict:
        return json.loads(shell(project, "dvc", "status", "--json", "train").stdout)

    weights = project / "data/weights/mine.pth"
    assert status() == {}
    for content in (b"some weights", b"other weights"):
        weights.write_bytes(content)
        assert status() == {"train": [{"changed deps": {"data/weights": "modified"}}]}
        shell(project, "dvc", "commit", "--force", "train")
        assert status() == {}
    assert shell(project, "git", "status", "--porcelain", "data").stdout == ""
