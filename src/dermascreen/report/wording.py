"""Numbers as a person reads them, and the names and sentences that the page and the model card share."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dermascreen.evidence.intervals import CONFIDENCE

POINTS = {  # in the order of the tables
    "default": "Default",
    "f1_optimal": "Best F1",
    "youden": "Youden",
    "high_recall": "High recall",
}
METHODS = {
    "delong": "DeLong",
    "lesion_bootstrap": "bootstrap of lesions",
    "clopper_pearson": "exact binomial",
    "clopper_pearson_box": "exact binomial, of both rates",
}
PAIRS = {
    "bytes": "equal bytes",
    "pixels": "equal pixels",
    "hash": "near-equal perceptual hashes",
    "features": "local features that agree in their geometry",
}
BASELINES = {
    "file": "file size and format alone",
    "frame": "colours of the frame alone",
    "colour": "colours of the whole alone",
    "thumbnail": "a thumbnail of 12 pixels a side",
}
INTERVENTIONS = {
    "frame_replaced": "frame painted over",
    "reencoded": "saved again, all alike",
    "exif_stripped": "metadata taken out",
}
STRATA = {
    "twin_in_source_train": "A twin in the published training folder",
    "coarse_jpeg": "A coarse JPEG",
    "exif": "EXIF metadata",
}

ELSEWHERE = "arXiv 2606.13135"
NO_CLINIC = (
    "No photographs of another clinic were given, so how far the results hold elsewhere is not known. Models of this "
    f"kind are reported to fall from an AUC of 0.95-0.97 at home to 0.80-0.89 elsewhere ({ELSEWHERE})."
)


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
    return (
        ">99.9\N{NO-BREAK SPACE}%"
        if text == "100.0%" and value < 1
        else text.removesuffix("%").removesuffix(".0") + "\N{NO-BREAK SPACE}%"
    )


def signed(value: float) -> str:
    """A difference with its sign and three decimals; what rounds to 0 has no sign."""
    text = f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")
    return text if any(digit in "123456789" for digit in text) else "0.000"


def amount(value: float) -> str:
    """A count that need not be whole, such as one per 1,000, with one decimal."""
    return f"{value:.1f}"


def p_value(value: float) -> str:
    """A p-value with three decimals, and no 0.000."""
    return "<0.001" if value < 0.0005 else f"{value:.3f}"  # noqa: PLR2004


def span(interval: Mapping[str, float], style: str = "share") -> str:
    """The ends of an interval {"low", "high"} in one of STYLES: 0.914 to 0.952."""
    return f"{STYLES[style](interval['low'])} to {STYLES[style](interval['high'])}"


def counted(number: int, one: str, many: str) -> str:
    """A number and the words that fit it: 1 lesion has, 2 lesions have."""
    return f"{number} {one if number == 1 else many}"


def literal(text: object) -> str:
    """Text as Markdown shows it literally, also in a table."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(str(text).split()))


STYLES = {"share": share, "percent": percent, "signed": signed, "amount": amount}


