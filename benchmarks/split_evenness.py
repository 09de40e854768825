"""How even are splits that keep patients whole? Ours beside scikit-learn's StratifiedGroupKFold.

Patients have 1 to 80 lesions, and some far more malignant ones than others, as in the ISIC Archive. Each method draws a
fifth of the lesions; printed is how far the drawn share of the benign and of the malignant lesions, whichever is worse,
is from a fifth: the mean and the worst of the seeds.

    python benchmarks/split_evenness.py
"""

import time

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold

from dermascreen.data.splits import draw

SEEDS, FRACTION = 50, 0.2
SIZES = {
    "200 patients": [1] * 100 + [2] * 50 + [3] * 25 + [5] * 15 + [10] * 7 + [30] * 2 + [80],
    "2,000 patients": [1] * 1000 + [2] * 500 + [3] * 250 + [5] * 150 + [10] * 70 + [30] * 20 + [80] * 10,
}


def lesions(sizes: list[int], seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(len(sizes)), sizes)
    risk = rng.beta(0.3, 0.7, len(sizes))[patient]
    return pd.DataFrame({"label": (rng.random(len(patient)) < risk).astype(int), "patient": patient})


def off(table: pd.DataFrame, drawn: "pd.Index[int]") -> float:
    shares = [table.loc[drawn, "label"].eq(label).sum() / table["label"].eq(label).sum() for label in (0, 1)]
    return float(np.abs(np.array(shares) - FRACTION).max())


def ours(table: pd.DataFrame, seed: int) -> "pd.Index[int]":
    return draw(table, FRACTION, seed, "")[1].index


def stratified_groups(table: pd.DataFrame, seed: int) -> "pd.Index[int]":
    folds = StratifiedGroupKFold(round(1 / FRACTION), shuffle=True, random_state=seed)
    return table.index[next(folds.split(table, table["label"], table["patient"]))[1]]


def groups(table: pd.DataFrame, seed: int) -> "pd.Index[int]":
    folds = GroupShuffleSplit(1, test_size=FRACTION, random_state=seed)
    return table.index[next(folds.split(table, groups=table["patient"]))[1]]


def main() -> None:
    for name, sizes in SIZES.items():
        for method in (ours, stratified_groups, groups):
            started = time.perf_counter()
            found = [off(table := lesions(sizes, seed), method(table, seed)) for seed in range(SEEDS)]
            seconds = (time.perf_counter() - started) / SEEDS
            measured = f"mean {np.mean(found):.4f}, worst {np.max(found):.4f}, {seconds:.2f} s a split"
            print(f"{name}, {method.__name__}: {measured}")


if __name__ == "__main__":
    main()
