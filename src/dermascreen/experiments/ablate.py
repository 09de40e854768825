"""Which parts of the recipe help: `dermascreen ablate train.ema=0.99 train.mixup=0.2,train.lr=2e-3`.

Trains on data/processed with params.yaml as it is, then once more with each change, all with several seeds, and
compares the val AUC. The test images are not used, so the result may be used to choose a recipe. Every finished run is
in the table, and the same command continues with those that are missing.
"""

import argparse
import itertools
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd
import torch
from filelock import FileLock, Timeout
from ruamel.yaml.constructor import DuplicateKeyError

from dermascreen.artifacts.dataset.columns import Name, Score, Whole
from dermascreen.artifacts.dataset.images import PROCESSED, Images
from dermascreen.artifacts.dataset.splits import TRAIN, VAL, Splits
from dermascreen.core.definition import code_fingerprint
from dermascreen.core.errors import BadTableError, InputError, ParamsError
from dermascreen.core.files import CACHE, fingerprint
from dermascreen.core.hashes import content_md5
from dermascreen.core.params import NOT_YAML, Params, parse, read_params, with_changes
from dermascreen.core.tables import Table
from dermascreen.network.model import build
from dermascreen.training.batches import Split
from dermascreen.training.fit import fit
from dermascreen.training.module import Epoch

BASE = "as it stands"
DEVICES = ("train.devices", "train.nodes", "train.strategy")
SECTIONS = ("model", "train")  # what a run here reads from params.yaml; images and splits are those that are there


@dataclass(frozen=True)
class Ablation(Table):
    """A row for each epoch of each run."""

    PATH: ClassVar[Path] = Path("reports/ablation.csv")

    data: Name  # a name for the parameters, what was trained on, and the code
    change: Name
    seed: Whole
    epoch: Whole
    seconds: Score  # since the beginning of the run
    val_roc_auc: Score


def parse_change(text: str) -> dict[str, Any]:
    """`train.ema=0.99,train.image_sizes=[32]` as parameters by dotted name; values are YAML.

    Raises ParamsError for what is not of that form, and for a parameter whose change would not be seen here.
    """
    try:
        changes = parse("{" + text.replace("=", ": ") + "}")
    except DuplicateKeyError:
        raise ParamsError(f"{text} names a parameter twice.") from None
    except NOT_YAML:
        changes = {}
    whole = text.count("=") == len(changes) and all(isinstance(name, str) for name in changes)
    if not changes or not whole or any(value is None for value in changes.values()):
        raise ParamsError(f"{text} is not of the form train.ema=0.99, or several of these separated by commas.")
    for name in changes:
        if name in DEVICES:
            raise ParamsError(f"{name} cannot be tried by ablate, each of whose runs has one device.")
        if name.partition(".")[0] not in SECTIONS:
            raise ParamsError(
                f"{name} cannot be tried by ablate, which takes the images and the split as they are, and seeds of its "
                f"own; what can is in the sections {' and '.join(SECTIONS)}."
            )
    return dict(changes)


def measure(params: Params, train: Split, val: Split, checkpoints: Path) -> list[Epoch]:
    """Train once; returns each epoch's row, with the `seconds` since the beginning."""
    shutil.rmtree(checkpoints, ignore_errors=True)
    ends: list[float] = []
    began = time.perf_counter()
    torch.manual_seed(params.seed)
    network = build(params.model, params.preprocess)
    history = fit(
        network, train, val, params.train, seed=params.seed, checkpoints=checkpoints,
        on_epoch=lambda _: ends.append(time.perf_counter() - began),
    )  # fmt: skip
    shutil.rmtree(checkpoints)
    return [row | {"seconds": end} for row, end in zip(history.epochs, ends, strict=True)]


def compare(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for each change, in the order in which they were measured.

    Columns: `val_roc_auc`, the mean over seeds of each run's best epoch, with `low` and `high`, the lowest and highest;
    `difference`, its mean difference to params.yaml as it is with the same seed, with `worst` and `most`; `seconds` of
    a run; `reached`, the number of runs that reach the AUC that all runs of the first row reach, and `sooner`, how many
    times faster the changed runs reach it, by the median, NaN if most do not.
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
        return pd.DataFrame(columns=[*Ablation.meanings()])
    try:
        return Ablation.parse(path).to_frame()
    except ValueError as problem:
        raise BadTableError(path, str(problem), "correct it, or let --table name another file") from None


@contextmanager
def _alone() -> Iterator[None]:
    """Raise InputError if another process is at it here, which would write over the same checkpoints and table."""
    CACHE.mkdir(exist_ok=True)
    try:
        with FileLock(CACHE / "ablate.lock", timeout=0):
            yield
    except Timeout:
        raise InputError("another `dermascreen ablate` is at work in this project; wait until it ends.") from None


def run(given: argparse.Namespace) -> int:
    """`dermascreen ablate`: train what is missing, each run on one device, and print the comparison.

    Lightning starts the processes of further devices by the same command line, and each would be an ablation.
    """
    base = with_changes(read_params(), {"train.devices": 1, "train.nodes": 1})
    settings: Mapping[str, Params] = {
        BASE: base, **{change: with_changes(base, parse_change(change)) for change in given.changes}
    }  # fmt: skip
    images, splits = Images.open(), Splits.read(splits=[TRAIN, VAL])
    parts = (splits.part(name) for name in (TRAIN, splits.chooses_epoch))
    train, val = (Split(images.pixels, images.rows(part.path), part.label) for part in parts)
    sections = base.model_dump(include={"model", "train", "preprocess"})
    data = fingerprint([sections, content_md5(PROCESSED), content_md5(Splits.PATH), code_fingerprint("train")])
    with _alone():
        for seed, (change, params) in itertools.product(range(given.seeds), settings.items()):
            runs = read_runs(given.table)
            if (runs["data"].eq(data) & runs["change"].eq(change) & runs["seed"].eq(seed)).any():
                continue
            history = measure(params.model_copy(update={"seed": seed}), train, val, CACHE / "ablation")
            found = pd.DataFrame(history).assign(data=data, change=change, seed=seed)[[*Ablation.meanings()]]
            Ablation.of(pd.concat([runs, found]) if len(runs) else found).write(given.table)
            print(f"{change}, seed {seed}: {found['val_roc_auc'].max():.4f}", flush=True)
    runs = read_runs(given.table)
    mine = runs["data"].eq(data) & runs["change"].isin(settings) & runs["seed"].lt(given.seeds)
    print(compare(runs[mine]).to_string(float_format="{:.4f}".format, na_rep="never"))
    return 0
