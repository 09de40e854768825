"""Compare two models on the same images: `dermascreen compare A B`.

A and B are predictions.csv files, DVC experiments or Git revisions. Both have predicted the same photographs, so their
errors are correlated; a paired test detects a difference that two separate intervals hide.
"""

import argparse
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from dermascreen.artifacts.dataset.splits import VAL
from dermascreen.artifacts.results.predictions import ImagePredictions
from dermascreen.core.errors import ComparisonError
from dermascreen.evidence import resampling
from dermascreen.evidence.clusters import CONFIDENCE, Clusters
from dermascreen.evidence.intervals import (
    Difference,
    Interval,
    cluster_bootstrap,
    compare_aucs,
    differ_enough,
    errors_suffice,
    main_interval,
)
from dermascreen.evidence.operating_points import HALF, HIGH_RECALL, OperatingPoints, Point, called_malignant
from dermascreen.evidence.paired import Errors, compare_errors
from dermascreen.evidence.resampling import Measure, Values
from dermascreen.experiments.sources import read_all_predictions, read_points, read_predictions
from dermascreen.report.numbers import by, counted, p_value, percent, span
from dermascreen.report.wording import caveat_of

BRIER = "Brier score (lower is better)"
MEASURES = {
    "ROC AUC": resampling.roc_auc,
    "ROC AUC above 80 % sensitivity": resampling.partial_roc_auc,
    "average precision": resampling.average_precision,
    BRIER: resampling.brier,
}
DEFAULT = "default"  # beside HIGH_RECALL, the point at which errors are compared
GIVEN = "the given threshold"  # instead of HIGH_RECALL
AT = {  # as the verdict calls them
    HIGH_RECALL: f"Each at its own {HIGH_RECALL} point",
    DEFAULT: f"Both at {HALF}",
    GIVEN: "At the thresholds given",
    f"{GIVEN} and {HIGH_RECALL}": f"A at {GIVEN} and B at its own {HIGH_RECALL} point",
    f"{HIGH_RECALL} and {GIVEN}": f"A at its own {HIGH_RECALL} point and B at {GIVEN}",
}

Known = OperatingPoints | Point | None  # a model's own points, the threshold given in place of them, or none


class PairedErrors(NamedTuple):
    """The errors of two models, each at a threshold of its own, on malignant and on benign images."""

    missed: Errors
    alarms: Errors

    @property
    def differ(self) -> bool:
        """Whether one of the two is wrong alone on any image."""
        return any(one.first_alone or one.second_alone for one in self)


def pair(first: str, second: str, split: str, common: bool = False) -> pd.DataFrame:
    """The images of `split` that both sources predict: path, label, lesion, patient, first and second (probabilities).

    Raises a DermascreenError if the labels differ, or if the images differ and `common` does not ask for shared ones.
    """
    return _pair(read_predictions(first, split), read_predictions(second, split), (first, second), split, common)


def _pair(
    first: ImagePredictions, second: ImagePredictions, names: tuple[str, str], split: str, common: bool
) -> pd.DataFrame:
    a, b = (one.to_frame().set_index("path") for one in (first, second))
    shared = a.index.intersection(b.index, sort=False)
    if len(shared) == 0 or (not common and len(shared) < max(len(a), len(b))):
        raise ComparisonError(
            f"{names[0]} predicts {len(a)} {split} images and {names[1]} {len(b)}, of which they share {len(shared)}; "
            + ("--common compares them on those." if len(shared) else "there is nothing to compare.")
        )
    a, b = a.loc[shared], b.loc[shared]
    if "sha256" in a and "sha256" in b and (other := shared[a["sha256"] != b["sha256"]]).size:
        raise ComparisonError(
            f"{names[0]} and {names[1]} are of different data: not the same photograph is at {other[0]}."
        )
    differing = shared[a["label"] != b["label"]]
    if len(differing):
        raise ComparisonError(f"{names[0]} and {names[1]} do not agree on the label of {differing[0]}.")
    if a["label"].nunique() < 2:  # noqa: PLR2004
        raise ComparisonError(f"The {len(shared)} images that {names[0]} and {names[1]} share are all of one class.")
    patient = next((one["patient"] for one in (a, b) if "patient" in one), a["lesion"])
    table = a[["label", "lesion"]].assign(patient=patient, first=a["probability"], second=b["probability"])
    return table.reset_index()


