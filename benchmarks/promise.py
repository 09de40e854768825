"""How often is the promise of recall broken, if the lesions that set the threshold have also chosen the epoch?

A simulation: in each draw a network has 16 epochs, whose scores of a lesion share most of their noise, and which differ
in how well they separate. The true recall and specificity of any threshold are known. Compared with the same number of
lesions outside train: no choice at all (the last epoch), val chooses the epoch and sets the threshold, and half of the
lesions choose the epoch and the other half set the threshold (split.selection_fraction).

    python benchmarks/promise.py
"""

import numpy as np
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from dermascreen.evidence.clusters import Clusters
from dermascreen.evidence.sample import Sample
from dermascreen.evidence.thresholds import choose_high_recall

DRAWS, EPOCHS, LESIONS, MALIGNANT = 2000, 16, 490, 0.45
SHARED = 0.9  # correlation of a lesion's scores in two epochs
TARGET = CONFIDENCE = 0.95


def rates(threshold: float, separation: float) -> tuple[float, float]:
    """The true recall and specificity of a threshold on the score."""
    return float(norm.sf(threshold - separation)), float(norm.cdf(threshold))


def main() -> None:
    rng = np.random.default_rng(0)
    found: dict[str, list[tuple[float, float]]] = {"last epoch": [], "val does both": [], "half chooses": []}
    for _ in range(DRAWS):
        separation = 2.4 + 0.15 * rng.standard_normal(EPOCHS)
        label = (rng.random(LESIONS) < MALIGNANT).astype(int)
        shared, own = rng.standard_normal(LESIONS), rng.standard_normal((EPOCHS, LESIONS))
        noise = SHARED**0.5 * shared + (1 - SHARED) ** 0.5 * own
        score = separation[:, None] * label + noise
        half = np.arange(LESIONS) < LESIONS // 2

        def result(epoch: int, rows: np.ndarray, score: np.ndarray = score, label: np.ndarray = label) -> float:
            val = Sample(label[rows], norm.cdf(score[epoch, rows] - 1), Clusters.of_lesions(np.arange(rows.sum())))
            return float(norm.ppf(choose_high_recall(val, TARGET, CONFIDENCE).threshold)) + 1

        everything = np.ones(LESIONS, dtype=bool)
        for name, chosen_on, set_on in (
            ("last epoch", None, everything),
            ("val does both", everything, everything),
            ("half chooses", half, ~half),
        ):
            epoch = EPOCHS - 1
            if chosen_on is not None:
                epoch = int(np.argmax([roc_auc_score(label[chosen_on], one[chosen_on]) for one in score]))
            found[name].append(rates(result(epoch, set_on), separation[epoch]))
    for name, results in found.items():
        recall, specificity = np.array(results).T
        print(
            f"{name}: promise broken in {np.mean(recall < TARGET):.3f} of {DRAWS} draws, "
            f"specificity {specificity.mean():.3f} on average, recall {recall.mean():.3f}"
        )


if __name__ == "__main__":
    main()
