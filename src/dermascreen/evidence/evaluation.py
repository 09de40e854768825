"""What stage evaluate says of a split's predictions."""

from typing import Any

import numpy as np
import numpy.typing as npt

from dermascreen.evidence.calibration import calibration_report
from dermascreen.evidence.intervals import metric_intervals
from dermascreen.evidence.metrics import Labels, Scores, classification_metrics


def report_split(
    label: Labels, before: Scores, after: Scores, lesion: npt.NDArray[np.intp], *, draws: int, seed: int
) -> dict[str, Any]:
    """What needs no threshold, and rates at 0.5, with intervals; and calibration before and after the temperature.

    Parameters: `label`, the probabilities `before` and `after` the temperature, and `lesion`, each of shape (n,);
    `draws` of lesions, and their `seed`. Both classes must occur.
    """
    calibration = {
        "before": calibration_report(label, before, seed),
        "after": calibration_report(label, after, seed),
    }
    return {
        **classification_metrics(label, after),
        "lesions": len(set(lesion.tolist())),
        "ece": calibration["after"]["ece"],
        "intervals": metric_intervals(label, after, lesion, draws=draws, seed=seed),
        "calibration": calibration,
    }