@cache
def environment(autoescape: bool) -> Environment:
    """Where the templates are, with the filters above; a missing value is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=autoescape,  # noqa: S701 - off for Markdown only, which `literal` guards
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= STYLES | {"p_value": p_value, "span": span, "counted": counted, "literal": literal}
    return environment


VARIANTS = {"grad_cam": "Grad-CAM", "hires_cam": "HiResCAM", "guided_grad_cam": "Guided Grad-CAM"}  # of maps


def shared(metrics: Mapping[str, Mapping[str, Any]], params: Mapping[str, Any]) -> dict[str, Any]:
    """What both templates are given: the metrics by stage, the parameters, and all that is worded here.

    Parameters: `metrics`, what metrics/<stage>.json holds, by stage; `params`, as params.yaml has them.
    """
    return {
        **metrics,
        "params": params,
        "confidence": CONFIDENCE,
        "start": start_of(metrics["train"]["weights"]),
        "source": source_of(params["data"]),
        "synthetic": params["data"]["source"] == "synthetic",
        "verdict": verdict_of(metrics["threshold"]["high_recall"]),
        "kept": metrics["threshold"]["high_recall"]["guaranteed"] and metrics["threshold"]["high_recall"]["reached"],
        "baseline": baseline_of(metrics["shortcuts"]),
        "separation": separation_of(params["split"]["protocol"]),
        "points": POINTS,
        "variants": VARIANTS,
        "methods": METHODS,
        "pairs": PAIRS,
        "baselines": BASELINES,
        "interventions": INTERVENTIONS,
        "strata": STRATA,
        "no_clinic": NO_CLINIC,
    }


def start_of(weights: str) -> str:
    """What training started from, in a sentence; `weights` is model.weights of params.yaml."""
    if weights == "none":
        return "It was trained from random weights, not transfer learning."
    if weights.startswith("IMAGENET"):
        return f"It was fine-tuned from ImageNet weights ({weights}): transfer learning."
    return f"It was fine-tuned from the weights in {weights}; how those were trained is not known here."


def source_of(data: Mapping[str, Any]) -> str:
    """Where the images come from and whose they are, in sentences; `data` is that section of params.yaml."""
    archive = (
        "the ISIC Archive, each under CC-0 or CC-BY-NC as the archive says of it; the rights are the archive's and "
        "its contributors'."
    )
    if data["source"] == "synthetic":
        return (
            "The images were drawn by a program: they show no skin, and nothing here says anything about real lesions."
        )
    if data["source"] == "kaggle":
        return f"The photographs are Kaggle's {data['slug']}, which were taken from {archive}"
    return f"The photographs are those in {data['archive']}. If they are Kaggle's, they were taken from {archive}"


def separation_of(protocol: str) -> str:
    """Whether test is kept apart from training, in a sentence; `protocol` is split.protocol of params.yaml."""
    if protocol == "official_with_twins":
        return "Here too: this split leaves them there on purpose, to measure what that leak is worth."
    return "Here no lesion that is known to have several photographs is both learned from and tested on."


def verdict_of(high_recall: Mapping[str, Any]) -> str:
    """Whether the high_recall point keeps its promise, in sentences; `high_recall` as metrics/threshold.json has it."""
    target, val, test = percent(high_recall["target_recall"]), high_recall["val"], high_recall["test"]
    if not high_recall["reached"]:
        return (
            f"The target sensitivity of {target} is not reached: on val only calling every image malignant gets "
            "there, so this point is of no use."
        )
    confidence = percent(high_recall["confidence"])
    if high_recall["guaranteed"]:
        promise = (
            f"On val\u2019s {high_recall['lesions']} malignant lesions, where at least "
            f"{high_recall['lesions_needed']} are needed, the high-recall point may miss "
            f"{high_recall['misses_allowed']}, so that with {confidence} confidence it finds at least {target} "
            "of all lesions like them."
        )
    else:
        promise = (
            f"Not guaranteed: to promise {target} with {confidence} confidence takes "
            f"{high_recall['lesions_needed']} malignant lesions in val, which has {high_recall['lesions']}; the "
            f"threshold only reaches the target among val\u2019s own images "
            f"({percent(val['recall'])})."
        )
    interval = test["intervals"]["recall"]["clopper_pearson"]
    found = f"On test it finds {percent(test['recall'])} ({span(interval, 'percent')})"
    if interval["high"] < high_recall["target_recall"]:
        return f"{promise} {found}: less than the target, and by more than chance."
    if test["recall"] < high_recall["target_recall"]:
        return f"{promise} {found}: less than the target, which chance may explain."
    return f"{promise} {found}."


def baseline_of(shortcuts: Mapping[str, Any]) -> str:
    """What the network has above the best baseline, in a sentence; `shortcuts` as metrics/shortcuts.json has it."""
    name, best = max(shortcuts["baselines"].items(), key=lambda item: item[1]["roc_auc"])
    difference = f"{signed(best['network_minus_baseline'])} ({span(best, 'signed')})"
    give = "gives" if name == "thumbnail" else "give"
    return (
        f"Without the lesion\u2019s structure, {BASELINES[name]} already {give} an AUC of "
        f"{share(best['roc_auc'])} on test; to that the network adds {difference}."
    )


def benefit_of(curve: pd.DataFrame) -> str:
    """Where acting on the model does more good than treating all or none; `curve` as decision_curve_test.csv has it."""
    better = curve["model"].gt(curve[["treat_all", "treat_none"]].max(axis=1))
    if not better.any():
        return "At no threshold drawn does the model do more good than treating everyone or no one."
    at = curve["threshold"][better]
    return (
        f"At {len(at)} of the {len(curve)} thresholds drawn, from {at.min():g} to {at.max():g}, acting on the model "
        "does more good than treating everyone or no one."
    )
