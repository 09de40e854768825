"""Details as the stages write them, with figures that are easy to tell apart; nothing here was measured."""

from pathlib import Path

import numpy as np
import pytest
from reported_models import TRAINING
from typed import results_of

from dermascreen.artifacts.results.curves import DecisionCurve
from dermascreen.artifacts.results.predictions import Predictions
from dermascreen.artifacts.results.shortcuts import ShortcutScores
from dermascreen.core.params import read_params
from dermascreen.report.figures import draw, svg
from dermascreen.report.pictures import Picture
from dermascreen.report.reproduction import Reproduction

IMAGENET = {
    "source": "torchvision, ResNet50_Weights.IMAGENET1K_V2",
    "licence": "BSD-3-Clause",
    "trained_on": "ImageNet-1k",
    "sha256": "11ad3fa6" * 8,
}


def around(value, by=0.03):
    return {"low": value - by, "high": value + by}


def exact_intervals(value):
    return {"intervals": {"clopper_pearson": around(value, 0.035)}}


def exact(**values):
    return {name: {"clopper_pearson": around(value)} for name, value in values.items()}


def rates(tn, fp, fn, tp):
    measures = {"recall": tp / (tp + fn), "specificity": tn / (tn + fp), "precision": tp / (tp + fp)}
    return {
        **measures,
        "f1": 2 * tp / (2 * tp + fp + fn),
        "confusion": {"tn": tn, "fp": fp, "fn": fn, "tp": tp},
        "intervals": exact(**measures),
    }


def screening():
    return {
        name: {
            "prevalence": prevalence,
            "ppv": 0.2 + prevalence, "npv": 0.9 - prevalence, "f1": 0.3 + prevalence,
            "missed_per_1000": 7 + prevalence, "false_alarms_per_1000": 140 - prevalence,
            "intervals": {
                measure: {"clopper_pearson_box": around(value + prevalence, 0.1)}
                for measure, value in {
                    "ppv": 0.2, "npv": 0.8, "f1": 0.3, "missed_per_1000": 7.0, "false_alarms_per_1000": 139.0
                }.items()
            },
        }
        for name, prevalence in {"0.01": 0.01, "0.03": 0.03, "0.1": 0.1, "own": 0.4545}.items()
    }  # fmt: skip


def evaluated(n, auc):
    at_half = rates(60, 20, 11, 69)
    bootstrapped = {"roc_auc": auc, "partial_roc_auc": 0.151, "average_precision": 0.872, "brier": 0.123}
    intervals = {name: {"cluster_bootstrap": around(value)} for name, value in bootstrapped.items()}
    intervals["roc_auc"] = {"delong": around(auc, 0.021), **intervals["roc_auc"]}
    return {
        "n": n, "lesions": n - 9, "malignant": 80,
        **bootstrapped, **at_half, "accuracy": 0.806, "log_loss": 0.397, "ece": 0.0311,
        "intervals": {**intervals, **at_half["intervals"], **exact(accuracy=0.806)},
        "calibration": {
            "before": {"brier": 0.131, "log_loss": 0.412, "ece": 0.081, "ece_floor": 0.033, "ece_floor_high": 0.046},
            "after": {"brier": 0.123, "log_loss": 0.397, "ece": 0.0311, "ece_floor": 0.034, "ece_floor_high": 0.047},
        },
    }  # fmt: skip


RELATIONS = ("within", "interval above", "at most", "below", "at least")
POINTS = {"default": 0.5, "f1_optimal": 0.421, "youden": 0.467, "high_recall": 0.2}
COUNTS = {
    "default": (60, 20, 11, 69),
    "f1_optimal": (58, 22, 9, 71),
    "youden": (59, 21, 9, 71),
    "high_recall": (41, 39, 3, 77),
}
DECIDED = {
    "coverage": 0.75, "referred": 40, "decided": 120, "recall": 0.9333, "specificity": 0.8833, "precision": 0.8889,
    "error": 0.0917, "confusion": {"tn": 53, "fp": 7, "fn": 4, "tp": 56},
    "intervals": exact(coverage=0.75, recall=0.9333, specificity=0.8833, error=0.0917),
}  # fmt: skip
ABSTENTION = {
    "low": 0.2, "high": 0.713, "target_specificity": 0.9, "confidence": 0.9, "guaranteed": True,
    "rule": "an exact rule", "lesions": 93, "false_alarms_allowed": 1, "lesions_needed": 29, "patients": 93,
    "val": DECIDED, "test": {**DECIDED, "referred": 37},
}  # fmt: skip


