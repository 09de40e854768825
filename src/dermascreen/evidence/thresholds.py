"""Operating points: thresholds on the probability, at or above which an image is called malignant.

They are chosen on val and applied once to test. Where two thresholds are equally good the lower one, which misses fewer
cancers, is taken.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score, roc_curve

from dermascreen.evidence.metrics import Labels, Scores, at_threshold

Points = dict[str, dict[str, Any]]

OPTIMISTIC = "Optimistic: these thresholds were chosen on the very test images that they are scored on."


def candidates(label: Labels, probability: Scores) -> pd.DataFrame:
    """Each distinct probability as a threshold, highest first, with its tp and fp; both classes must occur."""
    fpr, tpr, threshold = roc_curve(label, probability, drop_intermediate=False)
    positives = int(label.sum())
    tp = np.rint(tpr * positives).astype(int)
    fp = np.rint(fpr * (len(label) - positives)).astype(int)
    return pd.DataFrame({"threshold": threshold, "tp": tp, "fp": fp}).iloc[1:]  # the first calls nothing malignant


def choose_points(label: Labels, probability: Scores, target_recall: float) -> Points:
    """Choose the operating points on `label` and `probability`, each of shape (n,).

    default: 0.5. f1_optimal: the greatest F1. youden: the greatest recall + specificity - 1 (Youden 1950).
    high_recall: the highest threshold whose recall is at least `target_recall`; `reached` is false where only calling
    every image malignant gets there.
    """
    table = candidates(label, probability)
    positives, negatives = int(label.sum()), int((1 - label).sum())
    f1 = 2 * table["tp"] / (table["tp"] + table["fp"] + positives)
    youden = table["tp"] * negatives - table["fp"] * positives  # times positives * negatives, to stay exact
    high_recall = table[table["tp"] / positives >= target_recall].iloc[0]
    return {
        "default": {"threshold": 0.5},
        "f1_optimal": {"threshold": float(table["threshold"][f1.eq(f1.max())].min())},
        "youden": {"threshold": float(table["threshold"][youden.eq(youden.max())].min())},
        "high_recall": {
            "threshold": float(high_recall["threshold"]),
            "target_recall": target_recall,
            "reached": bool(high_recall["fp"] < negatives),
        },
    }


def report_points(
    points: Points, labels: Mapping[str, Labels], scores: Mapping[str, Scores], target_recall: float
) -> dict[str, Any]:
    """Apply `points` to each split, and beside them points chosen on test itself, as the source project did."""
    report: dict[str, Any] = {
        name: {**point, **{split: at_threshold(labels[split], scores[split], point["threshold"]) for split in labels}}
        for name, point in points.items()
    }
    report["fn_reduction"] = fn_reduction(report["default"]["test"], report["high_recall"]["test"])

    tuned_on_test = choose_points(labels["test"], scores["test"], target_recall)
    test = {
        name: {**point, **at_threshold(labels["test"], scores["test"], point["threshold"])}
        for name, point in tuned_on_test.items()
    }
    auc = float(roc_auc_score(labels["test"], scores["test"]))
    missed = fn_reduction(test["default"], test["high_recall"])
    report["source_protocol"] = {"note": OPTIMISTIC, "test": {"roc_auc": auc, **test, "fn_reduction": missed}}
    return report


def fn_reduction(default: Mapping[str, Any], high_recall: Mapping[str, Any]) -> dict[str, Any]:
    """How many fewer cancers high_recall misses than default, as a count and as a share of what default misses."""
    before, after = default["confusion"]["fn"], high_recall["confusion"]["fn"]
    relative = (before - after) / before if before else 0.0
    return {"default_fn": before, "high_recall_fn": after, "fewer_missed": before - after, "relative": relative}


def sweep(label: Labels, probability: Scores) -> pd.DataFrame:
    """Recall and specificity at thresholds 0, 0.01, ..., 1, to plot."""
    rows = []
    for threshold in np.linspace(0, 1, 101).round(2):
        at = at_threshold(label, probability, threshold)
        rows.append({"threshold": threshold, "recall": at["recall"], "specificity": at["specificity"]})
    return pd.DataFrame(rows)
