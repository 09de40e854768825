"""Compare two models on the same images: `python -m dermascreen.compare A B`.

A and B are predictions.csv files, DVC experiments or Git revisions. Both have predicted the same photographs, so their
errors go together; a paired test sees a difference that two separate intervals hide.
"""

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dermascreen.errors import ComparisonError, reported
from dermascreen.evidence import resampling
from dermascreen.evidence.intervals import CONFIDENCE, cluster_bootstrap, compare_aucs, differ_enough
from dermascreen.evidence.paired import Errors, compare_errors
from dermascreen.evidence.resampling import Measure, Values
from dermascreen.experiments import add_draw_options, read_all_predictions, read_points, read_predictions
from dermascreen.report.wording import by, caveat_of, counted, missed_range, p_value, percent

MEASURES = {
    "ROC AUC": resampling.roc_auc,
    "ROC AUC above 80 % sensitivity": resampling.partial_roc_auc,
    "average precision": resampling.average_precision,
    "Brier score (lower is better)": resampling.brier,
}
OWN, DEFAULT = "high_recall", "default"  # the points at which errors are compared
GIVEN = "the given threshold"  # instead of OWN
HALF = 0.5  # the threshold of DEFAULT
AT = {OWN: f"Each at its own {OWN} point", DEFAULT: f"Both at {HALF}"}  # as the verdict calls them

Points = Mapping[str, Mapping[str, Any]]


def pair(first: str, second: str, split: str, common: bool = False) -> pd.DataFrame:
    """The images of `split` that both sources predict: path, label, lesion, first and second (probabilities).

    Raises a DermascreenError where the labels differ, or the images, unless `common` asks for those they share.
    """
    return _pair(read_predictions(first, split), read_predictions(second, split), (first, second), split, common)


def _pair(first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str], split: str, common: bool) -> pd.DataFrame:
    a, b = first.set_index("path"), second.set_index("path")
    shared = a.index.intersection(b.index, sort=False)
    if len(shared) == 0 or (not common and len(shared) < max(len(a), len(b))):
        raise ComparisonError(
            f"{names[0]} predicts {len(a)} {split} images and {names[1]} {len(b)}, of which they share {len(shared)}; "
            + ("--common compares them on those." if len(shared) else "there is nothing to compare.")
        )
    a, b = a.loc[shared], b.loc[shared]
    differing = shared[a["label"] != b["label"]]
    if len(differing):
        raise ComparisonError(f"{names[0]} and {names[1]} do not agree on the label of {differing[0]}.")
    if a["label"].nunique() < 2:  # noqa: PLR2004
        raise ComparisonError(f"The {len(shared)} images that {names[0]} and {names[1]} share are all of one class.")
    table = a[["label", "lesion"]].assign(first=a["calibrated_probability"], second=b["calibrated_probability"])
    return table.reset_index()


def compare(table: pd.DataFrame, *, draws: int, seed: int) -> pd.DataFrame:
    """What the first model is worth beyond the second: a row a measure and method, with an interval of 95 %.

    Where too few lesions differ for DeLong's test and for redrawn lesions (`intervals.differ_enough`), both intervals
    of the AUC are Hoeffding's bound, and the other measures have none, which is NaN.

    Parameters: `table` as `pair` makes it; `draws` of lesions, and their `seed`.
    """
    label, lesion = table["label"].to_numpy(), table["lesion"].to_numpy()
    scores = table[["first", "second"]].to_numpy()
    auc = compare_aucs(label, scores[:, 0], scores[:, 1], lesion)
    enough = auc.p_value is not None
    rows = [{"measure": "ROC AUC", "method": "DeLong" if enough else "Hoeffding", **auc._asdict()}]
    once = np.ones((1, len(label)), dtype=int)
    drawn = cluster_bootstrap(
        {name: _difference(measure) for name, measure in MEASURES.items()},
        label,
        scores,
        lesion,
        draws=draws,
        seed=seed,
    )
    nothing = {"low": np.nan, "high": np.nan}
    for name, measure in MEASURES.items():
        first, second = (float(measure(label, scores[:, column], once)[0]) for column in (0, 1))
        if name == "ROC AUC" and not enough:
            interval = {"low": auc.low, "high": auc.high}
        elif measure is resampling.brier:
            moved = scores[:, 0] != scores[:, 1]
            interval = drawn[name]._asdict() if differ_enough(label, lesion, moved) or not moved.any() else nothing
        else:
            interval = drawn[name]._asdict() if enough else nothing
        rows.append(
            {"measure": name, "method": "lesions", "first": first, "second": second, "difference": first - second}
            | interval
        )
    columns = ["measure", "method", "first", "second", "difference", "low", "high", "p_value"]
    return pd.DataFrame(rows, columns=columns).astype({"p_value": float})