def differing(value):
    return {"value": value, "low": value - 0.05, "high": value + 0.04}


def without(names, measures):
    return {name: value for name, value in measures.items() if name not in names}


def site(name):
    at = without(["f1"], rates(50, 30, 8, 22))
    at["intervals"] = {
        measure: {"wilson": interval["clopper_pearson"]} for measure, interval in at["intervals"].items()
    }
    measures = {"roc_auc": 0.801, "partial_roc_auc": 0.095, "average_precision": 0.612, "brier": 0.201, "ece": 0.112}
    points = {
        point: {
            "threshold": POINTS[point], **at, "internal": {"recall": 0.9, "specificity": 0.71, "precision": 0.72},
            "fall": {"recall": differing(0.17), "specificity": differing(0.08)},
        }
        for point in POINTS
    }  # fmt: skip
    return {
        name: {
            "images": 120, "left_out": {"masks": 4}, "excluded_training_lesions": 6, "used": 110, "malignant": 30,
            **measures,
            "intervals": {
                "roc_auc": {"delong": around(0.801), "cluster_bootstrap": around(0.801, 0.034)},
                "partial_roc_auc": {"cluster_bootstrap": around(0.095)},
                "average_precision": {"cluster_bootstrap": around(0.612)},
                "brier": {"cluster_bootstrap": around(0.201)},
            },
            "internal": {
                "roc_auc": 0.8876, "partial_roc_auc": 0.151, "average_precision": 0.872, "brier": 0.123, "ece": 0.0311,
            },
            "fall": {
                "roc_auc": differing(0.0866), "partial_roc_auc": differing(0.056), "brier": differing(-0.078),
            },
            "points": points,
        }
    }  # fmt: skip


def side(n, malignant, **measures):
    intervals = exact(**without(["roc_auc"], measures))
    if "roc_auc" in measures:
        intervals["roc_auc"] = {"delong": around(measures["roc_auc"])}
    return {"n": n, "malignant": malignant, **measures, "intervals": intervals}


def promised(lesions, missed, allowed):
    kept = allowed is not None and missed <= allowed
    return {"kept": kept, "lesions": lesions, "missed": missed, "allowed": allowed}


def group(images, benign, malignant, promise, **measures):
    every = {"roc_auc": None, "recall": None, "specificity": None, "calibration_error": None} | measures
    return {
        "images": images, "benign": benign, "malignant": malignant, **every,
        "intervals": {
            name: {} if value is None else {"clopper_pearson": around(value)} for name, value in every.items()
        },
        "promise": promise,
    }  # fmt: skip


def compared(auc, name, value):
    return {"roc_auc": auc, name: value, "low": value - 0.02, "high": value + 0.02, "p_value": 0.0123}


