"""Which test images are shown: by rule and seed, not by eye."""

import numpy as np
import pandas as pd

OUTCOMES = ("fn", "fp", "tp", "tn")  # missed cancers come first: they are what matters most


def outcomes(label: "pd.Series[int]", probability: "pd.Series[float]", threshold: float) -> "pd.Series[str]":
    """tp, fn, fp or tn for each image, where at least `threshold` is called malignant."""
    malignant, called = label.eq(1), probability.ge(threshold)
    names = np.select([malignant & ~called, ~malignant & called, malignant & called], ["fn", "fp", "tp"], "tn")
    return pd.Series(names, index=label.index)


def select(predictions: pd.DataFrame, threshold: float, count: int, seed: int) -> pd.DataFrame:
    """Choose `count` images spread evenly over the outcomes at `threshold`; all of them where there are fewer.

    An outcome with too few images leaves its places to the others; a place left over goes to the first in OUTCOMES.
    In each outcome half of the images (rounded up) are those the model is most confident about, with ties in the order
    of their paths; the others are drawn from the rest with `seed`. The order of `predictions` does not matter.

    Parameters: `predictions` with path, label and probability.
    Returns path, label, probability and outcome, by outcome in the order of OUTCOMES, the most confident first.
    """
    table = predictions[["path", "label", "probability"]].sort_values("path", ignore_index=True)
    table["outcome"] = outcomes(table["label"], table["probability"], threshold)
    places = share({outcome: int(table["outcome"].eq(outcome).sum()) for outcome in OUTCOMES}, count)
    parts: list[pd.DataFrame] = []
    for number, outcome in enumerate(OUTCOMES):
        part = table[table["outcome"].eq(outcome)]
        part = part.sort_values("probability", ascending=outcome in {"fn", "tn"}, kind="stable")
        confident = (places[outcome] + 1) // 2
        drawn = np.random.default_rng([seed, number]).permutation(np.arange(confident, len(part)))
        parts.append(part.take(np.r_[:confident, np.sort(drawn[: places[outcome] - confident])]))
    return pd.concat(parts, ignore_index=True)


def draw(predictions: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """`count` images drawn at random, or all where there are fewer; the order of `predictions` does not matter."""
    table = predictions.sort_values("path", ignore_index=True)
    order = np.random.default_rng([seed, len(OUTCOMES)]).permutation(len(table))
    return table.take(np.sort(order[:count])).reset_index(drop=True)


def share(available: dict[str, int], count: int) -> dict[str, int]:
    """Deal `count` places to the outcomes one by one, in the order of OUTCOMES, to none more than it has images."""
    places = dict.fromkeys(OUTCOMES, 0)
    for _ in range(min(count, sum(available.values()))):
        open_to = [outcome for outcome in OUTCOMES if places[outcome] < available[outcome]]
        places[min(open_to, key=places.__getitem__)] += 1
    return places