def _difference(measure: Measure) -> Measure:
    def difference(label: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> Values:
        return np.asarray(measure(label, scores[:, 0], weights) - measure(label, scores[:, 1], weights))

    return difference


def errors_at(table: pd.DataFrame, thresholds: tuple[float, float]) -> tuple[Errors, Errors]:
    """Missed cancers and false alarms of the two models, each at its own of `thresholds`, image by image.

    Parameters: `table` as `pair` makes it.
    """
    first, second = (table[column].ge(at) for column, at in zip(("first", "second"), thresholds, strict=True))

    def of_class(label: int) -> Errors:
        rows = table["label"].eq(label)
        wrong = [called[rows].ne(label).to_numpy() for called in (first, second)]
        return compare_errors(wrong[0], wrong[1], table.loc[rows, "lesion"].to_numpy())

    return of_class(1), of_class(0)


def verdict(table: pd.DataFrame, found: pd.DataFrame, errors: Mapping[str, tuple[Errors, Errors]]) -> list[str]:
    """What was shown, in sentences: of the AUC, and of the errors at each operating point.

    Parameters: `table` as `pair` makes it; `found` as `compare` does; `errors`, what `errors_at` makes of each point.
    """
    where = f"on {len(table)} images of {counted(table['lesion'].nunique(), 'lesion', 'lesions')}"
    auc = found[found["measure"].eq("ROC AUC") & found["method"].eq("lesions")].iloc[0]
    if table["first"].equals(table["second"]):
        return [f"A and B give each of {len(table)} images the same probability: there is nothing to tell apart."]
    difference = by({name: auc[name] for name in ("difference", "low", "high")}, "difference")
    if auc["low"] > 0:
        sentences = [f"A ranks better than B {where}: its AUC is {difference}."]
    elif auc["high"] < 0:
        sentences = [f"A ranks worse than B {where}: its AUC is {difference}."]
    else:
        sentences = [f"No difference in AUC can be shown {where}: A's is {difference}."]
    for point, (missed, alarms) in errors.items():
        counts = [{"fn": count, "tp": missed.n - count} for count in (missed.first, missed.second)]
        ranges = [missed_range(one) for one in counts]
        sentences.append(
            f"{AT.get(point, 'At the thresholds given')}: of {_images(missed, 'malignant')} A misses {missed.first} "
            f"({ranges[0]}) and B {missed.second} ({ranges[1]}): {_shown(missed, 'misses')}. "
            f"Of {_images(alarms, 'benign')} A calls {alarms.first} malignant and B {alarms.second}: "
            f"{_shown(alarms, 'raises')}."
        )
        for name, called in zip("AB", (alarms.first, alarms.second), strict=True):
            if called == alarms.n:
                sentences.append(f"{name} calls every benign image malignant there: that it misses few is no gain.")
    return sentences


def _images(errors: Errors, kind: str) -> str:
    return counted(errors.n, f"{kind} image", f"{kind} images")


def _shown(errors: Errors, does: str) -> str:
    p = p_value(errors.p_by_lesion)
    p = f"p {p}" if p.startswith("<") else f"p = {p}"
    if errors.p_by_lesion > 1 - CONFIDENCE or errors.first == errors.second:
        return f"no difference can be shown ({p})"
    return f"A {does} {'fewer' if errors.first < errors.second else 'more'} ({p})"


def cautions(points: tuple[Points | None, Points | None], vals: tuple[set[str], set[str]], split: str) -> list[str]:
    """What must be known before the two are called better or worse, in sentences.

    Parameters: the operating points of each that is known; the paths of each one's val images, if it has them; the
    `split` that they are compared on.
    """
    sentences = []
    if split == "val":
        sentences.append("Epochs, temperatures and thresholds were chosen on val: what is found there flatters.")
    if all(vals) and vals[0] != vals[1]:
        sentences.append(
            f"The two were chosen on different val images, {len(vals[0])} and {len(vals[1])}, of which they share "
            f"{len(vals[0] & vals[1])}."
        )
    own = [known[OWN] for known in points if known and "target_recall" in known.get(OWN, {})]
    for name, known in zip("AB", points, strict=True):
        caveat = caveat_of(known[OWN]) if known and OWN in known else None
        if caveat:
            sentences.append(f"{name}, {OWN}: {caveat}")
    aims = [f"{percent(one['target_recall'])} with {percent(one['confidence'])} confidence" for one in own]
    if len(set(aims)) > 1:
        sentences.append(f"A's {OWN} point aims at a sensitivity of {aims[0]}, B's at {aims[1]}.")
    return sentences


def own_points(source: str, threshold: float | None) -> Points | None:
    """The operating points to compare `source` at: its own, or in place of OWN the `threshold` that is given."""
    return read_points(source) if threshold is None else {GIVEN: {"threshold": threshold}}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m dermascreen.compare", description=__doc__.partition("\n\n")[2])
    parser.add_argument("first", metavar="A", help="a predictions.csv, or a DVC experiment or Git revision")
    parser.add_argument("second", metavar="B", help="the like")
    parser.add_argument("--split", default="test", choices=["test", "val"], help="default: test")
    parser.add_argument("--common", action="store_true", help="compare on the images that both predict")
    for name in "ab":
        parser.add_argument(
            f"--threshold-{name}", type=_probability, metavar="T",
            help=f"of {name.upper()}, on the calibrated probability; default: that of its {OWN} point",
        )  # fmt: skip
    add_draw_options(parser)
    wanted = parser.parse_args(arguments)
    names = (wanted.first, wanted.second)
    with reported("compare"):
        whole = [read_all_predictions(source, wanted.split) for source in names]
        first, second = (one[one["split"].eq(wanted.split)] for one in whole)
        table = _pair(first, second, names, wanted.split, wanted.common)
        found = compare(table, draws=wanted.draws, seed=wanted.seed)
        given = (wanted.threshold_a, wanted.threshold_b)
        points = (own_points(names[0], given[0]), own_points(names[1], given[1]))
        print(
            f"A: {wanted.first}\nB: {wanted.second}\n"
            f"{len(table)} {wanted.split} images, {table['label'].sum()} of them malignant, "
            f"of {counted(table['lesion'].nunique(), 'lesion', 'lesions')}\n\n{_measures(found)}\n\n"
            f"Intervals of 95 %: {_methods(found, wanted.draws, wanted.seed)}\n"
        )
        errors = {}
        if points[0] is None or points[1] is None:
            lacking = " or ".join(name for name, known in zip("AB", points, strict=True) if known is None)
            print(
                f"No operating point of {lacking} was found, so the AUCs alone are compared; --threshold-a and "
                "--threshold-b give one.\n"
            )
        else:
            at = _thresholds((points[0], points[1]))
            errors = {point: errors_at(table, thresholds) for point, thresholds in at.items()}
            print(
                f"{_errors(at, errors)}\n\nEach model at its own threshold, image by image; p is McNemar's exact test, "
                "by lesion one that counts each lesion once.\n"
            )
        vals = tuple(set(one.loc[one["split"].eq("val"), "path"]) for one in whole)
        said = [*verdict(table, found, errors), *cautions(points, (vals[0], vals[1]), wanted.split)]
        print("\n".join(["Verdict:", *(f"- {sentence}" for sentence in said)]).replace("\N{NO-BREAK SPACE}", " "))


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1")
    return value


def _thresholds(points: tuple[Points, Points]) -> dict[str, tuple[float, float]]:
    """Each of the points to compare at with the thresholds of A and B: their own, and one half for both."""
    used = [GIVEN if GIVEN in known else OWN for known in points]
    first, second = (float(known[name]["threshold"]) for known, name in zip(points, used, strict=True))
    return {used[0] if used[0] == used[1] else " and ".join(used): (first, second), DEFAULT: (HALF, HALF)}


def _measures(found: pd.DataFrame) -> str:
    names = dict(zip(["first", "second", "difference", "p_value"], ["A", "B", "A - B", "p"], strict=True))
    return found.rename(columns=names).to_string(index=False, float_format="{:.4f}".format, na_rep="")


def _methods(found: pd.DataFrame, draws: int, seed: int) -> str:
    drawn = f"percentiles of {draws} draws of lesions (seed {seed})"
    if found["method"].iloc[0] == "DeLong":
        return f"DeLong's, and {drawn}."
    return (
        "too few lesions are ranked differently for DeLong's and for redrawn lesions, so those of the AUC are "
        f"Hoeffding's bound, and others are left out or {drawn}."
    )


def _errors(at: Mapping[str, tuple[float, float]], errors: Mapping[str, tuple[Errors, Errors]]) -> str:
    rows = []
    for point, thresholds in at.items():
        for kind, one in zip(("missed cancers", "false alarms"), errors[point], strict=True):
            rows.append(
                {
                    "point": point, "threshold A": thresholds[0], "threshold B": thresholds[1], "": kind, "of": one.n,
                    "A": one.first, "B": one.second, "A alone": one.first_alone, "B alone": one.second_alone,
                    "p": one.p_value, "p by lesion": one.p_by_lesion,
                }
            )  # fmt: skip
    return pd.DataFrame(rows).to_string(index=False, float_format="{:.4f}".format)


if __name__ == "__main__":
    main()
