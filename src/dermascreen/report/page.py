"""The page a person reads: results, how far to trust them, and what the network looked at. It needs no other file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from dermascreen.artifacts.results.curves import DecisionCurve
from dermascreen.evidence.metrics import Confusion
from dermascreen.report.figures import BAND, FIGURES
from dermascreen.report.pictures import Picture
from dermascreen.report.reproduction import Reproduction
from dermascreen.report.results import Results
from dermascreen.report.templates import environment, shared
from dermascreen.report.wording import benefit_of

REPORT = Path("reports/report.html")
TEMPLATE = "page.html.jinja"

SECTIONS = {  # in their order, by the address within the page
    "results": "Results",
    "source": "Compared with the source project",
    "points": "Operating points",
    "screening": "In a screened population",
    "abstention": "Images that are referred",
    "calibration": "Calibration",
    "curves": "Curves",
    "decision": "Is it worth acting on?",
    "shortcuts": "Shortcuts",
    "strata": "With and without a cue",
    "groups": "For whom these results hold",
    "sites": "Other sites",
    "maps": "Mistakes, and what the network looked at",
    "photographs": "The photographs",
    "again": "How to get these numbers again",
}
MEASURES = {  # and whether there is an interval
    "roc_auc": ("ROC AUC", True),
    "partial_roc_auc": ("ROC AUC above 80 % sensitivity (of at most 0.2)", True),
    "average_precision": ("Average precision", True),
    "brier": ("Brier score (lower is better)", True),
    "log_loss": ("Log loss (lower is better)", False),
    "accuracy": ("Accuracy at 0.5", True),
    "recall": ("Sensitivity at 0.5", True),
    "specificity": ("Specificity at 0.5", True),
    "precision": ("Precision at 0.5", True),
    "f1": ("F1 at 0.5", False),
}
CALIBRATION = {
    "brier": "Brier score",
    "log_loss": "Log loss",
    "ece": "Calibration error (ECE)",
    "ece_floor": "ECE of a perfect model, on average",
    "ece_floor_high": "ECE of a perfect model, 95th percentile",
}
SCREENING = {  # and the style of its numbers
    "ppv": ("PPV", "share"),
    "npv": ("NPV", "share"),
    "f1": ("F1", "share"),
    "missed_per_1000": ("missed in 1,000", "amount"),
    "false_alarms_per_1000": ("false alarms in 1,000", "amount"),
}
ABSTENTION = {"coverage": "decided", "recall": "sensitivity", "specificity": "specificity", "error": "wrong"}
SITE = {
    "roc_auc": "ROC AUC",
    "partial_roc_auc": "ROC AUC above 80 % sensitivity",
    "average_precision": "Average precision",
    "brier": "Brier score",
    "ece": "ECE",
}
OUTCOMES = {  # as explanation.selection names them; missed cancers come first
    "fn": "Missed cancers",
    "fp": "False alarms",
    "tp": "Cancers found",
    "tn": "Benign, called benign",
}
CHECKS = {  # what is measured
    "randomisation": "Rank correlation with the maps of the network with shuffled weights",
    "perturbation_random": "Insertion minus deletion: gain over a random map",
    "perturbation_centre": "The same: gain over a Gaussian in the centre, where lesions are",
    "lesion_energy": "Energy in a pseudo mask of the lesion (Otsu): gain over a uniform map",
    "frame_energy": "Energy in the outer eighth of the image: excess over a uniform map",
    "infidelity": "Infidelity when squares are removed, divided by a random map's",
    "sensitivity": "Largest relative change under invisible noise",
    "symmetry": "Rank correlation over the eight turns and flips",
}


class Published(NamedTuple):
    """Figures of the source project, which validated on its test folder and chose its thresholds there."""

    roc_auc: float
    f1: float
    f1_threshold: float
    default: Confusion  # of its malignant images alone
    high_recall: Confusion
    high_recall_threshold: float


PUBLISHED = Published(
    roc_auc=0.9752,
    f1=0.924,
    f1_threshold=0.200,
    default=Confusion(tn=0, fp=0, fn=33, tp=267),
    high_recall=Confusion(tn=0, fp=0, fn=13, tp=287),
    high_recall_threshold=0.100,
)


def render(
    results: Results,
    figures: Mapping[str, str],
    decision_curve: DecisionCurve,
    pictures: Sequence[Picture],
    reproduction: Reproduction,
    *,
    kaggles: bool,
) -> str:
    """The page as HTML; the same arguments give the same text.

    Parameters: `figures`, SVG by name, of FIGURES; `decision_curve`, that of test; `kaggles`, whether the images are
    Kaggle's: only then are the source project's figures shown for comparison.
    """
    there = {
        "source": kaggles,
        "abstention": results.threshold.abstention is not None,
        "groups": bool(results.threshold.subgroups.columns),
    }
    captions = {
        name: (text if results.banded else text.replace(BAND, ""), about) for name, (text, about) in FIGURES.items()
    }
    return environment(autoescape=True).get_template(TEMPLATE).render(
        **shared(results, reproduction.params, kaggles),
        sections={name: title for name, title in SECTIONS.items() if there.get(name, True)},
        figures={name: (Markup(figures[name]), *captions[name]) for name in figures},  # noqa: S704 - our own drawing
        benefit=benefit_of(decision_curve),
        pictures=sorted(pictures, key=confidence, reverse=True),
        reproduction=reproduction,
        measures=MEASURES,
        calibration=CALIBRATION,
        prevalences=SCREENING,
        decided=ABSTENTION,
        elsewhere=SITE,
        outcomes=OUTCOMES,
        checks=CHECKS,
        published=PUBLISHED,
    )  # fmt: skip


def confidence(picture: Picture) -> float:
    """The probability of the class that the image is assigned at the high_recall point."""
    return picture.probability if picture.outcome in {"tp", "fp"} else 1 - picture.probability
