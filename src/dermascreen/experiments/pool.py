"""Pool the folds of a cross-validation: `dermascreen pool FOLD FOLD ...`.

Each FOLD is the predictions.csv of a fold, or its DVC experiment. Every lesion is then predicted once, by a model that
never saw it. Each fold's model is calibrated on its own val, which makes their probabilities comparable.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from dermascreen.artifacts.dataset.splits import TEST
from dermascreen.artifacts.results.predictions import PooledPredictions
from dermascreen.core.errors import FoldsError
from dermascreen.evidence.intervals import Interval, auc_interval, metric_intervals
from dermascreen.evidence.metrics import classification_metrics
from dermascreen.experiments.compare import counted_lesions
from dermascreen.experiments.sources import is_file, read_experiment_params, read_predictions


def pool(sources: list[str]) -> PooledPredictions:
    """The test predictions of all sources in one table.

    Raises a DermascreenError if two share a lesion or a patient, or if experiments are not all folds of one
    cross-validation.
    """
    if len(sources) < 2:  # noqa: PLR2004
        read_predictions(sources[0], TEST)  # says so if it is none
        raise FoldsError("There is only one fold; give each fold of one cross-validation.")
    experiments = [source for source in sources if not is_file(source)]
    if experiments:
        _check_params({name: read_experiment_params(name) for name in experiments}, whole=experiments == sources)
    tables = [read_predictions(source, TEST).to_frame().assign(fold=fold) for fold, source in enumerate(sources)]
    known = ["patient" in table for table in tables]
    if any(known) and not all(known):
        lacking, having = sources[known.index(False)], sources[known.index(True)]
        raise FoldsError(f"{lacking} does not say whose photographs they are (column patient), as {having} does.")
    pooled = pd.concat(tables, ignore_index=True, join="inner")
    for one in ("lesion", "patient") if all(known) else ("lesion",):
        folds = pooled.groupby(one)["fold"]
        leaking = folds.nunique()[lambda count: count > 1]
        if len(leaking):
            first, second = sorted(folds.unique()[leaking.index[0]])[:2]
            raise FoldsError(
                f"{sources[first]} and {sources[second]} both test {one} {leaking.index[0]}; give each fold of one "
                "cross-validation once."
            )
    return PooledPredictions.of(pooled)


def _check_params(params: dict[str, dict[str, Any]], whole: bool) -> None:
    for name, found in params.items():
        if not {"fold", "folds"} <= found.get("split", {}).keys():
            raise FoldsError(f"{name} has no split.fold among its parameters, so it is not a fold.")
    folds = {name: found["split"].pop("fold") for name, found in params.items()}
    (name, first), *others = params.items()
    count = first["split"]["folds"]
    if not count:
        raise FoldsError(
            f"{name} has split.folds 0, so it is not a fold; set split.protocol to grouped and split.folds."
        )
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


def run(wanted: argparse.Namespace) -> int:
    """`dermascreen pool`: write the pooled predictions, and print their metrics."""
    if wanted.out.is_dir():
        raise FoldsError(f"--out: {wanted.out} is a folder; name a file to write.")
    if wanted.out.exists() and not _is_pooled(wanted.out):
        raise FoldsError(f"--out: {wanted.out} exists and holds no pooled predictions; name another file.")
    pooled = pool(wanted.folds)
    sample = pooled.sample
    values = classification_metrics(sample.label, sample.probability)
    intervals = metric_intervals(sample, draws=wanted.draws, seed=wanted.seed)
    folds = _by_fold(pooled, wanted.folds)
    try:
        pooled.write(wanted.out)
    except OSError as error:
        raise FoldsError(f"{wanted.out} cannot be written ({error.strerror}).") from None
    rows = [
        {"measure": measure, "value": getattr(values, measure), "method": method, **vars(interval)}
        for measure, methods in vars(intervals).items()
        for method, interval in (methods or {"": Interval(math.nan, math.nan)}).items()
    ]
    shown = (folds, pd.DataFrame(rows))
    tables = (table.to_string(index=False, float_format="{:.4f}".format, na_rep="") for table in shown)
    print(
        "{}\n\nROC AUC, mean over folds {:.4f}, standard deviation {:.4f}; all folds together:\n\n{}\n".format(
            next(tables), folds["roc_auc"].mean(), folds["roc_auc"].std(), next(tables)
        )
    )
    print(
        "Intervals of 95 %; accuracy, recall, specificity and precision at probability 0.5. Where a cell is "
        f"empty, there are too few images to tell. Wrote {len(pooled)} predictions, "
        f"of {counted_lesions(sample.clusters)}, to {wanted.out}."
    )
    return 0


def _is_pooled(file: Path) -> bool:
    try:
        PooledPredictions.parse(file)
    except ValueError:
        return False
    return True


def _by_fold(pooled: PooledPredictions, sources: list[str]) -> pd.DataFrame:
    rows = []
    for fold in np.unique(pooled.fold):
        label, probability, clusters = pooled[pooled.fold == fold].sample
        auc = float(roc_auc_score(label, probability))
        method, interval = auc_interval(label, probability, clusters.patient)
        counts = {"fold": sources[fold], "images": len(label), "malignant": int(label.sum())}
        rows.append(counts | {"roc_auc": auc, "method": method} | vars(interval))
    return pd.DataFrame(rows)
