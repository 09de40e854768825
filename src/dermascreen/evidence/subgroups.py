"""For whom results hold: the measures of a model by group, such as sex or hospital, and its promise in each.

Everything is of lesions, and not of photographs: at a point a lesion is decided by its least favourable photograph, and
otherwise it has the mean of their probabilities. A group is looked at only where it can say something: a rate or an AUC
needs FEWEST lesions of its classes. Lesions of one patient depend on each other, which intervals take into account.
Where many numbers are looked at, some stand out by chance alone; so all intervals are widened until all of them hold
together with CONFIDENCE (Bonferroni). The promise of a group rests on its own lesions in val, with the point's
confidence.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from dermascreen.evidence.clusters import CONFIDENCE, FEWEST, Clusters, having
from dermascreen.evidence.intervals import HOEFFDING, Interval, Intervals, auc_interval, hoeffding, share_intervals
from dermascreen.evidence.operating_points import HALF, HighRecall, called_malignant, named_trials, trials
from dermascreen.evidence.sample import Sample
from dermascreen.evidence.thresholds import Groups, by_lesion, by_patient, misses_allowed

NORMAL = "normal"  # a method of intervals

Split = tuple[Sample, Mapping[str, Groups]]  # images, and their groups by the name of a column


@dataclass(frozen=True)
class Promise:
    """Whether the recall that a point promises is promised for a group, by its own lesions in val."""

    kept: bool
    lesions: int  # malignant ones in val, of different patients: of each the least favourable
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
    """A group's results on test, of lesions; a measure is None where a class has too few of them for it."""

    images: int
    benign: int  # lesions
    malignant: int
    roc_auc: float | None
    recall: float | None  # at high_recall
    specificity: float | None
    calibration_error: float | None  # mean probability minus the share of malignant lesions: above 0, too high
    intervals: GroupIntervals
    promise: Promise


@dataclass(frozen=True)
class Subgroups:
    """Every group's results by column and name, and the confidence of each interval for all to hold together."""

    confidence: float
    columns: dict[str, dict[str, GroupReport]]

    @property
    def looked_at(self) -> int:
        """How many intervals there are."""
        reports = (one for groups in self.columns.values() for one in groups.values())
        return sum(bool(intervals) for one in reports for intervals in vars(one.intervals).values())

    @property
    def promises(self) -> dict[tuple[str, str], Promise]:
        """The promise of each group, by its column and name."""
        return {(column, name): one.promise for column, groups in self.columns.items() for name, one in groups.items()}

    def shortfalls(self, columns: Iterable[str], point: HighRecall) -> list[str]:
        """A sentence for each group of some columns that prevents its promise."""
        needed, target, (_, unit) = point.lesions_needed, f"{point.target_recall:g}", trials(point)
        return [
            f"A recall of {target} cannot be promised for {column} {name}: of its {named_trials(unit, 'malignant')} "
            f"val has {one.promise.lesions}, and {needed} are needed."
            for column in columns
            for name, one in self.columns.get(column, {}).items()
            if not one.promise.kept
        ]


def report_subgroups(val: Split, test: Split, point: HighRecall) -> Subgroups:
    """The results of every group that occurs in val or test, at the point, with intervals that hold together."""
    names = {
        column: sorted({*val[1][column].tolist(), *groups.tolist()})
        for column, groups in test[1].items()
        if not _is_the_label(val, column) or not _is_the_label(test, column)
    }
    parts = {(column, name): _part(test, column, name) for column, every in names.items() for name in every}
    intervals = sum(_intervals(part) for part in parts.values())
    confidence = 1 - (1 - CONFIDENCE) / max(intervals, 1)
    columns = {
        column: {name: _report(_part(val, column, name), parts[column, name], point, confidence) for name in every}
        for column, every in names.items()
    }
    return Subgroups(confidence, columns)


def _is_the_label(split: Split, column: str) -> bool:
    """Whether a column has one group for each class, as diagnoses may: results by it say nothing more."""
    sample, groups = split
    labels = {frozenset(sample.label[groups[column] == name].tolist()) for name in np.unique(groups[column])}
    return labels == {frozenset({0}), frozenset({1})} and len(np.unique(groups[column])) == len(labels)


