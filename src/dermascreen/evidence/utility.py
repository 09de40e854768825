"""Whether acting on the probability does more good than treating everyone, or no one."""

import numpy as np
import pandas as pd

from dermascreen.evidence.metrics import Labels, Scores
from dermascreen.evidence.operating_points import called_malignant

THRESHOLDS = np.linspace(0, 0.5, 51).round(2)  # above 0.5 a false alarm would weigh more than a missed cancer


def decision_curve(label: Labels, probability: Scores) -> pd.DataFrame:
    """Net benefit of treating images at or above the threshold, of treating all and of treating none (Vickers and
    Elkin 2006): the share of true positives less the share of false positives at the odds of the threshold, at which
    one missed cancer weighs as much as (1 - threshold) / threshold false alarms.

    Parameters: `label` and `probability`, each of shape (n,). Returns a row for each of THRESHOLDS with threshold,
    model, treat_all and treat_none, in true positives per image at the images' own share of malignant ones.
    """
    odds = THRESHOLDS / (1 - THRESHOLDS)
    called = called_malignant(probability, THRESHOLDS[:, np.newaxis])
    true_positives, false_positives = (called * label).mean(axis=1), (called * (1 - label)).mean(axis=1)
    return pd.DataFrame(
        {
            "threshold": THRESHOLDS,
            "model": true_positives - false_positives * odds,
            "treat_all": label.mean() - (1 - label).mean() * odds,  # rounded as the model's, if that treats all
            "treat_none": 0.0,
        }
    )
