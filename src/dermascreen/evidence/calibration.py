"""Whether a probability means what it says, and the one number that makes it so: the temperature.

Bins hold equally many images each, because images crowd at the ends, where bins of equal width in between would be
nearly empty.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, log_loss

from dermascreen.errors import BadTableError
from dermascreen.evidence.metrics import CALIBRATION_BINS, Labels, Scores
from dermascreen.files import read_json

GRID = 257  # logits of val, evenly spread over its images, at which intervals of the probability are kept
TEMPERATURES = (0.05, 20.0)  # the range that is searched; val that is told apart without error would have none
SIMULATIONS = 1000


class NoiseFloor(NamedTuple):
    """Expected calibration error of a perfectly calibrated model with as many images: its mean and 95th percentile."""

    mean: float
    high: float


def fit_temperature(label: Labels, logit: Scores) -> float:
    """The temperature T in TEMPERATURES that makes the log loss of sigmoid(logit / T) least (Guo and others 2017).

    Parameters: `label` and `logit`, each of shape (n,). The loss is convex in 1 / T, so its least is the only one.
    """
    signed = np.where(label == 1, 1.0, -1.0) * logit
    found = minimize_scalar(
        lambda slope: float(np.logaddexp(0.0, -slope * signed).mean()),
        bounds=(1 / TEMPERATURES[1], 1 / TEMPERATURES[0]),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return float(1 / found.x)


def read_temperature(path: Path) -> float:
    """The temperature that stage evaluate wrote; a DermascreenError where there is none above 0."""
    temperature = read_json(path).number("temperature")
    if temperature <= 0:
        raise BadTableError(path, "has a temperature that is not above 0")
    return temperature


def calibrate(logit: npt.NDArray[np.floating], temperature: float) -> Scores:
    """sigmoid(logit / temperature), in double precision; shape (n,)."""
    return np.asarray(expit(np.asarray(logit, dtype=np.float64) / temperature))


def probability_intervals(label: Labels, logit: Scores) -> pd.DataFrame:
    """What val says of the probability at a logit, as an interval: inductive Venn-Abers (Vovk and Petej 2014).

    For an image of logit s, isotonic regression of val's labels on its logits is fitted twice, with s added as benign
    and as malignant; its two values at s are the ends. Of the two, that of the image's true class is calibrated, as
    long as the image is drawn like val's; few images of val near s make the ends far apart.

    Parameters: `label` and `logit` of val, each of shape (n,). Returns logit, low and high at GRID logits at most.
    """
    spread = np.linspace(0, 1, min(GRID, len(logit)))
    grid = np.unique(np.quantile(logit, spread, method="nearest"))
    ends = [[_isotonic(label, logit, value, as_class) for as_class in (0, 1)] for value in grid]
    return pd.DataFrame(np.column_stack([grid, ends]), columns=["logit", "low", "high"])


def _isotonic(label: Labels, logit: Scores, value: float, as_class: int) -> float:
    fitted = IsotonicRegression().fit(np.append(logit, value), np.append(label, as_class).astype(float))
    return float(fitted.predict([value])[0])


def interval_at(logit: npt.NDArray[np.floating], table: pd.DataFrame) -> tuple[Scores, Scores]:
    """The ends of the probability's interval at each of `logit`, shape (n,), by what `probability_intervals` gave.

    Both ends rise with the logit, so between two logits of the table the lower end of the one before and the upper end
    of the one after hold the interval itself.
    """
    grid = table["logit"].to_numpy()
    below = np.searchsorted(grid, logit, side="right")
    above = np.searchsorted(grid, logit, side="left")
    return np.append(0.0, table["low"])[below], np.append(table["high"], 1.0)[above]


def with_interval(
    logit: npt.NDArray[np.floating], temperature: float, table: pd.DataFrame
) -> tuple[Scores, Scores, Scores]:
    """The calibrated probability at each of `logit`, shape (n,), and the ends of its interval: `interval_at`, widened.

    One temperature for all logits can put a probability beside what val says near one of them; the interval then
    reaches from the one to the other.
    """
    probability = calibrate(logit, temperature)
    low, high = interval_at(logit, table)
    return probability, np.minimum(low, probability), np.maximum(high, probability)


def expected_calibration_error(label: Labels, probability: Scores) -> float:
    """The mean over images of |share malignant - mean probability| in their bin (Naeini and others 2015)."""
    order = np.argsort(probability, kind="stable")
    return float(_binned_error(label[order][None], probability[order])[0])


def noise_floor(probability: Scores, seed: int) -> NoiseFloor:
    """What `expected_calibration_error` comes to by chance alone, with labels drawn from the probabilities."""
    ordered = np.sort(probability)
    drawn = np.random.default_rng(seed).random((SIMULATIONS, len(ordered))) < ordered
    errors = _binned_error(drawn, ordered)
    return NoiseFloor(float(errors.mean()), float(np.quantile(errors, 0.95)))


def _binned_error(label: npt.NDArray[np.generic], probability: Scores) -> npt.NDArray[np.float64]:
    """One error for each row of `label`, shape (draws, n); both in order of the probability."""
    gaps = np.asarray(label, dtype=np.float64) - probability
    bins = np.array_split(gaps, min(CALIBRATION_BINS, len(probability)), axis=1)
    return np.asarray(sum(np.abs(part.sum(axis=1)) for part in bins) / len(probability))


def calibration_report(label: Labels, probability: Scores, seed: int) -> dict[str, float]:
    """Brier score, log loss and expected calibration error, and beside it the `noise_floor`."""
    floor = noise_floor(probability, seed)
    return {
        "brier": float(brier_score_loss(label, probability)),
        "log_loss": float(log_loss(label, probability, labels=[0, 1])),
        "ece": expected_calibration_error(label, probability),
        "ece_floor": floor.mean,
        "ece_floor_high": floor.high,
    }