def _lesions(sample: Sample) -> tuple[int, int]:
    """How many benign and how many malignant lesions there are."""
    benign, malignant = (len(np.unique(sample.clusters.lesion[sample.label == one])) for one in (0, 1))
    return benign, malignant


def _intervals(sample: Sample) -> int:
    """How many intervals a group has: one for each class, and two for both."""
    enough = [count >= FEWEST for count in _lesions(sample)]
    return sum(enough) + 2 * all(enough)


def promise(val: Sample, point: HighRecall) -> Promise:
    """Whether a group's own lesions promise the recall of a point whose threshold is given.

    They do if they would allow a threshold as high by the exact rule: the chance that the group's recall is lower than
    the target is then at most 1 - confidence, whatever else the threshold was chosen by.
    """
    scores = by_patient(val, label=1).probability
    missed = int((~called_malignant(scores, point.threshold)).sum())
    allowed = misses_allowed(len(scores), point.target_recall, point.confidence)
    return Promise(allowed is not None and missed <= allowed, len(scores), missed, allowed)


def _part(split: Split, column: str, name: str) -> Sample:
    sample, groups = split
    return sample.part(groups[column] == name)


def _report(val: Sample, test: Sample, point: HighRecall, confidence: float) -> GroupReport:
    benign, malignant = _lesions(test)
    found: dict[str, float | None] = dict.fromkeys(("roc_auc", "recall", "specificity", "calibration_error"))
    around: dict[str, Intervals] = {}
    for name, label, count in (("recall", 1, malignant), ("specificity", 0, benign)):
        if count >= FEWEST:
            lesions = by_lesion(test, label)
            right = called_malignant(lesions.probability, point.threshold) == (label == 1)
            found[name] = float(right.mean())
            around[name] = share_intervals(right, lesions.clusters, confidence=confidence)
    if min(benign, malignant) >= FEWEST:
        lesions = _means(test)
        method, interval = auc_interval(*lesions[:2], lesions.clusters.patient, confidence)
        found["roc_auc"] = float(roc_auc_score(lesions.label, lesions.probability))
        around["roc_auc"] = {method: interval}
        found["calibration_error"], around["calibration_error"] = calibration_error(lesions, confidence)
    return GroupReport(
        images=len(test.label), benign=benign, malignant=malignant, **found,
        intervals=GroupIntervals(**around), promise=promise(val, point),
    )  # fmt: skip


def _means(sample: Sample) -> Sample:
    """One row for each lesion and label, with the mean of its photographs' probabilities."""
    images = pd.DataFrame({"label": sample.label, "probability": sample.probability, **vars(sample.clusters)})
    rows = images.groupby(["lesion", "label"], as_index=False).agg({"probability": "mean", "patient": "first"})
    clusters = Clusters(rows["lesion"].to_numpy(), rows["patient"].to_numpy())
    return Sample(rows["label"].to_numpy(), rows["probability"].to_numpy(), clusters)


def calibration_error(lesions: Sample, confidence: float = CONFIDENCE) -> tuple[float, Intervals]:
    """Mean probability minus the share of malignant lesions, and its interval.

    The interval is the normal one, with the differences added up within each patient, if at least FEWEST patients have
    a lesion on the wrong side of 1/2. With fewer, the standard error knows too little of the large differences that
    make the mean, and it is Hoeffding's bound.

    Parameters: `lesions`, at least two, one row each.
    """
    differences, patient = lesions.probability - lesions.label, lesions.clusters.patient
    error = float(differences.mean())
    _, number, of_patient = np.unique(patient, return_inverse=True, return_counts=True)
    if having(patient, np.abs(differences) > HALF) < FEWEST:
        low, high = hoeffding((1 + error) / 2, len(differences) // of_patient.max(), confidence)  # of what is 0 to 1
        return error, {HOEFFDING: Interval(2 * low - 1, 2 * high - 1)}
    summed, patients = np.bincount(number, differences - error), len(of_patient)
    variance = (summed**2).sum() / len(differences) ** 2 * patients / (patients - 1)
    half = float(norm.isf((1 - confidence) / 2)) * math.sqrt(variance)
    return error, {NORMAL: Interval(error - half, error + half)}
