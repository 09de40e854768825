"""For whom results hold: the measures of a model by group, such as sex or hospital, and its promise in each.

A group is looked at only where it can say something: a rate or an AUC needs FEWEST lesions of its classes. Where many
groups are looked at, some stand out by chance alone; so the intervals of all of them are widened until they hold
together with CONFIDENCE (Bonferroni). The promise of a group rests on its own lesions in val, with the point's
confidence.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from dermascreen.evidence.intervals import CONFIDENCE, FEWEST, Interval, Intervals, auc_interval, clopper_pearson
from dermascreen.evidence.metrics import confusion
from dermascreen.evidence.operating_points import HighRecall, called_malignant
from dermascreen.evidence.sample import Sample
from dermascreen.evidence.thresholds import Groups, lesion_scores, misses_allowed

ROBUST = "cluster_robust"  # the method of the interval of a calibration error

Split = tuple[Sample, Mapping[str, Groups]]  # images, and their groups by the name of a column


@dataclass(frozen=True)
class Promise:
    """Whether the recall that a point promises is promised for a group, by its own lesions in val."""

    kept: bool
    lesions: int  # malignant ones in val
    missed: int  # of these
    allowed: int | None  # None where even 0 are too many: there are too few lesions for a promise


@dataclass(frozen=True)
class GroupIntervals:
    roc_auc: Intervals = field(default_factory=dict)
    recall: Intervals = field(default_factory=dict)
    specificity: Intervals = field(default_factory=dict)
    calibration_error: Intervals = field(default_factory=dict)


@dataclass(frozen=True)
class GroupReport:
    """A group's results on test; a measure is None where a class has too few lesions for it."""

    images: int
    benign: int  # lesions
    malignant: int
    roc_auc: float | None
    recall: float | None  # at high_recall, of images
    specificity: float | None
    calibration_error: float | None  # mean probability minus the share of malignant images: above 0, too high
    intervals: GroupIntervals
    promise: Promise


@dataclass(frozen=True)
class Subgroups:
    """Every group's results by column and name, and the confidence of each interval for all to hold together."""

    confidence: float
    columns: dict[str, dict[str, GroupReport]]

    @property
    def looked_at(self) -> int:
        """How many groups there are."""
        return sum(map(len, self.columns.values()))

    @property
    def promises(self) -> dict[tuple[str, str], Promise]:
        """The promise of each group, by its column and name."""
        return {(column, name): one.promise for column, groups in self.columns.items() for name, one in groups.items()}

    def shortfalls(self, columns: Iterable[str], point: HighRecall) -> list[str]:
        """A sentence for each group of some columns that prevents its promise."""
        needed, target = point.lesions_needed, f"{point.target_recall:g}"
        return [
            f"A recall of {target} cannot be promised for {column} {name}: val has {one.promise.lesions} malignant "
            f"lesions of it, and {needed} are needed."
            for column in columns
            for name, one in self.columns[column].items()
            if not one.promise.kept
        ]


def report_subgroups(val: Split, test: Split, point: HighRecall) -> Subgroups:
    """The results of every group that occurs in val or test, at the point, with intervals that hold together."""
    names = {column: sorted({*val[1][column].tolist(), *groups.tolist()}) for column, groups in test[1].items()}
    looked_at = sum(map(len, names.values()))
    confidence = 1 - (1 - CONFIDENCE) / max(looked_at, 1)
    columns = {
        column: {
            name: _report(_part(val, column, name), _part(test, column, name), point, confidence) for name in groups
        }
        for column, groups in names.items()
    }
    return Subgroups(confidence, columns)


def promise(val: Sample, point: HighRecall) -> Promise:
    """Whether a group's own lesions promise the recall of a point whose threshold is given.

    They do if they would allow a threshold as high by the exact rule: the chance that the group's recall is lower than
    the target is then at most 1 - confidence, whatever else the threshold was chosen by.
    """
    lesions = lesion_scores(val, label=1)
    missed = int((~called_malignant(lesions, point.threshold)).sum())
    allowed = misses_allowed(len(lesions), point.target_recall, point.confidence)
    return Promise(allowed is not None and missed <= allowed, len(lesions), missed, allowed)


def _part(split: Split, column: str, name: str) -> Sample:
    sample, groups = split
    rows = groups[column] == name
    return Sample(*(part[rows] for part in sample))


def _report(val: Sample, test: Sample, point: HighRecall, confidence: float) -> GroupReport:
    label, probability, lesion = test
    benign, malignant = (len(np.unique(lesion[label == one])) for one in (0, 1))
    counts = confusion(label, called_malignant(probability, point.threshold))
    found: dict[str, float | None] = dict.fromkeys(("roc_auc", "recall", "specificity", "calibration_error"))
    around: dict[str, Intervals] = {}
    if malignant >= FEWEST:
        found["recall"] = counts.tp / counts.malignant
        around["recall"] = {"clopper_pearson": clopper_pearson(counts.tp, counts.malignant, confidence)}
    if benign >= FEWEST:
        found["specificity"] = counts.tn / counts.benign
        around["specificity"] = {"clopper_pearson": clopper_pearson(counts.tn, counts.benign, confidence)}
    if min(benign, malignant) >= FEWEST:
        method, interval = auc_interval(label, probability, lesion, confidence)
        found["roc_auc"], around["roc_auc"] = float(roc_auc_score(label, probability)), {method: interval}
        error, interval = calibration_error(test, confidence)
        found["calibration_error"], around["calibration_error"] = error, {ROBUST: interval}
    return GroupReport(
        images=len(label), benign=benign, malignant=malignant, **found,
        intervals=GroupIntervals(**around), promise=promise(val, point),
    )  # fmt: skip


def calibration_error(sample: Sample, confidence: float = CONFIDENCE) -> tuple[float, Interval]:
    """Mean probability minus the share of malignant images, and its interval.

    The interval is normal, with the cluster-robust standard error of Liang and Zeger (1986): photographs of one lesion
    err together.
    """
    differences = sample.probability - sample.label
    error = float(differences.mean())
    _, lesion = np.unique(sample.lesion, return_inverse=True)
    sums = np.bincount(lesion, weights=differences - error)
    clusters = len(sums)
    variance = clusters / (clusters - 1) * float((sums**2).sum()) / len(differences) ** 2
    half = float(norm.isf((1 - confidence) / 2)) * math.sqrt(variance)
    return error, Interval(error - half, error + half)
