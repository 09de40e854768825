"""How much of the label can be read without the lesion, and how much of that the network reads.

A baseline learns from cues that hold none of a lesion's structure; a network is worth what it adds to the best of them.
An intervention takes a cue away; a network that lived on it falls. A stratum holds the photographs with a cue or
without it; a network that lives on it recalls the ones and misses the others.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from dermascreen.evidence.intervals import Lesions, auc_interval, compare_aucs, share_intervals
from dermascreen.evidence.metrics import Labels, Scores, confusion, rates

Flags = npt.NDArray[np.bool_]  # shape (n,)

FEWEST = 2  # of each class: with one image, an AUC is a mere rank

NOT_ASSESSABLE = ("skin type", "age", "sex", "body site", "diagnosis", "how it was confirmed", "clinic", "camera")


def baseline_scores(
    features: npt.NDArray[np.floating], label: Labels, test_features: npt.NDArray[np.floating]
) -> Scores:
    """Learn the label from `features`, (n, k), by gradient boosting; the probability of malignant for each test row.

    The settings are scikit-learn's, chosen on no image. The same input always gives the same scores.
    """
    with threadpool_limits(1, "openmp"):  # on shared cores its threads spend their time waiting for one another
        model = HistGradientBoostingClassifier(early_stopping=False, random_state=0).fit(features, label)
        return np.asarray(model.predict_proba(test_features)[:, 1])


def report_shortcuts(
    label: Labels,
    network: Scores,
    called: Flags,
    lesion: Lesions,
    *,
    baselines: Mapping[str, Scores],
    changed: Mapping[str, Scores],
    strata: Mapping[str, Flags],
) -> dict[str, Any]:
    """All that follows of the test images, and what no data here can tell.

    Parameters, each of shape (n,): `label`; `network`, its logits; `called`, what it calls malignant at high_recall;
    `lesion`; the scores of each of `baselines`; the logits under each intervention, `changed`; each of `strata`.
    """
    return {
        "network": report_auc(label, network, lesion),
        "baselines": report_baselines(label, network, lesion, baselines),
        "interventions": report_interventions(label, network, lesion, changed),
        "strata": report_strata(label, network, called, lesion, strata),
        "not_assessable": list(NOT_ASSESSABLE),
    }


def report_auc(label: Labels, score: Scores, lesion: Lesions) -> dict[str, Any]:
    """The AUC and its interval, by `intervals.auc_interval`."""
    method, interval = auc_interval(label, score, lesion)
    return {"roc_auc": float(roc_auc_score(label, score)), "intervals": {"roc_auc": {method: interval._asdict()}}}


def report_baselines(
    label: Labels, network: Scores, lesion: Lesions, baselines: Mapping[str, Scores]
) -> dict[str, dict[str, Any]]:
    """The AUC of each baseline, and what the network has above it, with its interval and p-value: `compare_aucs`."""
    report = {}
    for name, score in baselines.items():
        compared = compare_aucs(label, network, score, lesion)
        report[name] = {
            **report_auc(label, score, lesion),
            "network_minus_baseline": compared.difference,
            "low": compared.low,
            "high": compared.high,
            "p_value": compared.p_value,
        }
    return report


def report_interventions(
    label: Labels, network: Scores, lesion: Lesions, changed: Mapping[str, Scores]
) -> dict[str, dict[str, Any]]:
    """How far the network's AUC falls under each intervention, with its interval and p-value: `compare_aucs`."""
    report = {}
    for name, logits in changed.items():
        compared = compare_aucs(label, network, logits, lesion)
        report[name] = {
            "roc_auc": compared.second,
            "fall": compared.difference,
            "low": compared.low,
            "high": compared.high,
            "p_value": compared.p_value,
            "largest_logit_change": float(np.abs(logits - network).max()),
        }
    return report


def report_strata(
    label: Labels, network: Scores, called: Flags, lesion: Lesions, strata: Mapping[str, Flags]
) -> dict[str, Any]:
    """What the network does on either side of each stratum, as `yes` and `no`; a side without images is left out."""
    report: dict[str, Any] = {}
    for name, inside in strata.items():
        sides = {"yes": inside, "no": ~inside}
        report[name] = {
            side: _stratum(label[rows], network[rows], called[rows], lesion[rows])
            for side, rows in sides.items()
            if rows.any()
        }
    return report


def _stratum(label: Labels, network: Scores, called: Flags, lesion: Lesions) -> dict[str, Any]:
    """Counts, and of recall, specificity and AUC what the classes in the stratum allow."""
    malignant = int(label.sum())
    benign = len(label) - malignant
    at = rates(confusion(label, called))
    measures, intervals = {}, {}
    for name, correct, total in (("recall", "tp", malignant), ("specificity", "tn", benign)):
        if total:
            measures[name] = at[name]
            intervals[name] = share_intervals(at["confusion"][correct], total)
    if min(malignant, benign) >= FEWEST:
        auc = report_auc(label, network, lesion)
        measures["roc_auc"] = auc["roc_auc"]
        intervals |= auc["intervals"]
    return {"n": len(label), "malignant": malignant, **measures, "intervals": intervals}


def twin_in(lesion: npt.NDArray[np.intp], folder: Flags) -> Flags:
    """Which photographs have another one of their lesion in `folder`; all of shape (n,)."""
    members = np.bincount(lesion, weights=folder)
    return members[lesion] - folder > 0
