"""How often intervals hold what they say where lesions have several photographs: python benchmarks/coverage.py.

Simulated: 80 lesions, half of them malignant, and two scores that are equally good. A row for each number of
photographs of a lesion: how often the interval of the difference of the AUCs contains 0, and that of the sensitivity
the true one, both of which should be 95 times in 100 at least; and how often a perfectly calibrated model, which gives
each photograph the chance of malignant at its score, lies above the calibration error that chance is said to give at
most 95 times in 100. The peer, beside it, takes each photograph as a lesion of its own.
"""

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm
from tqdm import tqdm

from dermascreen.evidence.calibration import expected_calibration_error, noise_floor
from dermascreen.evidence.intervals import compare_aucs, share_intervals

LESIONS, RUNS = 80, 2000
APART = 2.0  # the mean score of malignant lesions, where that of benign ones is 0
WITHIN = 0.3  # standard deviation of the score among photographs of a lesion, where that among lesions is 1
PHOTOGRAPHS = (1, 2, 3, 5)
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
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))


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
        (share,) = share_intervals(first[label == 1] >= CALLED_FROM, unit[label == 1]).values()
        found[f"{name}: covers sensitivity"] = share.low <= SENSITIVITY <= share.high
        found[f"{name}: accuses"] = error > noise_floor(probability, unit, 0).high
    return found


if __name__ == "__main__":
    main()