def example():
    auc = {"roc_auc": {"delong": around(0.84)}}
    baselines = {"file": 0.741, "frame": 0.842, "colour": 0.853, "thumbnail": 0.811}
    interventions = {"frame_replaced": 0.831, "reencoded": 0.862, "exif_stripped": 0.8876}
    return {
        "audit": {
            "images": 402, "exact_duplicates": 1, "lesions": 371, "lesions_with_several_images": 26,
            "test_near_duplicates_of_train": 17, "label_conflicts": 2,
            "patients": 298, "of_unknown_patients": 7, "patient_conflicts": 3, "pairs_kept_apart": 4,
            "pairs_rejected": 5, "rejected_but_joined": 1,
            "pairs": {"bytes": 1, "pixels": 5, "hash": 18, "features": 13, "declared": 9, "reviewed": 6},
        },
        "split": {
            name: {"images": 160 + number, "lesions": 151 + number, "benign": 81 + number, "malignant": 79 + number}
            for number, name in enumerate(("excluded", "test", "train", "val"))
        } | {
            "columns": {
                "sex": {"known": 391, "distinct": 2, "values": {"train": {"female": 83, "male": 76}}, "ranges": {}},
                "age_approx": {"known": 388, "distinct": 31, "values": {}, "ranges": {"train": [4.5, 89.5]}},
                "note": {"known": 45, "distinct": 44, "values": {}, "ranges": {}},
            }
        },
        "train": {
            "architecture": "resnet50", "weights": "IMAGENET1K_V2", "start": IMAGENET, "best_epoch": 3, "epochs": 5,
            "best_train_loss": 0.41, "best_train_roc_auc": 0.95, "best_val_loss": 0.43, "best_val_roc_auc": 0.9132,
        },
        "evaluate": {
            "temperature": 1.234, "tta": False, "val": evaluated(151, 0.913), "test": evaluated(160, 0.8876)
        },
        "threshold": {
            **{
                name: {
                    "threshold": POINTS[name], "rule": f"the rule of {name}",
                    "val": {**rates(61, 19, 4, 76), "screening": screening()},
                    "test": {**rates(*COUNTS[name]), "screening": screening()},
                    **({
                        "target_recall": 0.95, "confidence": 0.9, "guaranteed": True, "reached": True, "lesions": 74,
                        "misses_allowed": 6, "lesions_needed": 59, "patients": 71,
                        "test_lesions": {"number": 73, "found": 71, **exact_intervals(0.9594)},
                        "test_patients": {"number": 69, "found": 67, **exact_intervals(0.9574)},
                    } if name == "high_recall" else {}),
                }
                for name in POINTS
            },
            "abstention": None,
            "fn_reduction": {"default_fn": 11, "high_recall_fn": 3, "fewer_missed": 8, "relative": 8 / 11},
            "source_protocol": {
                "note": "Optimistic: chosen on test.",
                "test": {
                    "roc_auc": 0.8876,
                    **{
                        name: {
                            "threshold": 0.31, "rule": f"the rule of {name}",
                            **without(["intervals"], rates(55, 25, 2, 78)),
                            **({"target_recall": 0.95, "reached": True} if name == "high_recall" else {}),
                        }
                        for name in POINTS
                    },
                    "fn_reduction": {"default_fn": 2, "high_recall_fn": 2, "fewer_missed": 0, "relative": 0.0},
                },
            },
            "subgroups": {
                "confidence": 0.9875,
                "columns": {
                    "sex": {
                        "male": group(93, 41, 39, promised(69, 1, 2), recall=0.91, specificity=0.63, roc_auc=0.861),
                        "female": group(67, 31, 29, promised(61, 4, 0), specificity=0.64),
                    },
                    "hospital": {
                        "<North>": group(31, 13, 8, promised(17, 1, None)),
                        "South": group(0, 0, 0, promised(0, 0, None)),
                    },
                },
            },
        },
        "shortcuts": {
            "network": {"roc_auc": 0.8876, "intervals": {"roc_auc": {"delong": around(0.8876)}}},
            "baselines": {
                name: {**compared(value, "network_minus_baseline", 0.8876 - value), "intervals": auc}
                for name, value in baselines.items()
            },
            "interventions": {
                name: {**compared(value, "fall", 0.8876 - value), "largest_logit_change": 1.5}
                for name, value in interventions.items()
            },
            "strata": {
                "near_duplicate_in_source_train": {
                    "yes": side(17, 0, specificity=0.6), "no": side(143, 80, recall=0.96, specificity=0.5, roc_auc=0.88)
                },
                "coarse_jpeg": {"no": side(160, 80, recall=0.96, specificity=0.51, roc_auc=0.8876)},
                "exif": {"yes": side(30, 30, recall=0.99), "no": side(130, 50, recall=0.94, specificity=0.51)},
            },
            "not_assessable": ["skin type", "age"],
        },
        "external": {"sites": {}},
        "explain": {
            "layer": "backbone.layer4", "variant": "hires_cam",
            "images": 2, "flat_maps": 1, "outcomes": {"fn": 1, "fp": 1, "tp": 0, "tn": 0},
            "frame_energy": 0.512, "frame_energy_uniform": 0.4375,
            "believable": {
                "images": 31, "flat": 4, "passed": 7, "failed": ["symmetry"],
                "checks": {
                    name: {"value": 0.111 + number / 10, **around(0.111 + number / 10), "criterion": 0.01 * number,
                           "relation": RELATIONS[number % 5], "passed": name != "symmetry"}
                    for number, name in enumerate((
                        "randomisation", "perturbation_random", "perturbation_centre", "lesion_energy",
                        "frame_energy", "infidelity", "sensitivity", "symmetry",
                    ))
                },
            },
        },
    }  # fmt: skip


