"""Calibration: how far probabilities agree with observed shares, and the temperature that makes them agree.

Bins hold equally many images each: most probabilities are near 0 or 1, so bins of equal width would be nearly empty in
between.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, log_loss

from dermascreen.evidence.clusters import Cluster
from dermascreen.evidence.metrics import CALIBRATION_BINS, Labels, Scores
from dermascreen.evidence.resampling import BLOCK

GRID = 257  # logits at which intervals are stored, at most: evenly spaced quantiles of val's
TEMPERATURES = (0.05, 20.0)  # the range that is searched
SIMULATIONS = 1000


class NoiseFloor(NamedTuple):
    """Expected calibration error of a perfectly calibrated model with as many images: its mean and 95th percentile."""

    mean: float
    high: float


@dataclass(frozen=True)
class CalibrationReport:
    """How good probabilities are as such, and the calibration error that chance alone would give."""

    brier: float
    log_loss: float
    ece: float  # expected calibration error
    ece_floor: float  # mean and 95th percentile of `noise_floor`
    ece_floor_high: float


def fit_temperature(label: Labels, logit: Scores) -> float:
    """The temperature T in TEMPERATURES that minimises the log loss of sigmoid(logit / T) (Guo and others 2017).

    The loss is convex in 1 / T, so it has only one minimum. It has none where logits are above 0 for every malignant
    image and below 0 for every benign one: any lower T would be better, down to probabilities of 0 and 1. Such images
    tell no temperature, and T is 1.

    Parameters: `label` and `logit`, each of shape (n,).
    """
    signed = np.where(label == 1, 1.0, -1.0) * logit
    if signed.min() > 0:
        return 1.0
    found = minimize_scalar(
        lambda slope: float(np.logaddexp(0.0, -slope * signed).mean()),
        bounds=(1 / TEMPERATURES[1], 1 / TEMPERATURES[0]),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return float(1 / found.x)


def calibrate(logit: npt.NDArray[np.floating], temperature: float) -> Scores:
    """sigmoid(logit / temperature), in double precision; shape (n,)."""
    return np.asarray(expit(np.asarray(logit, dtype=np.float64) / temperature))


def probability_intervals(label: Labels, logit: Scores) -> pd.DataFrame:
    """What val can tell about the probability at a logit: inductive Venn-Abers intervals (Vovk and Petej 2014).

    For an image of logit s, isotonic regression of val's labels on its logits is fitted twice, with s added as benign
    and as malignant; the two values at s are the ends of the interval. The one fitted with the image's true class is
    calibrated if the image is drawn like val's. The interval is wide where val has few images near s.

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
    """The ends of the probability's interval at each of `logit`, shape (n,), from the table of `probability_intervals`.

    Both ends rise with the logit, so an interval between two logits of the table lies between the lower end at the
    logit below and the upper end at the logit above.
    """
    grid = table["logit"].to_numpy()
    below = np.searchsorted(grid, logit, side="right")
    above = np.searchsorted(grid, logit, side="left")
    return np.append(0.0, table["low"])[below], np.append(table["high"], 1.0)[above]


def with_interval(
    logit: npt.NDArray[np.floating], temperature: float, table: pd.DataFrame
) -> tuple[Scores, Scores, Scores]:
    """The calibrated probability at each of `logit`, shape (n,), and the ends of its interval: `interval_at`, widened.

    Since one temperature serves all logits, a probability can lie outside the interval at its logit; the interval is
    then widened to contain it.
    """
    probability = calibrate(logit, temperature)
    low, high = interval_at(logit, table)
    return probability, np.minimum(low, probability), np.maximum(high, probability)


def expected_calibration_error(label: Labels, probability: Scores) -> float:
    """The mean over images of |share malignant - mean probability| in their bin (Naeini and others 2015)."""
    order = np.argsort(probability, kind="stable")
    return float(_binned_error(label[order][None], probability[order])[0])


def noise_floor(probability: Scores, lesion: Cluster, seed: int) -> NoiseFloor:
    """The `expected_calibration_error` that chance alone gives: labels are drawn from the probabilities.

    Photographs of one lesion, which share a label, are drawn together: by one number from 0 to 1, below which the
    probability of each must lie for it to be benign.
    """
    order = np.argsort(probability, kind="stable")
    _, number = np.unique(lesion[order], return_inverse=True)
    rng, size = np.random.default_rng(seed), max(1, BLOCK // len(order))
    blocks = [min(size, SIMULATIONS - first) for first in range(0, SIMULATIONS, size)]
    drawn = (rng.random((draws, number.max() + 1))[:, number] < probability[order] for draws in blocks)
    errors = np.concatenate([_binned_error(labels, probability[order]) for labels in drawn])
    return NoiseFloor(float(errors.mean()), float(np.quantile(errors, 0.95)))


def _binned_error(label: npt.NDArray[np.generic], probability: Scores) -> npt.NDArray[np.float64]:
    """One error for each row of `label`, shape (draws, n); both in order of the probability.

    Images of equal probability have their mean gap each, so that it does not matter which of them a bin ends with.
    """
    gaps = np.asarray(label, dtype=np.float64) - probability
    starts = np.flatnonzero(np.append(True, np.diff(probability) != 0))
    equal = np.diff(np.append(starts, len(probability)))
    gaps = np.repeat(np.add.reduceat(gaps, starts, axis=1) / equal, equal, axis=1)
    bins = np.array_split(gaps, min(CALIBRATION_BINS, len(probability)), axis=1)
    return np.asarray(sum(np.abs(part.sum(axis=1)) for part in bins) / len(probability))


def calibration_report(label: Labels, probability: Scores, lesion: Cluster, seed: int) -> CalibrationReport:
    """Brier score, log loss and expected calibration error, with its `noise_floor`; each of shape (n,)."""
    floor = noise_floor(probability, lesion, seed)
    return CalibrationReport(
        brier=float(brier_score_loss(label, probability)),
        log_loss=float(log_loss(label, probability, labels=[0, 1])),
        ece=expected_calibration_error(label, probability),
        ece_floor=floor.mean,
        ece_floor_high=floor.high,
    )
