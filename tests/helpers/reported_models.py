"""Models of which the report must say what is so: details as the stages' own functions make them, of made-up scores.

What no function without torch finds (train, explain) is made up in `beside`.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit

from dermascreen.artifacts.dataset.details import AuditDetails, PairCounts
from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.artifacts.dataset.splits import Splits
from dermascreen.artifacts.model.description import RANDOM
from dermascreen.artifacts.model.training import TrainDetails
from dermascreen.artifacts.results.curves import DecisionCurve, TrainingCurves
from dermascreen.artifacts.results.details.evaluation import (
    EvaluateDetails,
    ExternalDetails,
    ShortcutsDetails,
    SiteDetails,
    ThresholdDetails,
)
from dermascreen.artifacts.results.details.explanation import Check, Checks, ExplainDetails, OutcomeCounts
from dermascreen.artifacts.results.predictions import Predictions
from dermascreen.artifacts.results.shortcuts import ShortcutScores
from dermascreen.data.splits import summarise
from dermascreen.evidence.clusters import Clusters
from dermascreen.evidence.evaluation import report_split
from dermascreen.evidence.external import report_site
from dermascreen.evidence.sample import Sample
from dermascreen.evidence.thresholds import choose_points
from dermascreen.evidence.utility import decision_curve
from dermascreen.report.results import Results

TEMPERATURE = 1.5
CHECKS = (
    "randomisation", "perturbation_random", "perturbation_centre", "lesion_energy", "frame_energy", "infidelity",
    "sensitivity", "symmetry",
)  # fmt: skip

TRAINING = TrainingCurves(
    epoch=np.arange(3),
    train_loss=np.array([0.7, 0.4, 0.3]),
    val_loss=np.array([0.6, 0.5, 0.55]),
    train_roc_auc=np.array([0.6, 0.9, 0.95]),
    val_roc_auc=np.array([0.7, 0.88, 0.86]),
)


class Model(NamedTuple):
    """What the report is made from, but for drawings and pictures."""

    results: Results
    predictions: Predictions
    shortcuts: ShortcutScores
    decision_curve: DecisionCurve


def good() -> Model:
    """It ranks well, val suffices for the promise, a band refers what is doubtful, and a site was given."""
    rng = np.random.default_rng(0)
    val, test, site = (_drawn(rng, benign, malignant, 3.0) for benign, malignant in ((90, 80), (100, 84), (60, 40)))
    return _reported(val, test, rng, target_specificity=0.8, sites={"Elsewhere <b>| $1": site})


def useless() -> Model:
    """It ranks by chance; nothing is called malignant at 0.5, and only calling everything so reaches high recall."""
    rng = np.random.default_rng(1)
    val, test = (_drawn(rng, benign, malignant, 0.0) for benign, malignant in ((50, 40), (30, 24)))
    low = [part.assign(logit=part["logit"] / 4 - 2) for part in (val, test)]
    low[0].loc[low[0].index[-5:], "logit"] = -9.0  # the least likely of val are malignant
    low[1]["logit"] = low[1]["logit"].clip(lower=-8.9)
    return _reported(*low, rng, sites={"Elsewhere": _drawn(rng, 6, 4, 0.0).assign(logit=-3.0)})


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
    sites: dict[str, pd.DataFrame] | None = None,
) -> Model:
    paths = np.array([f"{number}.jpg" for number in range(len(val) + len(test))], dtype=object)
    both = pd.concat([val, test], ignore_index=True)
    logit, split = both["logit"].to_numpy(), np.repeat(np.array(["val", "test"], dtype=object), [len(val), len(test)])
    probability = expit(logit / TEMPERATURE)
    predictions = Predictions(
        path=paths, split=split, label=both["label"].to_numpy(), lesion=both["lesion"].to_numpy(),
        probability=probability, logit=logit, uncalibrated=expit(logit), low=probability, high=probability,
    )  # fmt: skip
    parts = {name: predictions.part(name) for name in ("val", "test")}
    reports = {name: report_split(part.sample, part.uncalibrated, draws=100, seed=0) for name, part in parts.items()}
    samples = {name: part.sample for name, part in parts.items()}
    points = choose_points(samples["val"], 0.95, 0.95, target_specificity)

    label, logits = parts["test"].label, parts["test"].logit
    noise = {name: rng.normal(size=len(label)) for name in ("file", "frame", "colour", "thumbnail")}
    baselines = {name: expit(label * step + noise[name]) for step, name in enumerate(noise)}
    changed = {
        "frame_replaced": logits + rng.normal(scale=0.5, size=len(label)),
        "reencoded": np.where(label == 1, logits + 0.4, logits),
        "exif_stripped": logits.copy(),
    }
    strata = {
        "near_duplicate_in_source_train": np.arange(len(label)) == 0,
        "coarse_jpeg": (label == 1) & (np.arange(len(label)) % 2 == 1),
        "exif": np.isin(np.arange(len(label)), [0, 1, 2, 3, *np.argsort(logits)[-4:]]),
    }
    found = {}
    for name, part in (sites or {}).items():
        there = Sample(
            part["label"].to_numpy(), expit(part["logit"].to_numpy()), Clusters.of_lesions(part["lesion"].to_numpy())
        )
        report = report_site(there, samples["test"], points.thresholds, draws=100, seed=0)
        found[name] = SiteDetails.of(report, images=len(part) + 3, left_out={"masks": 0}, used=len(part))
    results = Results(
        **beside(val, test, predictions),
        evaluate=EvaluateDetails(temperature=TEMPERATURE, tta=False, **reports),
        threshold=ThresholdDetails.measure(points, **samples, groups=tuple(map(_by_sex, (val, test)))),
        shortcuts=ShortcutsDetails.measure(
            label, logits, points.flags(samples["test"].probability, "high_recall"), samples["test"].clusters,
            baselines=baselines, changed=changed, strata=strata, not_assessable=("skin type",),
        ),
        external=ExternalDetails(sites=found),
    )  # fmt: skip
    scores = ShortcutScores(
        parts["test"].path, label, parts["test"].lesion, logits, **baselines, **changed,
        covariates=np.zeros(len(label)), with_covariates=logits,
    )  # fmt: skip
    return Model(results, predictions, scores, DecisionCurve.of(decision_curve(label, samples["test"].probability)))


def _by_sex(part: pd.DataFrame) -> dict[str, np.ndarray]:
    return {"sex": np.where(np.arange(len(part)) % 3, "female", "male").astype(object)}


def beside(val: pd.DataFrame, test: pd.DataFrame, predictions: Predictions) -> dict:
    """Details of audit, split, train and explain, with one of a kind where a word may be in the wrong number."""
    train = predictions.part("val")
    splits = Splits(
        np.concatenate([train.path + ".train", predictions.path]),
        np.concatenate([train.label, predictions.label]),
        np.concatenate([train.lesion, predictions.lesion]),
        np.concatenate([np.full(len(train), "train", dtype=object), predictions.split]),
        np.concatenate([train.lesion, predictions.lesion]),
    )
    known = pd.DataFrame({"lesion": "", "patient": "", "sex": "male", "age": "55"}, index=pd.Index(splits.path))
    return {
        "audit": AuditDetails(
            images=3 * len(val) + len(test), exact_duplicates=1, lesions=3 * len(val), lesions_with_several_images=1,
            test_near_duplicates_of_train=1, label_conflicts=1, patients=1, patient_conflicts=1, pairs_kept_apart=1,
            pairs_rejected=1, rejected_but_joined=1,
            pairs=PairCounts(bytes=1, pixels=0, hash=0, features=2, declared=1, reviewed=1),
        ),
        "split": summarise(splits, Metadata.of(splits.path, known)),
        "train": TrainDetails(
            architecture="resnet50", weights="none", start=RANDOM, best_epoch=0, epochs=1,
            best_train_loss=0.6, best_train_roc_auc=0.8, best_val_loss=0.6, best_val_roc_auc=0.8,
        ),
        "explain": ExplainDetails(
            layer="backbone.layer4", variant="grad_cam", images=1, flat_maps=1,
            outcomes=OutcomeCounts(fn=1, fp=0, tp=0, tn=0), frame_energy=None, frame_energy_uniform=0.4375,
            believable=Checks(
                images=1, flat=1, passed=7, failed=("symmetry",),
                checks={
                    name: Check(value=0.2, relation="at most", criterion=0.3, passed=name != "symmetry")
                    for name in CHECKS
                },
            ),
        ),
    }  # fmt: skip