def compare(table: pd.DataFrame, *, draws: int, seed: int) -> pd.DataFrame:
    """The first model less the second: a row for each measure and method, with a 95 % interval.

    If too few patients differ for DeLong's test and for the cluster bootstrap (`intervals.differ_enough`), both
    intervals of the AUC are Hoeffding's bound, and the other measures have none, which is NaN.

    Parameters: `table` as `pair` makes it; `draws` of patients, and their `seed`.
    """
    label, cluster = table["label"].to_numpy(), table["patient"].to_numpy()
    scores = table[["first", "second"]].to_numpy()
    auc = compare_aucs(label, scores[:, 0], scores[:, 1], cluster)
    enough = auc.p_value is not None
    rows = [{"measure": "ROC AUC", "method": "DeLong" if enough else "Hoeffding", **auc._asdict()}]
    once = np.ones((1, len(label)), dtype=int)
    drawn = cluster_bootstrap(
        {name: _difference(measure) for name, measure in MEASURES.items()},
        label,
        scores,
        cluster,
        draws=draws,
        seed=seed,
    )
    nothing, drawn_by = Interval(np.nan, np.nan), f"{whose(table).unit}s"
    for name, measure in MEASURES.items():
        first, second = (float(measure(label, scores[:, column], once)[0]) for column in (0, 1))
        if name == "ROC AUC" and not enough:
            interval = Interval(auc.low, auc.high)
        elif measure is resampling.brier:
            moved = scores[:, 0] != scores[:, 1]
            wrong = any(errors_suffice(label, scores[:, column], cluster) for column in (0, 1))
            told = wrong and differ_enough(label, cluster, moved)
            interval = drawn[name] if told or not moved.any() else nothing
        else:
            interval = drawn[name] if enough else nothing
        rows.append(
            {"measure": name, "method": drawn_by, "first": first, "second": second, "difference": first - second}
            | vars(interval)
        )
    columns = ["measure", "method", "first", "second", "difference", "low", "high", "p_value"]
    return pd.DataFrame(rows, columns=columns).astype({"p_value": float})


def whose(table: pd.DataFrame) -> Clusters:
    """Which lesion and which patient each image of `table` shows, as `pair` makes it."""
    return Clusters(table["lesion"].to_numpy(), table["patient"].to_numpy())


