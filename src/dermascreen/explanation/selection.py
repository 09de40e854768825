"""Which test images are shown: by rule and seed, not by eye."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dermascreen.artifacts.results.predictions import Predictions
from dermascreen.evidence.metrics import Labels

OUTCOMES = ("fn", "fp", "tp", "tn")  # missed cancers come first: they are what matters most


class Shown(NamedTuple):
    """The test images that are shown: their rows among the predictions, and the outcome of each; shape (n,)."""

    rows: npt.NDArray[np.intp]
    outcomes: npt.NDArray[np.object_]


def outcomes(label: Labels, called: npt.NDArray[np.bool_]) -> npt.NDArray[np.object_]:
    """tp, fn, fp or tn for each image, by whether it is `called` malignant; each of shape (n,)."""
    malignant = label == 1
    named = np.select([malignant & ~called, ~malignant & called, malignant & called], ["fn", "fp", "tp"], "tn")
    return named.astype(object)


def select(test: Predictions, called: npt.NDArray[np.bool_], count: int, seed: int) -> Shown:
    """Choose `count` images spread evenly over the outcomes; all of them where there are fewer.

    An outcome with too few images leaves its places to the others; a place left over goes to the first in OUTCOMES.
    In each outcome half of the images (rounded up) are those the model is most confident about, with ties in the order
    of their paths; the others are drawn from the rest with `seed`. The order of `test` does not matter.

    Returns images by outcome in the order of OUTCOMES, the most confident first.
    """
    by_path = np.argsort(test.path, kind="stable")
    outcome, probability = outcomes(test.label, called)[by_path], test.probability[by_path]
    places = share({name: int((outcome == name).sum()) for name in OUTCOMES}, count)
    parts = []
    for number, name in enumerate(OUTCOMES):
        part = np.flatnonzero(outcome == name)
        upwards = probability[part] if name in {"fn", "tn"} else -probability[part]
        part = part[np.argsort(upwards, kind="stable")]
        confident = (places[name] + 1) // 2
        drawn = np.random.default_rng([seed, number]).permutation(np.arange(confident, len(part)))
        parts.append(part[np.r_[:confident, np.sort(drawn[: places[name] - confident])]])
    chosen = np.concatenate(parts)
    return Shown(by_path[chosen], outcome[chosen])


def draw(test: Predictions, count: int, seed: int) -> npt.NDArray[np.intp]:
    """The rows of `count` images drawn at random, all if there are fewer; the order of `test` does not matter."""
    by_path = np.argsort(test.path, kind="stable")
    order = np.random.default_rng([seed, len(OUTCOMES)]).permutation(len(test))
    return by_path[np.sort(order[:count])]


def share(available: dict[str, int], count: int) -> dict[str, int]:
    """Deal `count` places to the outcomes one by one, in the order of OUTCOMES; none gets more than it has images."""
    places = dict.fromkeys(OUTCOMES, 0)
    for _ in range(min(count, sum(available.values()))):
        open_to = [outcome for outcome in OUTCOMES if places[outcome] < available[outcome]]
        places[min(open_to, key=places.__getitem__)] += 1
    return places
