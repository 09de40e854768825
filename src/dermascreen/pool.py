"""Pool the folds of a cross-validation: `python -m dermascreen.pool FOLD FOLD ...`.

Each FOLD is the predictions.csv of a fold, or its DVC experiment. Every lesion is then predicted once, by a model that
never saw it. Each fold's model is calibrated on its own val, which makes their probabilities comparable.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.metrics import roc_auc_score

from dermascreen.errors import FoldsError, reported
from dermascreen.evidence.intervals import auc_interval, metric_intervals
from dermascreen.evidence.metrics import classification_metrics
from dermascreen.experiments import add_draw_options, is_file, read_experiment_params, read_predictions
from dermascreen.tables import write_table

POOLED = Path("reports/pooled_predictions.csv")


def pool(sources: list[str]) -> pd.DataFrame:
    """The test predictions of every source below each other, with a column `fold`: the source's place in the list.

    Raises a DermascreenError where two share a lesion, or where experiments are not all folds of one cross-validation.
    """
    if len(sources) < 2:  # noqa: PLR2004
        raise FoldsError("There is only one fold; give each fold of one cross-validation.")
    experiments = [source for source in sources if not is_file(source)]
    if experiments:
        _check_params({name: read_experiment_params(name) for name in experiments}, whole=experiments == sources)
    tables = [read_predictions(source, "test").assign(fold=fold) for fold, source in enumerate(sources)]
    pooled = pd.concat(tables, ignore_index=True)
    folds = pooled.groupby("lesion")["fold"]
    leaking = folds.nunique()[lambda count: count > 1]
    if len(leaking):
        first, second = sorted(folds.unique()[leaking.index[0]])[:2]
        raise FoldsError(
            f"{sources[first]} and {sources[second]} both test lesion {leaking.index[0]}; give each fold of one "
            "cross-validation once."
        )
    return pooled


def _check_params(params: dict[str, dict[str, Any]], whole: bool) -> None:
    folds = {name: found["split"].pop("fold") for name, found in params.items()}
    (name, first), *others = params.items()
    count = first["split"]["folds"]
    if not count:
        raise FoldsError(f"{name} has split.folds 0, so it is no fold; set split.protocol to grouped and split.folds.")
    for other, found in others:
        differing = [section for section in first if found.get(section) != first[section]]
        if differing:
            raise FoldsError(
                f"{name} and {other} differ in {differing[0]}, as `dvc params diff {name} {other}` shows; "
                "pool what differs in split.fold alone."
            )
    missing = set(range(count)) - set(folds.values())
    if whole and missing:
        raise FoldsError(f"split.folds is {count}, but fold {min(missing)} is missing among {', '.join(params)}.")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m dermascreen.pool", description=__doc__.partition("\n\n")[2])
    parser.add_argument("folds", metavar="FOLD", nargs="+", help="a predictions.csv, or a DVC experiment or revision")
    parser.add_argument("--out", type=Path, default=POOLED, help=f"default: {POOLED}")
    add_draw_options(parser)
    wanted = parser.parse_args(arguments)
    with reported("pool"):
        pooled = pool(wanted.folds)
        label, probability = pooled["label"].to_numpy(), pooled["calibrated_probability"].to_numpy()
        values = classification_metrics(label, probability)
        intervals = metric_intervals(
            label, probability, pooled["lesion"].to_numpy(), draws=wanted.draws, seed=wanted.seed
        )
        folds = _by_fold(pooled, wanted.folds)
        try:
            write_table(pooled, wanted.out)
        except OSError as error:
            raise FoldsError(f"{wanted.out} cannot be written ({error.strerror}).") from None
        rows = [
            {"measure": measure, "value": values[measure], "method": method, **interval}
            for measure, methods in intervals.items()
            for method, interval in (methods or {"": {"low": math.nan, "high": math.nan}}).items()
        ]
        shown = (folds, pd.DataFrame(rows))
        tables = (table.to_string(index=False, float_format="{:.4f}".format, na_rep="") for table in shown)
        print(
            "{}\n\nROC AUC, mean over folds {:.4f}, standard deviation {:.4f}; all folds together:\n\n{}\n".format(
                next(tables), folds["roc_auc"].mean(), folds["roc_auc"].std(), next(tables)
            )
        )
        print(
            "Intervals of 95 %; accuracy, recall, specificity and precision at probability 0.5. Of what is empty the "
            f"images are too few to tell. Wrote {len(pooled)} "
            f"predictions to {wanted.out}."
        )


def _by_fold(pooled: pd.DataFrame, sources: list[str]) -> pd.DataFrame:
    rows = []
    for fold, part in pooled.groupby("fold"):
        columns = ("label", "calibrated_probability", "lesion")
        label, probability, lesion = (part[column].to_numpy() for column in columns)
        auc = float(roc_auc_score(label, probability))
        method, interval = auc_interval(label, probability, lesion)
        counts = {"fold": sources[int(str(fold))], "images": len(part), "malignant": int(label.sum())}
        rows.append(counts | {"roc_auc": auc, "method": method} | interval._asdict())
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
