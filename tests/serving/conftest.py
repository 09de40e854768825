"""A model that is whole but has learnt nothing, and photographs to show it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from serving_samples import SIZE, encoded, pixels

from dermascreen.evidence.calibration import probability_intervals
from dermascreen.files import write_json
from dermascreen.model.inference import extract_features, predict_logits
from dermascreen.model.network import build, save
from dermascreen.model.reference import Reference, digest_of
from dermascreen.params import ModelParams
from dermascreen.serving.bundle import Bundle
from dermascreen.tables import write_table

TRAINED = 24


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A folder as the pipeline leaves models/."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    network = build(ModelParams(weights="none", hidden=0, dropout=0.0), SIZE)
    save(network, folder / "weights.safetensors", folder / "model.json")
    shown, rows = pixels(2 * TRAINED, 0), np.arange(2 * TRAINED)
    logit, label = predict_logits(network, shown, rows).astype(float), np.arange(2 * TRAINED) % 2
    features = extract_features(network, shown, rows, 16)
    middle = float(1 / (1 + np.exp(-np.median(logit) / 2)))
    write_json({"temperature": 2.0, "tta": False}, folder / "calibration.json")
    write_table(probability_intervals(label, logit), folder / "probability_intervals.csv")
    write_json(
        {
            "default": {"threshold": 0.5},
            "high_recall": {
                "threshold": middle, "target_recall": 0.95, "confidence": 0.9, "guaranteed": False, "reached": True,
            },
        },
        folder / "operating_points.json",
    )  # fmt: skip
    steps = np.linspace(0, 1, 101).round(2)
    counts = {"tn": np.arange(101), "fp": 100 - np.arange(101), "fn": np.arange(101), "tp": 100 - np.arange(101)}
    write_table(pd.DataFrame({"threshold": steps, **counts}), folder / "sweep.csv")
    images = pd.DataFrame({"path": [f"train/{number}.jpg" for number in range(TRAINED)], "label": label[:TRAINED]})
    images["digest"] = [digest_of(image) for image in shown[:TRAINED]]
    Reference.build(images, features[:TRAINED], features[TRAINED:], seed=0).write(folder / "reference")
    write_json(
        {"layer": "backbone.layer3", "variant": "grad_cam", "checks": ["one", "other"], "failed": ["other"]},
        folder / "explanation.json",
    )
    (folder / "MODEL_CARD.md").write_text("# A card\n\nOf a model that has learnt nothing.\n")
    return folder


@pytest.fixture(scope="session")
def bundle(models) -> Bundle:
    return Bundle.read(models)


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
