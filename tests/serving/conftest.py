"""A model that is whole but has learnt nothing, and photographs to show it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import at, untrained
from serving_samples import SIZE, encoded, pixels

from dermascreen.artifacts.model.calibration import Calibration, ProbabilityIntervals
from dermascreen.artifacts.model.description import WEIGHTS, Description
from dermascreen.artifacts.model.explanation import Explanation
from dermascreen.artifacts.model.exported import EXPORTED
from dermascreen.artifacts.model.operating_points import OPERATING_POINTS, write_operating_points
from dermascreen.artifacts.model.reference import REFERENCE, ReferenceImages
from dermascreen.artifacts.model.sweep import Sweep
from dermascreen.evidence.calibration import probability_intervals
from dermascreen.evidence.operating_points import HighRecall, OperatingPoints, Point
from dermascreen.network.export import export
from dermascreen.network.model import build, save
from dermascreen.prediction.forward import ForwardPass, embed, predict_logits
from dermascreen.prediction.reference import Reference, digest_of
from dermascreen.serving.bundle import Bundle

TRAINED = 24


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A folder as the pipeline leaves models/."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    trained = build(untrained("test_resnet"), at(SIZE))
    save(trained, folder / WEIGHTS.name, folder / Description.PATH.name)
    export(trained, folder / EXPORTED.name)
    network = ForwardPass(folder / EXPORTED.name)
    shown, rows = pixels(2 * TRAINED, 0), np.arange(2 * TRAINED)
    logit, label = predict_logits(network, shown, rows).astype(float), np.arange(2 * TRAINED) % 2
    embeddings = embed(network, shown, rows)
    Calibration(temperature=2.0, tta=False).write(folder / Calibration.PATH.name)
    intervals = ProbabilityIntervals.of(probability_intervals(label, logit))
    intervals.write(folder / ProbabilityIntervals.PATH.name)
    middle = float(1 / (1 + np.exp(-np.median(logit) / 2)))
    high_recall = HighRecall(middle, "the middle", 0.95, 0.9, False, True, 24, None, 45)
    half = Point(0.5, "a half")
    points = OperatingPoints(default=half, f1_optimal=half, youden=half, high_recall=high_recall, abstention=None)
    write_operating_points(points, folder / OPERATING_POINTS.name)
    steps, up = np.linspace(0, 1, 101).round(2), np.arange(101)
    sizes = {"recall_n": np.full(101, 50.0), "specificity_n": np.full(101, 50.0)}
    Sweep(steps, tn=up, fp=100 - up, fn=up, tp=100 - up, **sizes).write(folder / Sweep.PATH.name)
    paths, digests = [f"train/{number}.jpg" for number in range(TRAINED)], [digest_of(one) for one in shown[:TRAINED]]
    images = ReferenceImages(np.array(paths, dtype=object), label[:TRAINED], np.array(digests, dtype=object))
    Reference.build(images, embeddings[:TRAINED], embeddings[TRAINED:]).write(folder / REFERENCE.name)
    about = Explanation(layer="backbone.layer3", variant="grad_cam", checks=["one", "other"], failed=["other"])
    about.write(folder / Explanation.PATH.name)
    (folder / "MODEL_CARD.md").write_text("# A card\n\nOf a model that has learnt nothing.\n")
    return folder


@pytest.fixture(scope="session")
def bundle(models) -> Bundle:
    return Bundle.read(models)


@pytest.fixture(scope="session")
def with_maps(models) -> Bundle:
    return Bundle.read(models, explained=True)


@pytest.fixture
def photographs(tmp_path) -> Callable[..., list[Path]]:
    """Write photographs of noise by name."""

    def write(*names: str) -> list[Path]:
        files = [tmp_path / name for name in names]
        for file, image in zip(files, pixels(len(names), 1), strict=True):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoded(image, "JPEG" if file.suffix == ".jpg" else "PNG"))
        return files

    return write
