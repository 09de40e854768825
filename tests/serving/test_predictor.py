"""The one way from pixels to a decision, on a model that has learnt nothing."""

import shutil

import numpy as np
import pytest
from serving_samples import pixels

from dermascreen.core.errors import MissingInputError
from dermascreen.prediction.forward import embed, predict_logits
from dermascreen.prediction.predictor import Predictor


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
    embeddings = embed(predictor.network, shown, np.arange(5), 5)
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
