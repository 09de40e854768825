"""The page a person reads: results, how far to trust them, and what the network looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATE = "page.html.jinja"

MEASURES = {
    "n": "Images",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "brier": "Brier score (lower is better)",
    "accuracy": "Accuracy at 0.5",
    "recall": "Sensitivity at 0.5",
    "specificity": "Specificity at 0.5",
    "precision": "Precision at 0.5",
    "f1": "F1 at 0.5",
}
POINTS = {  # in the order of the tables
    "default": "Default",
    "f1_optimal": "Best F1",
    "youden": "Youden",
    "high_recall": "High recall",
}
OUTCOMES = {  # as explanation.selection names them; missed cancers come first
    "fn": "Missed cancers",
    "fp": "False alarms",
    "tp": "Cancers found",
    "tn": "Benign, called benign",
}
FIGURES = {  # as report.figures draws them: a caption, and a description for those who cannot see the figure
    "operating_points.svg": (
        "Sensitivity and specificity by threshold, with the four operating points.",
        "Lines of sensitivity, which falls with the threshold, and specificity, which rises, on val and test",
    ),
    "roc.svg": (
        "Receiver operating characteristic.",
        "Sensitivity against 1 - specificity on val and test; the areas under the curves are in the table of results",
    ),
    "precision_recall.svg": (
        "Precision and sensitivity.",
        "Precision against sensitivity on val and test; the average precisions are in the table of results",
    ),
    "calibration.svg": (
        "Calibration: on the dotted line, of 100 images given 0.3 thirty are malignant.",
        "Observed share of malignant images against predicted probability on val and test",
    ),
    "confusion.svg": (
        "What test images are, and what they are called at 0.5 and at the high-recall point.",
        "Two tables of two by two counts; the counts of the high-recall one are in the table of operating points",
    ),
}
PUBLISHED = {  # the source project's test folder was its validation set, and its thresholds were chosen on it
    "roc_auc": 0.9752,
    "f1": 0.924,
    "f1_threshold": 0.200,
    "malignant": 300,
    "default_fn": 33,
    "high_recall_threshold": 0.100,
    "high_recall_fn": 13,
}


@dataclass(frozen=True)
class Picture:
    """A test image and its map; `image` and `overlay` are links relative to the page."""

    path: str
    label: int
    probability: float
    outcome: str  # at the high_recall point: tp, fn, fp or tn
    image: str
    overlay: str
    flat: bool

    def called(self, threshold: float) -> str:
        return "malignant" if self.probability >= threshold else "benign"

    @property
    def actual(self) -> str:
        return "malignant" if self.label else "benign"


def render(metrics: Mapping[str, Mapping[str, Any]], pictures: Sequence[Picture]) -> str:
    """The page as HTML; it asks for nothing but `pictures` and FIGURES, which lie beside it.

    Parameters: `metrics`, what metrics/<stage>.json holds, under audit, split, train, evaluate, threshold and explain.
    Raises jinja2.UndefinedError if a metric is missing.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"share": share, "percent": percent, "counted": counted}
    return environment.get_template(TEMPLATE).render(
        **metrics,
        start=start_of(metrics["train"]["weights"]),
        verdict=verdict_of(metrics["threshold"]["high_recall"]),
        pictures=pictures,
        figures=FIGURES,
        measures=MEASURES,
        points=POINTS,
        outcomes=OUTCOMES,
        published=PUBLISHED,
    )


def start_of(weights: str) -> str:
    """What training started from, in a sentence; `weights` is model.weights of params.yaml."""
    if weights == "none":
        return "It was trained from random weights, not transfer learning."
    if weights.startswith("IMAGENET"):
        return f"It was fine-tuned from ImageNet weights ({weights}): transfer learning."
    return f"It was fine-tuned from the weights in {weights}; how those were trained is not known here."


def verdict_of(high_recall: Mapping[str, Any]) -> str:
    """Whether the high_recall point keeps its promise, in a sentence or two."""
    target, val, test = high_recall["target_recall"], high_recall["val"]["recall"], high_recall["test"]["recall"]
    if not high_recall["reached"]:
        return (
            f"The target sensitivity of {percent(target)} is not reached: on val only calling every image malignant "
            "gets there, so this point is of no use."
        )
    reached = f"The target sensitivity of {percent(target)} is reached on val ({percent(val)})"
    if test < target:
        return f"{reached}, where the threshold was chosen. On test it is not: sensitivity there is {percent(test)}."
    return f"{reached} and on test ({percent(test)})."


def share(value: float) -> str:
    """A number between 0 and 1 with three decimals, and no 0.000 or 1.000 for what is not quite 0 or 1."""
    if 0 < value < 0.0005:  # noqa: PLR2004
        return "<0.001"
    if 0.9995 <= value < 1:  # noqa: PLR2004
        return ">0.999"
    return f"{value:.3f}"


def percent(value: float) -> str:
    """A share in percent with one decimal, which is left out where it is 0; never rounded up to 100 %."""
    text = f"{value:.1%}"
    return ">99.9 %" if text == "100.0%" and value < 1 else text.removesuffix("%").removesuffix(".0") + " %"


def counted(number: int, one: str, many: str) -> str:
    """A number and the words that fit it: 1 lesion has, 2 lesions have."""
    return f"{number} {one if number == 1 else many}"
