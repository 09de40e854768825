"""The page a person reads: results, how far to trust them, and what the network looked at. It needs no other file."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from dermascreen.report.figures import BAND, FIGURES
from dermascreen.report.pictures import Picture
from dermascreen.report.reproduction import Reproduction
from dermascreen.report.wording import benefit_of, environment, shared

TEMPLATE = "page.html.jinja"

SECTIONS = {  # in their order, by the address within the page
    "results": "Results",
    "source": "Beside the source project",
    "points": "Operating points",
    "screening": "In a screened population",
    "abstention": "Images that are referred",
    "calibration": "Calibration",
    "curves": "Curves",
    "decision": "Is it worth acting on?",
    "shortcuts": "Shortcuts",
    "strata": "Where a cue is, and where it is not",
    "clinics": "Other clinics",
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
CLINIC = {
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
CHECKS = {  # what is found, and how it must stand to its mark
    "randomisation": ("Rank correlation with the maps of a network of shuffled weights", "within \N{PLUS-MINUS SIGN}"),
    "perturbation_random": ("Insertion less deletion, above that of a random map", "interval above"),
    "perturbation_centre": ("The same, above that of a Gaussian in the centre, where lesions are", "interval above"),
    "lesion_energy": ("Energy in a pseudo mask of the lesion (Otsu), above an even map's", "interval above"),
    "frame_energy": ("Energy in the outer eighth of the image, above an even map's", "at most"),
    "infidelity": ("Infidelity under squares taken away, times a random map's", "below"),
    "sensitivity": ("Largest relative change under noise that nobody sees", "at most"),
    "symmetry": ("Rank correlation over the eight turns and flips", "at least"),
}
PUBLISHED = {  # the source project's test folder was its validation set, and its thresholds were chosen on it
    "roc_auc": 0.9752,
    "f1": 0.924,
    "f1_threshold": 0.200,
    "default": {"fn": 33, "tp": 267},
    "high_recall": {"fn": 13, "tp": 287},
    "high_recall_threshold": 0.100,
}


def render(
    metrics: Mapping[str, Mapping[str, Any]],
    figures: Mapping[str, str],
    decision_curve: pd.DataFrame,
    pictures: Sequence[Picture],
    reproduction: Reproduction,
    *,
    kaggles: bool,
) -> str:
    """The page as HTML; the same arguments give the same text.

    Parameters: `metrics`, what metrics/<stage>.json holds, under audit, split, train, evaluate, threshold, shortcuts,
    external and explain; `figures`, SVG by name, of FIGURES; `decision_curve`, that of test;
    `kaggles`, whether the images are Kaggle's: only then do the source project's figures stand beside these.
    Raises jinja2.UndefinedError if a metric is missing.
    """
    there = {"source": kaggles, "abstention": "abstention" in metrics["threshold"]}
    banded = "delong" in metrics["evaluate"]["test"]["intervals"]["roc_auc"]  # else figures.draw leaves the band out
    captions = {name: (text if banded else text.replace(BAND, ""), about) for name, (text, about) in FIGURES.items()}
    return environment(autoescape=True).get_template(TEMPLATE).render(
        **shared(metrics, reproduction.params, kaggles),
        sections={name: title for name, title in SECTIONS.items() if there.get(name, True)},
        figures={name: (Markup(figures[name]), *captions[name]) for name in figures},  # noqa: S704 - our own drawing
        benefit=benefit_of(decision_curve),
        pictures=sorted(pictures, key=confidence, reverse=True),
        reproduction=reproduction,
        measures=MEASURES,
        calibration=CALIBRATION,
        prevalences=SCREENING,
        decided=ABSTENTION,
        elsewhere=CLINIC,
        outcomes=OUTCOMES,
        checks=CHECKS,
        published=PUBLISHED,
    )  # fmt: skip


def confidence(picture: Picture) -> float:
    """The calibrated probability of what the picture was called at the high_recall point."""
    return picture.probability if picture.outcome in {"tp", "fp"} else 1 - picture.probability
