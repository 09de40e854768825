"""Which parts of the recipe help: `python -m dermascreen.ablate train.ema=0.99 train.mixup=0.2,train.lr=2e-3`.

Trains on data/processed with params.yaml as it stands, then once more with each change, all of it with several seeds,
and compares the val AUC. The test images are not looked at, so what is found here may be used. Every run that has
finished is in the table, and the same command goes on with those that are missing.
"""

import argparse
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
import yaml

from dermascreen.errors import ParamsError, reported
from dermascreen.files import fingerprint
from dermascreen.images.arrays import Images
from dermascreen.model.batches import Split
from dermascreen.model.network import build
from dermascreen.model.training import Epoch, fit
from dermascreen.params import Params, read_params, with_changes
from dermascreen.pipeline import CACHE, PROCESSED, SPLITS, content_md5
from dermascreen.tables import read_table, write_table

BASE = "as it stands"
MEASURED = ["data", "change", "seed", "epoch", "seconds", "val_roc_auc"]


def parse_change(text: str) -> dict[str, Any]:
    """`train.ema=0.99,train.image_sizes=[32]` as parameters by dotted name; values are YAML."""
    changes = yaml.safe_load("{" + text.replace("=", ": ") + "}")
    if text.count("=") != len(changes) or any(value is None for value in changes.values()):
        raise ParamsError(f"{text} is not of the form train.ema=0.99, or several of these with commas between.")
    return dict(changes)


def measure(params: Params, train: Split, val: Split, checkpoints: Path) -> list[Epoch]:
    """Train once; each epoch's row, with the `seconds` since the beginning."""
    shutil.rmtree(checkpoints, ignore_errors=True)
    ends: list[float] = []
    began = time.perf_counter()
    torch.manual_seed(params.seed)
    network = build(params.model, params.preprocess.image_size)
    history = fit(
        network, train, val, params.train, seed=params.seed, checkpoints=checkpoints,
        on_epoch=lambda _: ends.append(time.perf_counter() - began),
    )  # fmt: skip
    shutil.rmtree(checkpoints)
    return [row | {"seconds": end} for row, end in zip(history, ends, strict=True)]


def compare(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for each change, in the order they were measured in.

    Columns: `val_roc_auc`, the mean over seeds of each run's best epoch, with `low` and `high`, the least and most;
    `difference`, its mean difference to params.yaml as it stands with the same seed, with `worst` and `most`; `seconds`
    of a run; `reached`, the runs that come to the AUC that all of the first row reach, and `sooner`, how many times
    sooner the changed runs do so, by the median, NaN if most do not.
    """

    def by_seed(chosen: pd.DataFrame, values: str, of_run: Literal["min", "max"]) -> pd.DataFrame:
        return chosen.pivot_table(values, "change", "seed", of_run, sort=False)

    best, seconds = by_seed(runs, "val_roc_auc", "max"), by_seed(runs, "seconds", "max")
    goal = best.loc[BASE].min()
    reached = by_seed(runs[runs["val_roc_auc"].ge(goal)], "seconds", "min").reindex_like(best)
    waited = reached.fillna(float("inf")).median(axis="columns")
    gain = best - best.loc[BASE]
    return pd.DataFrame(
        {
            "val_roc_auc": best.mean(axis="columns"),
            "low": best.min(axis="columns"),
            "high": best.max(axis="columns"),
            "difference": gain.mean(axis="columns"),
            "worst": gain.min(axis="columns"),
            "most": gain.max(axis="columns"),
            "seconds": seconds.mean(axis="columns"),
            "reached": reached.notna().sum(axis="columns"),
            "sooner": (waited[BASE] / waited).where(waited.lt(float("inf"))),
        }
    )


def read_runs(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=MEASURED)
    return read_table(path, MEASURED, advice="correct it, or let --table name another file")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m dermascreen.ablate", description=__doc__)
    parser.add_argument("changes", nargs="+", metavar="CHANGE", help="parameters, such as train.ema=0.99")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds, from 0 (default: 3)")
    parser.add_argument("--table", type=Path, default=Path("reports/ablation.csv"), help="all epochs of all runs")
    given = parser.parse_args(arguments)
    with reported("ablate"):
        base = read_params()
        settings: Mapping[str, Params] = {
            BASE: base, **{change: with_changes(base, parse_change(change)) for change in given.changes}
        }  # fmt: skip
        images, splits = Images.open(PROCESSED), read_table(SPLITS, ["path", "label", "split"], ["train", "val"])
        parts = [splits[splits["split"].eq(name)] for name in ("train", "val")]
        train, val = (Split(images.pixels, images.rows(rows["path"]), rows["label"].to_numpy()) for rows in parts)
        sections = base.model_dump(include={"model", "train", "preprocess"})
        data = fingerprint([sections, content_md5(PROCESSED), content_md5(SPLITS)])
        for seed in range(given.seeds):
            for change, params in settings.items():
                runs = read_runs(given.table)
                if (runs["data"].eq(data) & runs["change"].eq(change) & runs["seed"].eq(seed)).any():
                    continue
                history = measure(params.model_copy(update={"seed": seed}), train, val, CACHE / "ablation")
                found = pd.DataFrame(history).assign(data=data, change=change, seed=seed)[MEASURED]
                write_table(pd.concat([runs, found]) if len(runs) else found, given.table)
                print(f"{change}, seed {seed}: {found['val_roc_auc'].max():.4f}", flush=True)
        runs = read_runs(given.table)
        mine = runs["data"].eq(data) & runs["change"].isin(settings) & runs["seed"].lt(given.seeds)
        print(compare(runs[mine]).to_string(float_format="{:.4f}".format, na_rep="never"))


if __name__ == "__main__":
    main()