@pytest.fixture
def metrics():
    return example()


@pytest.fixture
def abstention():
    return ABSTENTION


@pytest.fixture
def sites():
    return {"sites": site("Oslo <b>| $1")}


@pytest.fixture
def figures():
    """Stand-ins for drawings, by name."""
    names = (
        "operating_points",
        "calibration",
        "roc",
        "precision_recall",
        "loss",
        "training",
        "decision",
        "baselines",
        "interventions",
    )
    return {name: f'<svg id="{name}"></svg>' for name in (*names, "sites")}


@pytest.fixture(scope="session")
def decision_curve():
    return DecisionCurve(
        threshold=np.array([0.0, 0.1, 0.2, 0.3]), model=np.array([0.5, 0.46, 0.44, 0.3]),
        treat_all=np.array([0.5, 0.45, 0.38, 0.31]), treat_none=np.zeros(4),
    )  # fmt: skip


@pytest.fixture
def pictures():
    pixel = "data:image/jpeg;base64,/9j/"
    return [
        Picture("test/malignant/7.jpg", 1, 0.1, 0.03, 0.16, "fn", pixel, pixel, pixel, pixel, flat=True),
        Picture("test/benign/<b>&8.jpg", 0, 0.45, 0.38, 0.51, "fp", pixel, pixel, pixel, pixel, flat=False),
        Picture("test/benign/9.jpg", 0, 0.72, 0.65, 0.78, "fp", pixel, pixel, pixel, pixel, flat=False),
    ]


@pytest.fixture(scope="session")
def params():
    return read_params(Path(__file__).parents[2] / "params.yaml")


@pytest.fixture
def reproduction(params):
    inputs = {"reports/predictions.csv": "0123456789abcdef0123456789abcdef"}
    return Reproduction("f" * 40, False, params, inputs, {"python": "3.99.1", "torch": "2.98.7"})


@pytest.fixture(scope="session")
def predictions():
    """A few images of val and test, some of the same lesion."""
    rng = np.random.default_rng(0)
    label = np.tile([0, 1], 30)
    logit = 2 * label - 1 + rng.normal(size=60)
    uncalibrated, probability = (1 / (1 + np.exp(-logit / temperature)) for temperature in (1, 1.5))
    return Predictions(
        path=np.array([f"{number}.jpg" for number in range(60)], dtype=object),
        split=np.repeat(np.array(["val", "test"], dtype=object), 30),
        label=label,
        lesion=np.arange(60) // 4 * 2 + label,
        probability=probability,
        logit=logit,
        uncalibrated=uncalibrated,
        low=probability,
        high=probability,
    )


@pytest.fixture(scope="session")
def scores(predictions):
    test = predictions.part("test")
    noise = np.random.default_rng(1).normal(size=(4, len(test)))
    return ShortcutScores(test.path, test.label, test.lesion, test.logit, *noise, *[test.logit] * 5)


@pytest.fixture(scope="session")
def drawings(predictions, scores, decision_curve):
    """All figures, with a band and a site, as SVG by name."""
    metrics = example()
    metrics["threshold"]["abstention"] = ABSTENTION
    metrics["external"]["sites"] = site("Oslo <b>| $1")
    drawn = draw(results_of(metrics), predictions, scores, decision_curve, TRAINING, draws=20, seed=0)
    return {name: svg(name, figure) for name, figure in drawn.items()}
