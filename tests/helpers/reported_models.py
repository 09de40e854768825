"""Models of which the report must say what is so: metrics as the stages' own functions write them, of made-up scores.

What no function without torch writes (audit, split, train, explain) is made up in `beside`.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit

from dermascreen.evidence.evaluation import report_split
from dermascreen.evidence.external import Sample, report_clinic
from dermascreen.evidence.shortcuts import report_shortcuts
from dermascreen.evidence.thresholds import Predictions, choose_band, choose_points, report_thresholds
from dermascreen.evidence.utility import decision_curve

TEMPERATURE = 1.5
POINTS = ("default", "f1_optimal", "youden", "high_recall")


class Model(NamedTuple):
    """What the report is made from, but for drawings and pictures."""

    metrics: dict[str, dict[str, Any]]
    predictions: pd.DataFrame
    shortcuts: pd.DataFrame
    decision_curve: pd.DataFrame


def good() -> Model:
    """It ranks well, val suffices for the promise, a band refers what is doubtful, and a clinic was given."""
    rng = np.random.default_rng(0)
    val, test, clinic = (_drawn(rng, benign, malignant, 3.0) for benign, malignant in ((90, 80), (100, 84), (60, 40)))
    return _reported(val, test, rng, target_specificity=0.8, clinics={"Elsewhere <b>| $1": clinic})


def useless() -> Model:
    """It ranks by chance; nothing is called malignant at 0.5, and only calling everything so reaches high recall."""
    rng = np.random.default_rng(1)
    val, test = (_drawn(rng, benign, malignant, 0.0) for benign, malignant in ((50, 40), (30, 24)))
    low = [part.assign(logit=part["logit"] / 4 - 2) for part in (val, test)]
    low[0].loc[low[0].index[-5:], "logit"] = -9.0  # the least likely of val are malignant
    low[1]["logit"] = low[1]["logit"].clip(lower=-8.9)
    return _reported(*low, rng, clinics={"Elsewhere": _drawn(rng, 6, 4, 0.0).assign(logit=-3.0)})


def tiny() -> Model:
    """Eight test images, one of them malignant; a stratum of one."""
    rng = np.random.default_rng(2)
    val = pd.DataFrame({"label": [0, 0, 0, 0, 1, 1], "logit": [-2.0, -1.5, -1.0, 0.5, 1.0, 2.0]})
    test = pd.DataFrame({"label": [0] * 7 + [1], "logit": [-3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.2, 2.5]})
    return _reported(val.assign(lesion=range(6)), test.assign(lesion=range(6, 14)), rng, target_specificity=0.9)


def _drawn(rng: np.random.Generator, benign: int, malignant: int, apart: float) -> pd.DataFrame:
    """Images of lesions of their own, but for every tenth, which shows that of the one before."""
    label = np.repeat([0, 1], [benign, malignant])
    lesion = np.arange(len(label))
    lesion[10::10] = np.where(label[10::10] == label[9:-1:10], lesion[9:-1:10], lesion[10::10])
    return pd.DataFrame({"label": label, "logit": rng.normal(apart * (label - 0.5), 1.3), "lesion": lesion})


def _reported(
    val: pd.DataFrame,
    test: pd.DataFrame,
    rng: np.random.Generator,
    *,
    target_specificity: float | None = None,
    clinics: dict[str, pd.DataFrame] | None = None,
) -> Model:
    parts = {
        name: part.assign(
            split=name, probability=expit(part["logit"]), calibrated_probability=expit(part["logit"] / TEMPERATURE)
        )
        for name, part in {"val": val, "test": test}.items()
    }
    columns = ["label", "probability", "calibrated_probability", "lesion"]
    evaluate = {
        name: report_split(*(part[column].to_numpy() for column in columns), draws=100, seed=0)
        for name, part in parts.items()
    }
    splits = {
        name: Predictions(*(part[column].to_numpy() for column in ("label", "calibrated_probability", "lesion")))
        for name, part in parts.items()
    }
    points = choose_points(splits["val"], 0.95, 0.95)
    threshold = report_thresholds(points, choose_band(splits["val"], points, target_specificity, 0.95), splits, 0.95)

    label, logits = test["label"].to_numpy(), test["logit"].to_numpy()
    noise = {name: rng.normal(size=len(label)) for name in ("file", "frame", "colour", "thumbnail")}
    baselines = {name: expit(label * step + noise[name]) for step, name in enumerate(noise)}
    changed = {
        "frame_replaced": logits + rng.normal(scale=0.5, size=len(label)),
        "reencoded": np.where(label == 1, logits + 0.4, logits),
        "exif_stripped": logits.copy(),
    }
    called = splits["test"].probability >= points["high_recall"]["threshold"]
    strata = {
        "twin_in_source_train": np.arange(len(label)) == 0,
        "coarse_jpeg": (label == 1) & (np.arange(len(label)) % 2 == 1),
        "exif": np.isin(np.arange(len(label)), [0, 1, 2, 3, *np.argsort(logits)[-4:]]),
    }
    found = {
        name: {
            "images": len(part) + 3,
            "excluded_training_lesions": 3,
            "used": len(part),
            **report_clinic(
                Sample(part["label"].to_numpy(), expit(part["logit"].to_numpy()), part["lesion"].to_numpy()),
                Sample(splits["test"].label, splits["test"].probability, splits["test"].lesion),
                {name: points[name]["threshold"] for name in POINTS},
                draws=100,
                seed=0,
            ),
        }
        for name, part in (clinics or {}).items()
    }
    metrics = {
        **beside(val, test),
        "evaluate": {"temperature": TEMPERATURE, "tta": False, **evaluate},
        "threshold": threshold,
        "shortcuts": report_shortcuts(
            label, logits, called, test["lesion"].to_numpy(), baselines=baselines, changed=changed, strata=strata
        ),
        "external": {"clinics": found},
    }
    curve = decision_curve(splits["test"].label, splits["test"].probability)
    return Model(metrics, pd.concat(parts.values()), pd.DataFrame({"label": label, **baselines}), curve)


def beside(val: pd.DataFrame, test: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Metrics of audit, split, train and explain, with one of a kind where a word may be in the wrong number."""
    return {
        "audit": {
            "images": 3 * len(val) + len(test), "exact_duplicates": 1, "lesions": 3 * len(val),
            "lesions_with_several_images": 1, "test_images_with_train_twin": 1, "label_conflicts": 1,
            "pairs": {"bytes": 1, "pixels": 0, "hash": 0, "features": 2},
        },
        "split": {
            name: {
                "images": len(part), "lesions": int(part["lesion"].nunique()),
                "benign": int(part["label"].eq(0).sum()), "malignant": int(part["label"].sum()),
            }
            for name, part in {"test": test, "train": val, "val": val}.items()
        },
        "train": {
            "weights": "none", "best_epoch": 0, "epochs": 1, "best_train_loss": 0.6, "best_train_roc_auc": 0.8,
            "best_val_loss": 0.6, "best_val_roc_auc": 0.8,
        },
        "explain": {
            "layer": "backbone.layer4", "variant": "grad_cam", "images": 1, "flat_maps": 1,
            "outcomes": {"fn": 1, "fp": 0, "tp": 0, "tn": 0}, "frame_energy": None, "frame_energy_uniform": 0.4375,
            "believable": {
                "images": 1, "flat": 1, "passed": 7, "failed": ["symmetry"],
                "checks": {
                    name: {"value": 0.2, "mark": 0.3, "passed": name != "symmetry"}
                    for name in (
                        "randomisation", "perturbation_random", "perturbation_centre", "lesion_energy",
                        "frame_energy", "infidelity", "sensitivity", "symmetry",
                    )
                },
            },
        },
    }  # fmt: skip