def _difference(measure: Measure) -> Measure:
    def difference(label: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> Values:
        return np.asarray(measure(label, scores[:, 0], weights) - measure(label, scores[:, 1], weights))

    return difference


def errors_at(table: pd.DataFrame, thresholds: tuple[float, float]) -> PairedErrors:
    """Missed cancers and false alarms of the two models, each at its own of `thresholds`, image by image.

    Parameters: `table` as `pair` makes it.
    """
    first, second = (
        called_malignant(table[name], at) for name, at in zip(("first", "second"), thresholds, strict=True)
    )
    label, clusters = table["label"].to_numpy(), whose(table)

    def of_class(wanted: int) -> Errors:
        rows = label == wanted
        return compare_errors(first[rows] != wanted, second[rows] != wanted, clusters[rows])

    return PairedErrors(missed=of_class(1), alarms=of_class(0))


def verdict(table: pd.DataFrame, found: pd.DataFrame, errors: Mapping[str, PairedErrors]) -> list[str]:
    """What was shown about the AUC, the probabilities and the errors at each operating point, in sentences.

    Parameters: `table` as `pair` makes it; `found` as `compare` makes it; `errors` from `errors_at` for each point.
    """
    where = f"on {len(table)} images of {counted_lesions(whose(table))}"
    auc = found[found["measure"].eq("ROC AUC")].iloc[0]  # by DeLong's method, whose p-value is in the table
    difference = by(Difference(auc["difference"], auc["low"], auc["high"]))
    if table["first"].equals(table["second"]):
        same = f"A and B give each of {len(table)} images the same probability"
        errors = {point: one for point, one in errors.items() if one.differ}
        if not errors:
            return [f"{same}: there is no difference."]
        sentences = [f"{same}: they differ in their thresholds alone."]
    elif auc["low"] > 0:
        sentences = [f"A ranks better than B {where}: its AUC is {difference}."]
    elif auc["high"] < 0:
        sentences = [f"A ranks worse than B {where}: its AUC is {difference}."]
    else:
        sentences = [f"No difference in AUC can be shown {where}: A's is {difference}."]
    brier = found[found["measure"].eq(BRIER)].iloc[0]
    if brier["low"] > 0 or brier["high"] < 0:
        nearer, less = ("A", "B") if brier["high"] < 0 else ("B", "A")
        value, *ends = (f"{abs(brier[name]):.4f}" for name in ("difference", "low", "high"))
        sentences.append(
            f"{nearer}'s probabilities are nearer to the truth than {less}'s: its Brier score is lower by {value} "
            f"({' to '.join(sorted(ends))})."
        )
    unit = whose(table).unit
    for point, (missed, alarms) in errors.items():
        ranges = [span(main_interval(around), "percent") for around in (missed.around_first, missed.around_second)]
        sentences.append(
            f"{AT.get(point, f'At {point}')}: of {_images(missed, 'malignant')} A misses {missed.first} "
            f"({ranges[0]}) and B {missed.second} ({ranges[1]}): {_shown(missed, 'misses', unit)}. "
            f"Of {_images(alarms, 'benign')} A calls {alarms.first} malignant and B {alarms.second}: "
            f"{_shown(alarms, 'raises', unit)}."
        )
        for name, called in zip("AB", (alarms.first, alarms.second), strict=True):
            if called == alarms.n:
                sentences.append(
                    f"{name} calls every benign image malignant there, so missing few cancers is no merit."
                )
    tests = 2 * len(errors) + (0 if table["first"].equals(table["second"]) else 1 + int(brier.notna()["low"]))
    sentences.append(
        f"Each of these {tests} tests sees a difference in up to 5 of 100 cases where there is none; that some one of "
        "them does is likelier."
    )
    return sentences


def counted_lesions(clusters: Clusters) -> str:
    """How many lesions there are, and of how many patients where some have several."""
    lesions = counted(len(np.unique(clusters.lesion)), "lesion", "lesions")
    if clusters.unit == "lesion":
        return lesions
    return f"{lesions} of {counted(len(np.unique(clusters.patient)), 'patient', 'patients')}"


def _images(errors: Errors, kind: str) -> str:
    return counted(errors.n, f"{kind} image", f"{kind} images")


def _shown(errors: Errors, does: str, unit: str) -> str:
    p = p_value(errors.p_by_cluster)
    p = f"p {p}" if p.startswith("<") else f"p = {p}"
    if errors.p_by_cluster > 1 - CONFIDENCE:
        return f"no difference can be shown ({p})"
    fewer = errors.first_clusters < errors.second_clusters
    agree = errors.first != errors.second and (errors.first < errors.second) == fewer
    return f"A {does} {'fewer' if fewer else 'more'}{'' if agree else f' if each {unit} counts once'} ({p})"


def cautions(points: tuple[Known, Known], vals: tuple[set[str], set[str]], split: str) -> list[str]:
    """What to know before calling either of the two better, in sentences.

    Parameters: the operating points of each, if known; the paths of each one's val images, if it has any; the `split`
    on which they are compared.
    """
    sentences = []
    if split == VAL:
        sentences.append("Epochs, temperatures and thresholds were chosen on val: results there are optimistic.")
    if all(vals) and vals[0] != vals[1]:
        sentences.append(
            f"The two were chosen on different val images, {len(vals[0])} and {len(vals[1])}, of which they share "
            f"{len(vals[0] & vals[1])}."
        )
    named = zip("AB", points, strict=True)
    own = {name: known.high_recall for name, known in named if isinstance(known, OperatingPoints)}
    for name, point in own.items():
        if caveat := caveat_of(point):
            sentences.append(f"{name}, {HIGH_RECALL}: {caveat}")
    aims = [f"{percent(one.target_recall)} with {percent(one.confidence)} confidence" for one in own.values()]
    if len(set(aims)) > 1:
        sentences.append(f"A's {HIGH_RECALL} point aims at a sensitivity of {aims[0]}, B's at {aims[1]}.")
    return sentences


def pairing(first: ImagePredictions, second: ImagePredictions) -> list[str]:
    """What is not known of the images that both predict, in sentences."""
    sentences = []
    if unnamed := [name for name, one in zip("AB", (first, second), strict=True) if one.sha256 is None]:
        sentences.append(
            f"{' and '.join(unnamed)} {'does' if len(unnamed) == 1 else 'do'} not say which files were predicted "
            "(column sha256), so photographs are paired by their paths alone."
        )
    a, b = (one.to_frame().set_index("path") for one in (first, second))
    shared = a.index.intersection(b.index)
    for column, said in (("lesion", "show one lesion"), ("patient", "are of one patient")):
        known = [one.loc[shared, column] for one in (a, b) if column in one]
        if len(known) == 2 and (pd.factorize(known[0])[0] != pd.factorize(known[1])[0]).any():  # noqa: PLR2004
            sentences.append(f"A and B do not agree on which photographs {said}; A's {column}s are used.")
    return sentences


def own_points(source: str, threshold: float | None) -> Known:
    """The operating points to compare `source` at: its own, or in place of them the `threshold` that is given."""
    return read_points(source) if threshold is None else Point(threshold, GIVEN)


def run(wanted: argparse.Namespace) -> int:
    """`dermascreen compare`: print measures, errors and a verdict."""
    names = (wanted.first, wanted.second)
    whole = [read_all_predictions(source, wanted.split) for source in names]
    first, second = (one.part(wanted.split) for one in whole)
    table = _pair(first, second, names, wanted.split, wanted.common)
    found = compare(table, draws=wanted.draws, seed=wanted.seed)
    clusters = whose(table)
    given = (wanted.threshold_a, wanted.threshold_b)
    points = (own_points(names[0], given[0]), own_points(names[1], given[1]))
    print(
        f"A: {wanted.first}\nB: {wanted.second}\n"
        f"{len(table)} {wanted.split} images, {table['label'].sum()} of them malignant, "
        f"of {counted_lesions(clusters)}\n\n{_measures(found)}\n\n"
        f"Intervals of 95 %: {_methods(found, clusters.unit, wanted.draws, wanted.seed)}\n"
    )
    errors = {}
    if points[0] is None or points[1] is None:
        lacking = [name for name, known in zip("AB", points, strict=True) if known is None]
        options = " and ".join(f"--threshold-{name.lower()}" for name in lacking)
        print(
            f"No operating point that was chosen on these predictions was found for {' or '.join(lacking)}, so no "
            f"errors are compared; {options} {'gives' if len(lacking) == 1 else 'give'} one.\n"
        )
    else:
        at = _thresholds((points[0], points[1]))
        errors = {point: errors_at(table, thresholds) for point, thresholds in at.items()}
        print(
            f"{_errors(at, errors, clusters.unit)}\n\nEach model at its own threshold, image by image; p is McNemar's "
            f"exact test; p by {clusters.unit} counts each {clusters.unit} once.\n"
        )
    vals = tuple(set(one.part(VAL).path.tolist()) for one in whole)
    doubts = [*pairing(first, second), *cautions(points, (vals[0], vals[1]), wanted.split)]
    said = [*verdict(table, found, errors), *doubts]
    print("\n".join(["Verdict:", *(f"- {sentence}" for sentence in said)]).replace("\N{NO-BREAK SPACE}", " "))
    return 0


def _thresholds(points: tuple[OperatingPoints | Point, OperatingPoints | Point]) -> dict[str, tuple[float, float]]:
    """Each of the points to compare at with the thresholds of A and B: their own, and one half for both."""
    used = [GIVEN if isinstance(known, Point) else HIGH_RECALL for known in points]
    first, second = ((known if isinstance(known, Point) else known.high_recall).threshold for known in points)
    return {used[0] if used[0] == used[1] else " and ".join(used): (first, second), DEFAULT: (HALF, HALF)}


def _measures(found: pd.DataFrame) -> str:
    names = dict(zip(["first", "second", "difference", "p_value"], ["A", "B", "A - B", "p"], strict=True))
    return found.rename(columns=names).to_string(index=False, float_format="{:.4f}".format, na_rep="")


def _methods(found: pd.DataFrame, unit: str, draws: int, seed: int) -> str:
    drawn = f"percentiles of {draws} draws of {unit}s (seed {seed})"
    if found["method"].iloc[0] == "DeLong":
        return f"DeLong's, with photographs of one {unit} kept together, and {drawn}."
    return (
        f"too few {unit}s are ranked differently for DeLong's and for a bootstrap of {unit}s, so those of the AUC are "
        f"Hoeffding's bound, and the others are left out or {drawn}."
    )


def _errors(at: Mapping[str, tuple[float, float]], errors: Mapping[str, PairedErrors], unit: str) -> str:
    rows = []
    for point, thresholds in at.items():
        for kind, one in zip(("missed cancers", "false alarms"), errors[point], strict=True):
            rows.append(
                {
                    "point": point, "threshold A": thresholds[0], "threshold B": thresholds[1], "": kind, "of": one.n,
                    "A": one.first, "B": one.second, "A alone": one.first_alone, "B alone": one.second_alone,
                    "p": one.p_value, f"p by {unit}": one.p_by_cluster,
                }
            )  # fmt: skip
    return pd.DataFrame(rows).to_string(index=False, float_format="{:.4f}".format)
