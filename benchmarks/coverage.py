"""How often intervals hold what they say where photographs are not independent: python benchmarks/coverage.py.

Simulated: 80 lesions, half of them malignant, and two scores that are equally good. A row for each number of
photographs of a lesion: how often the interval of the difference of the AUCs contains 0, and that of the sensitivity
the true one, both of which should be 95 times in 100 at least; and how often a perfectly calibrated model, which gives
each photograph the chance of malignant at its score, lies above the calibration error that chance is said to give at
most 95 times in 100. The peer, beside it, takes each photograph as a lesion of its own.

Then patients with one to 31 lesions each, whose scores are alike or not, and how often the intervals of a specificity
and of the difference of two equal AUCs contain the true one; the peer takes lesions as independent. And how often the
guarantee of recall is broken, where each patient with cancer has some number of malignant lesions: the peer's, that a
share of all lesions is found, and ours, that it is of all patients every lesion; beside it, how often ours finds less
of the lesions.
"""

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm
from tqdm import tqdm

from dermascreen.evidence.calibration import expected_calibration_error, noise_floor
from dermascreen.evidence.clusters import Clusters
from dermascreen.evidence.intervals import compare_aucs, share_intervals
from dermascreen.evidence.thresholds import misses_allowed

LESIONS, RUNS = 80, 2000
PATIENTS, MOST, CANCERS = 120, 31, 372  # patients, lesions of one, and malignant lesions that set a threshold
APART = 2.0  # the mean score of malignant lesions, where that of benign ones is 0
WITHIN = 0.3  # standard deviation of the score among photographs of a lesion, where that among lesions is 1
PHOTOGRAPHS = (1, 2, 3, 5)
ALIKE = (0.0, 0.2, 0.4)  # the correlation of the scores of two lesions of a patient
RARE = 0.1  # the share of malignant lesions
TARGET = CONFIDENCE = 0.95  # of the guarantee
CALLED_FROM = 0.0  # the score from which a photograph is called malignant
SENSITIVITY = float(norm.sf(CALLED_FROM, APART, (1 + WITHIN**2) ** 0.5))


def main() -> None:
    rows = []
    for each in PHOTOGRAPHS:
        lesion = np.repeat(np.arange(LESIONS), each)
        units = {"lesions": lesion, "photographs": np.arange(len(lesion))}
        rng = np.random.default_rng(each)
        found = pd.DataFrame(
            [_once(rng, lesion, units) for _ in tqdm(range(RUNS), f"{each} photographs", disable=None)]
        )
        rows.append({"photographs of each lesion": each, **found.mean()})
    _show(rows)
    rows = []
    for alike in ALIKE:
        rng = np.random.default_rng(int(10 * alike))
        found = pd.DataFrame([_of_patients(rng, alike) for _ in tqdm(range(RUNS), f"alike {alike}", disable=None)])
        rows.append({"correlation of a patient's lesions": alike, **found.mean()})
    _show(rows)
    _show(
        [
            {"malignant lesions of each": each, "correlation": alike, **_broken(each, alike)}
            for each in (1, 2, 4)
            for alike in ALIKE[1:]
        ]
    )


def _show(rows: list[dict[str, float]]) -> None:
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))


def _of_patients(rng: np.random.Generator, alike: float) -> dict[str, bool]:
    patient = np.repeat(np.arange(PATIENTS), rng.integers(1, MOST + 1, PATIENTS))
    n = len(patient)
    label, found = (rng.random(n) < RARE).astype(int), {}
    first, second = (APART * label + _alike(rng, patient, alike) for _ in range(2))
    lesion, benign = np.arange(n), label == 0
    specificity = float(norm.cdf(1.0))  # at threshold 1
    for name, cluster in {"patients": patient, "lesions": lesion}.items():
        (share,) = share_intervals(first[benign] < 1.0, Clusters(lesion, cluster)[benign]).values()
        found[f"{name}: covers specificity"] = share.low <= specificity <= share.high
        compared = compare_aucs(label, first, second, cluster)
        found[f"{name}: covers AUC"] = compared.low <= 0 <= compared.high
    return found


def _alike(rng: np.random.Generator, patient: np.ndarray, alike: float) -> np.ndarray:
    shared, own = rng.normal(size=patient.max() + 1)[patient], rng.normal(size=len(patient))
    return np.asarray(alike**0.5 * shared + (1 - alike) ** 0.5 * own)


def _broken(each: int, alike: float) -> dict[str, float]:
    """In which share of draws less than TARGET is at or above the threshold: of lesions, or of patients all lesions."""
    rng, patient = np.random.default_rng(each), np.repeat(np.arange(CANCERS // each), each)
    scores = np.stack([_alike(rng, patient, alike) for _ in range(RUNS)])
    of_lesions, of_patients = (
        np.sort(trials)[:, misses_allowed(trials.shape[1], TARGET, CONFIDENCE)]
        for trials in (scores, scores.reshape(RUNS, -1, each).min(axis=2))
    )
    shared, weight = np.polynomial.hermite_e.hermegauss(80)  # the integral over what a patient's lesions share
    below = (of_patients[:, None] - alike**0.5 * shared) / (1 - alike) ** 0.5
    found = norm.sf(below) ** each @ weight / weight.sum()
    return {
        "ours broken": float(np.mean(found < TARGET)),
        "ours: fewer lesions": float(np.mean(norm.sf(of_patients) < TARGET)),
        "peer broken": float(np.mean(norm.sf(of_lesions) < TARGET)),
    }


def _once(rng: np.random.Generator, lesion: np.ndarray, units: dict[str, np.ndarray]) -> dict[str, bool]:
    label = rng.permutation(np.arange(LESIONS) % 2)[lesion]
    first, second = (
        APART * label + rng.normal(size=LESIONS)[lesion] + WITHIN * rng.normal(size=len(lesion)) for _ in range(2)
    )
    probability = expit(APART * (first - APART / 2) / (1 + WITHIN**2))
    error, found = expected_calibration_error(label, probability), {}
    for name, unit in units.items():
        compared = compare_aucs(label, first, second, unit)
        found[f"{name}: covers AUC"] = compared.low <= 0 <= compared.high
        (share,) = share_intervals(first[label == 1] >= CALLED_FROM, Clusters.of_lesions(unit[label == 1])).values()
        found[f"{name}: covers sensitivity"] = share.low <= SENSITIVITY <= share.high
        found[f"{name}: accuses"] = error > noise_floor(probability, unit, 0).high
    return found


if __name__ == "__main__":
    main()
