"""The one way from pixels to a decision, on a model that has learnt nothing."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from serving_samples import encoded, pixels

from dermascreen.core.errors import BadTableError, MissingInputError
from dermascreen.core.hashes import sha256_of
from dermascreen.network.export import export
from dermascreen.network.model import load_model, save
from dermascreen.prediction.forward import embed, predict_logits
from dermascreen.prediction.predictor import Predictor
from dermascreen.serving.bundle import Bundle

WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("torch", "torchvision", "timm", "captum"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""


def test_what_is_said_of_an_image_is_what_the_parts_say_and_the_same_in_any_company(bundle) -> None:
    predictor, shown = bundle.predictor, pixels(5, 3)
    found = predictor.predict(shown)
    assert found.logit.tolist() == predict_logits(predictor.network, shown, np.arange(5)).tolist()
    assert found.logit.tolist() == predictor.logits(shown, np.arange(5)).tolist()
    probability, low, high = predictor.probabilities(found.logit)
    assert (found.probability.tolist(), found.low.tolist()) == (probability.tolist(), low.tolist())
    assert found.high.tolist() == high.tolist()
    for name, decisions in found.decisions.items():
        assert decisions.tolist() == predictor.points.decide(probability, name).tolist()
    embeddings = embed(predictor.network, shown, np.arange(5))
    np.testing.assert_allclose(found.distances, predictor.reference.distances(embeddings), atol=1e-5)
    alone = predictor.predict(shown[[3]])
    assert (alone.logit[0], alone.novelty[0]) == (found.logit[3], found.novelty[3])


def test_a_file_is_read_when_it_is_needed_and_once(models, tmp_path) -> None:
    folder = shutil.copytree(models, tmp_path / "models")
    for name in ("calibration.json", "operating_points.json"):
        (folder / name).unlink()
    predictor = Predictor(folder)
    logits = predictor.logits(pixels(2, 3), np.arange(2), tta=False)
    with pytest.raises(MissingInputError, match=r"operating_points\.json does not exist"):
        predictor.points.decide([0.5])
    with pytest.raises(MissingInputError, match=r"calibration\.json does not exist"):
        predictor.load()
    shutil.copy(models / "calibration.json", folder)
    before = predictor.probabilities(logits).probability
    (folder / "calibration.json").unlink()
    assert predictor.probabilities(logits).probability.tolist() == before.tolist()


def test_a_model_from_before_its_network_was_kept_as_onnx_predicts_the_same(models, tmp_path, bundle, capsys) -> None:
    folder = shutil.copytree(models, tmp_path / "models")
    (folder / "network.onnx").unlink()
    shown = pixels(3, 3)
    found = Bundle.read(folder).predictor.predict(shown)
    assert found.logit.tobytes() == bundle.predictor.predict(shown).logit.tobytes()
    assert not (folder / "network.onnx").exists()
    assert (
        capsys.readouterr().err
        == f"{folder}/network.onnx does not exist, so it is made anew of weights.safetensors each time.\n"
    )
    (folder / "weights.safetensors").unlink()
    with pytest.raises(MissingInputError, match=r"network\.onnx does not exist"):
        Bundle.read(folder)


def test_a_network_of_another_size_is_refused(models, tmp_path) -> None:
    folder = shutil.copytree(models, tmp_path / "models")
    about = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(about | {"image_size": 32}))
    with pytest.raises(BadTableError, match=r"models/network\.onnx does not fit .*models/model\.json"):
        Bundle.read(folder)


MADE_FOR = ["calibration.json", "operating_points.json", "reference/limit.json", "explanation.json"]


@pytest.mark.parametrize("made_for", MADE_FOR)
def test_what_was_made_for_the_network_of_another_training_is_refused(models, tmp_path, made_for: str) -> None:
    folder = shutil.copytree(models, tmp_path / "models")
    file, says = folder / "network.onnx", folder / made_for
    assert json.loads(says.read_text())["network"] is None
    says.write_text(json.dumps(json.loads(says.read_text()) | {"network": sha256_of(file)}))
    assert Bundle.read(folder, explained=True).network is not None
    whole = file.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1  # a bit of a weight
    file.write_bytes(changed)
    with pytest.raises(BadTableError, match=rf"network\.onnx is not the network of .*models/{made_for}; run"):
        Bundle.read(folder)
    file.unlink()
    with pytest.raises(MissingInputError, match=r"network\.onnx does not exist"):
        Bundle.read(folder)


@pytest.mark.parametrize(
    ("file", "says", "key"),
    [
        ("probability_intervals.csv", "calibration.json", "intervals"),
        ("reference/features.safetensors", "reference/limit.json", "embeddings"),
        ("reference/images.csv", "reference/limit.json", "images"),
        ("sweep.csv", "operating_points.json", "sweep"),
    ],
)
def test_a_file_of_another_run_is_refused(models, tmp_path, file: str, says: str, key: str) -> None:
    folder = shutil.copytree(models, tmp_path / "models")
    noted = json.loads((folder / says).read_text()) | {key: sha256_of(folder / file)}
    (folder / says).write_text(json.dumps(noted))
    Bundle.read(folder)
    (folder / says).write_text(json.dumps(noted | {key: sha256_of(folder / says)}))
    with pytest.raises(BadTableError, match=rf"models/{file} does not belong to .*models/{says}; run"):
        Bundle.read(folder)


def test_a_description_of_another_run_is_refused(models, tmp_path) -> None:
    folder = shutil.copytree(models, tmp_path / "models")
    weights, about = folder / "weights.safetensors", folder / "model.json"
    export(load_model(weights, about), folder / "network.onnx", weights, about)
    Bundle.read(folder)
    about.write_text(json.dumps(json.loads(about.read_text()) | {"fit": "crop"}))
    with pytest.raises(BadTableError, match=r"network\.onnx is not the network of .*models/model\.json; run"):
        Bundle.read(folder)


def test_maps_of_other_weights_than_the_network_s_are_refused(models, tmp_path) -> None:
    folder = shutil.copytree(models, tmp_path / "models")
    weights = folder / "weights.safetensors"
    export(load_model(weights, folder / "model.json"), folder / "network.onnx", weights)
    assert Bundle.read(folder, explained=True).network is not None
    other = load_model(weights, folder / "model.json")
    other.head[-1].bias.data += 1
    save(other, weights, tmp_path / "model.json")
    with pytest.raises(BadTableError, match=r"network\.onnx is not the network of .*/weights\.safetensors; run"):
        Bundle.read(folder, explained=True)
    assert Bundle.read(folder).network is None


def test_photographs_are_predicted_without_torch(models, tmp_path, bundle) -> None:
    shown = pixels(1, 3)[0]
    (tmp_path / "a.png").write_bytes(encoded(shown))
    command = f"from dermascreen.cli import main; main(['predict', '--json', '--model', {str(models)!r}, 'a.png'])"
    run = [sys.executable, "-c", WITHOUT_TORCH + command]
    done = subprocess.run(run, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    assert json.loads(done.stdout)["logit"] == pytest.approx(bundle.predictor.predict(shown[np.newaxis]).logit[0])
