"""Compare two models on the same images: `python -m dermascreen.compare A B`.

A and B are predictions.csv files, DVC experiments or Git revisions. Both have predicted the same photographs, so their
errors go together; a paired test sees a difference that two separate intervals hide.
"""

import argparse

import numpy as np
import pandas as pd

from dermascreen.errors import ComparisonError, reported
from dermascreen.evidence import resampling
from dermascreen.evidence.intervals import cluster_bootstrap, compare_aucs
from dermascreen.evidence.resampling import Measure, Values
from dermascreen.experiments import add_draw_options, read_predictions

MEASURES = {
    "ROC AUC": resampling.roc_auc,
    "ROC AUC above 80 % sensitivity": resampling.partial_roc_auc,
    "average precision": resampling.average_precision,
    "Brier score (lower is better)": resampling.brier,
}


def pair(first: str, second: str, split: str, common: bool = False) -> pd.DataFrame:
    """The images of `split` that both sources predict: path, label, lesion, first and second (probabilities).

    Raises a DermascreenError where the labels differ, or the images, unless `common` asks for those they share.
    """
    a, b = (read_predictions(source, split).set_index("path") for source in (first, second))
    shared = a.index.intersection(b.index, sort=False)
    if len(shared) == 0 or (not common and len(shared) < max(len(a), len(b))):
        raise ComparisonError(
            f"{first} predicts {len(a)} {split} images and {second} {len(b)}, of which they share {len(shared)}; "
            + ("--common compares them on those." if len(shared) else "there is nothing to compare.")
        )
    a, b = a.loc[shared], b.loc[shared]
    differing = shared[a["label"] != b["label"]]
    if len(differing):
        raise ComparisonError(f"{first} and {second} do not agree on the label of {differing[0]}.")
    if a["label"].nunique() < 2:  # noqa: PLR2004
        raise ComparisonError(f"The {len(shared)} images that {first} and {second} share are all of one class.")
    table = a[["label", "lesion"]].assign(first=a["calibrated_probability"], second=b["calibrated_probability"])
    return table.reset_index()


def compare(table: pd.DataFrame, *, draws: int, seed: int) -> pd.DataFrame:
    """What the first model is worth beyond the second: a row a measure and method, with an interval of 95 %.

    Columns: measure, method, first, second, difference, low, high, p_value (DeLong's, two-sided; else missing).
    """
    label, lesion = table["label"].to_numpy(), table["lesion"].to_numpy()
    scores = table[["first", "second"]].to_numpy()
    once = np.ones((1, len(table)), dtype=np.intp)
    delong = compare_aucs(label, scores[:, 0], scores[:, 1])
    rows = [{"measure": "ROC AUC", "method": "DeLong", **delong._asdict()}]
    drawn = cluster_bootstrap(
        {name: _difference(measure) for name, measure in MEASURES.items()},
        label,
        scores,
        lesion,
        draws=draws,
        seed=seed,
    )
    for name, measure in MEASURES.items():
        first, second = (float(measure(label, scores[:, column], once)[0]) for column in (0, 1))
        interval = drawn[name]._asdict()
        rows.append(
            {"measure": name, "method": "lesions", "first": first, "second": second, "difference": first - second}
            | interval
        )
    columns = ["measure", "method", "first", "second", "difference", "low", "high", "p_value"]
    return pd.DataFrame(rows, columns=columns)


def _difference(measure: Measure) -> Measure:
    def difference(label: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> Values:
        return np.asarray(measure(label, scores[:, 0], weights) - measure(label, scores[:, 1], weights))

    return difference


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m dermascreen.compare", description=__doc__.partition("\n\n")[2])
    parser.add_argument("first", metavar="A", help="a predictions.csv, or a DVC experiment or Git revision")
    parser.add_argument("second", metavar="B", help="the like")
    parser.add_argument("--split", default="test", choices=["test", "val"], help="default: test")
    parser.add_argument("--common", action="store_true", help="compare on the images that both predict")
    add_draw_options(parser)
    wanted = parser.parse_args(arguments)
    with reported("compare"):
        table = pair(wanted.first, wanted.second, wanted.split, wanted.common)
        found = compare(table, draws=wanted.draws, seed=wanted.seed)
        names = dict(zip(["first", "second", "difference", "p_value"], ["A", "B", "A - B", "p"], strict=True))
        lines = found.rename(columns=names).to_string(index=False, float_format="{:.4f}".format, na_rep="")
        print(
            f"A: {wanted.first}\nB: {wanted.second}\n"
            f"{len(table)} {wanted.split} images, {table['label'].sum()} of them malignant, "
            f"of {table['lesion'].nunique()} lesions\n\n{lines}\n\n"
            f"Intervals of 95 %: DeLong's, and percentiles of {wanted.draws} draws of lesions (seed {wanted.seed})."
        )


if __name__ == "__main__":
    main()
