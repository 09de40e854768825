"""Numbers as a person reads them, and the names and sentences that the page and the model card share."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dermascreen.evidence.intervals import CONFIDENCE, FEWEST, clopper_pearson
from dermascreen.report.dataset import SLUG

POINTS = {  # in the order of the tables
    "default": "Default",
    "f1_optimal": "Best F1",
    "youden": "Youden",
    "high_recall": "High recall",
}
METHODS = {
    "delong": "DeLong",
    "hoeffding": "Hoeffding\u2019s bound",
    "lesion_bootstrap": "bootstrap of lesions",
    "clopper_pearson": "exact binomial",
    "clopper_pearson_box": "exact binomial, of both rates",
    "wilson": "Wilson",
}
UNDEFINED = {  # why a rate is no number
    "recall": "no malignant image",
    "specificity": "no benign image",
    "precision": "none called malignant",
    "ppv": "none called malignant",
    "npv": "none called benign",
    "f1": "no malignant image, and none called so",
    "error": "none decided",
    "missed_per_1000": "no malignant image",
    "false_alarms_per_1000": "no benign image",
}
TOO_FEW = "too few for a range"
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
    "twin_in_source_train": "A twin in the train folder, as the images were given",
    "coarse_jpeg": "A coarse JPEG",
    "exif": "EXIF metadata",
}

CHANCE = 0.5  # the AUC of a score that says nothing
SCREENED = 0.1  # a larger share of malignant lesions than screening meets

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


def p_value(value: float | None) -> str:
    """A p-value with three decimals, and no 0.000; there is none where too few lesions rank differently."""
    if value is None:
        return "too few"
    return "<0.001" if value < 0.0005 else f"{value:.3f}"  # noqa: PLR2004


def span(interval: Mapping[str, float], style: str = "share") -> str:
    """The ends of an interval {"low", "high"} in one of STYLES: 0.914 to 0.952."""
    return f"{STYLES[style](interval['low'])} to {STYLES[style](interval['high'])}"


def rate(rates: Mapping[str, Any], key: str, style: str = "share") -> str:
    """A measure in one of STYLES, or why it is no number."""
    value = rates[key]
    return UNDEFINED[key] if value is None else STYLES[style](value)


def ranges(rates: Mapping[str, Any], key: str, style: str = "share") -> list[tuple[str, str]]:
    """The intervals of a measure; with each the name of its method, if there are several or it is not the usual one."""
    intervals = rates["intervals"][key]
    if not intervals:
        return [] if rates[key] is None else [(TOO_FEW, "")]
    named = len(intervals) > 1 or "hoeffding" in intervals
    return [(span(interval, style), METHODS[method] if named else "") for method, interval in intervals.items()]


def main_range(intervals: Mapping[str, Mapping[str, float]]) -> Mapping[str, float]:
    """Of an AUC's intervals that by redrawn lesions, of which DeLong's knows nothing, or else the only one."""
    return intervals["lesion_bootstrap"] if "lesion_bootstrap" in intervals else next(iter(intervals.values()))


def missed(counts: Mapping[str, int]) -> str:
    """Missed cancers of all: 3 of 80."""
    return f"{counts['fn']} of {counts['fn'] + counts['tp']}"


def alarms(counts: Mapping[str, int]) -> str:
    """False alarms, of all benign images."""
    return f"{counts['fp']} of {counts['fp'] + counts['tn']}"


def missed_range(counts: Mapping[str, int]) -> str:
    """What a count of missed cancers allows of the share that is missed of all like them: the exact binomial's ends."""
    return span(clopper_pearson(counts["fn"], counts["fn"] + counts["tp"])._asdict(), "percent")


def most_missed(counts: Mapping[str, int]) -> str:
    """The upper end of `missed_range`: 0 of 24 allow 14.2 %."""
    return percent(clopper_pearson(counts["fn"], counts["fn"] + counts["tp"]).high)


def alarms_range(counts: Mapping[str, int]) -> str:
    return span(clopper_pearson(counts["fp"], counts["fp"] + counts["tn"])._asdict(), "percent")


def turned(difference: Mapping[str, Any], key: str = "value") -> dict[str, float | None]:
    """A fall {key, low, high} as the change that it is: value, low and high of the other sign."""
    ends = {"value": difference[key], "low": difference["high"], "high": difference["low"]}
    return {name: None if value is None else -value for name, value in ends.items()}


def by(difference: Mapping[str, Any], key: str, more: str = "higher", less: str = "lower") -> str:
    """A difference {key, low, high} in words, whatever its sign: higher by 0.035 (0.015 to 0.055)."""
    value, low, high = difference[key], difference["low"], difference["high"]
    words = f"{more if value > 0 else less} by {abs(value):.3f}"
    if value == low == high == 0:
        return "exactly the same"
    if f"{abs(value):.3f}" == "0.000":
        words = "the same to three decimals"
    if low is None:
        return f"{words} ({TOO_FEW})"
    if low >= 0:
        return f"{words} ({low:.3f} to {high:.3f})"
    if high <= 0:
        return f"{words} ({-high:.3f} to {-low:.3f})"
    return f"{words} (from {-low:.3f} {less} to {high:.3f} {more})"


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
    filters = (
        p_value, span, rate, ranges, main_range, missed, missed_range, most_missed, alarms, alarms_range, turned,
        counted, literal,
    )  # fmt: skip
    environment.filters |= STYLES | {function.__name__: function for function in filters}
    return environment


VARIANTS = {"grad_cam": "Grad-CAM", "hires_cam": "HiResCAM", "guided_grad_cam": "Guided Grad-CAM"}  # of maps


def shared(metrics: Mapping[str, Mapping[str, Any]], params: Mapping[str, Any], kaggles: bool) -> dict[str, Any]:
    """What both templates are given: the metrics by stage, the parameters, and all that is worded here.

    Parameters: `metrics`, what metrics/<stage>.json holds, by stage; `params`, as params.yaml has them; `kaggles`,
    whether the images are Kaggle's, as `dataset.is_kaggles` finds.
    """
    high_recall, own = metrics["threshold"]["high_recall"], metrics["threshold"]["high_recall"]["test"]["screening"]
    return {
        **metrics,
        "params": params,
        "kaggles": kaggles,
        "confidence": CONFIDENCE,
        "fewest": FEWEST,
        "start": start_of(metrics["train"]["weights"]),
        "source": source_of(params["data"], kaggles),
        "synthetic": params["data"]["source"] == "synthetic",
        "verdict": verdict_of(high_recall),
        "promised": caveat_of(high_recall) is None,
        "kept": kept(high_recall),
        "band_caveat": caveat_of(metrics["threshold"].get("abstention", {})),
        "extremes": extremes_of(metrics["threshold"]),
        "reduction": reduction_of(metrics["threshold"]),
        "chance": chance_of(metrics["evaluate"]["test"]),
        "baseline": baseline_of(metrics["shortcuts"]),
        "twins": twins_of(metrics["audit"], kaggles),
        "separation": separation_of(params["split"]["protocol"]),
        "prevalence": prevalence_of(own["own"]["prevalence"]),
        "points": POINTS,
        "variants": VARIANTS,
        "pairs": PAIRS,
        "baselines": BASELINES,
        "interventions": INTERVENTIONS,
        "strata": STRATA,
        "no_clinic": NO_CLINIC,
    }


def start_of(weights: str) -> str:
    """What training started from, in a sentence; `weights` is model.weights of params.yaml."""
    if weights == "none":
        return "It was trained from random weights, not by transfer learning."
    if weights.startswith("IMAGENET"):
        return f"It was fine-tuned from ImageNet weights ({weights}): transfer learning."
    return f"It was fine-tuned from the weights in {weights}; how those were trained is not known here."


def source_of(data: Mapping[str, Any], kaggles: bool) -> str:
    """Where the images come from and whose they are, in sentences.

    Parameters: `data`, that section of params.yaml; `kaggles`, whether the images are those of dataset.SLUG.
    """
    if data["source"] == "synthetic":
        return (
            "The images were drawn by a program: they show no skin, and nothing here says anything about real lesions."
        )
    if kaggles:
        return (
            f"The photographs are Kaggle's {SLUG}, which were taken from the ISIC Archive, each under CC-0 or CC-BY-NC "
            "as the archive says of it; the rights are the archive's and its contributors'."
        )
    given = f"Kaggle's {data['slug']}" if data["source"] == "kaggle" else f"those in {data['archive']}"
    return f"The photographs are {given}. Whose they are, and under which licence, is not known here."


def separation_of(protocol: str) -> str:
    """Whether test is kept apart from training, in a sentence; `protocol` is split.protocol of params.yaml."""
    if protocol == "official_with_twins":
        return "Here too: this split leaves them there on purpose, to measure what that leak is worth."
    return "Here no lesion that is known to have several photographs is both learned from and tested on."


def twins_of(audit: Mapping[str, Any], kaggles: bool) -> str:
    """How many images of the test folder show a lesion of the train folder, before any split of ours, in a sentence."""
    found = counted(audit["test_images_with_train_twin"], "image", "images")
    where = "In the data set as published" if kaggles else "In the train and test folders as they were given"
    return f"{where}, {found} for testing {_has(audit['test_images_with_train_twin'])} a twin among those for training."


def _has(number: int) -> str:
    return "has" if number == 1 else "have"


def prevalence_of(share_malignant: float) -> str:
    """What the share of malignant test images means for other people, in sentences."""
    text = f"{percent(share_malignant)} of the test images are malignant"
    if share_malignant > SCREENED:
        return (
            f"{text}. Of the lesions of people who are screened a few in a hundred are, and a larger share of the "
            "alarms is false."
        )
    return f"{text}. Where another share is, another share of the alarms is false."


def caveat_of(point: Mapping[str, Any]) -> str | None:
    """What must be said of an operating point wherever a decision rests on it, in a sentence; None if nothing must.

    Parameters: `point`, as models/operating_points.json holds it under its name, and metrics/threshold.json as well.
    """
    if not point.get("reached", True):
        return (
            f"This operating point is of no use: among the validation images the target sensitivity of "
            f"{percent(point['target_recall'])} is reached only by calling every benign image malignant."
        )
    if point.get("guaranteed", True):
        return None
    measure, kind = ("sensitivity", "malignant") if "target_recall" in point else ("specificity", "benign")
    target = percent(point["target_recall" if "target_recall" in point else "target_specificity"])
    why = ""
    if "lesions_needed" in point:
        needed = counted(point["lesions_needed"], f"{kind} lesion", f"{kind} lesions")
        why = (
            f" That would take {needed} among the validation images, which show {point['lesions']}; the threshold only "
            "reaches the target among those images."
        )
    with_confidence = f" with {percent(point['confidence'])} confidence" if "confidence" in point else ""
    return f"The {measure} of {target} that it aims at is not guaranteed{with_confidence}.{why}"


def beats_chance(at: Mapping[str, Any]) -> bool:
    """Whether a larger share of malignant images than of benign ones is called malignant."""
    tn, fp, fn, tp = (at["confusion"][name] for name in ("tn", "fp", "fn", "tp"))
    return bool(tp * (tn + fp) > fp * (tp + fn))


def kept(high_recall: Mapping[str, Any]) -> bool:
    """Whether the point promises its target, and test does not speak against it."""
    test = high_recall["test"]
    most = test["intervals"]["recall"]["clopper_pearson"]["high"]
    return caveat_of(high_recall) is None and beats_chance(test) and bool(most >= high_recall["target_recall"])


def verdict_of(high_recall: Mapping[str, Any]) -> str:
    """What the high_recall point promises and what it did on test, in sentences; as metrics/threshold.json has it."""
    target, test = percent(high_recall["target_recall"]), high_recall["test"]
    counts, interval = test["confusion"], test["intervals"]["recall"]["clopper_pearson"]
    price = f"and calls {alarms(counts)} benign ones malignant as well"
    caveat = caveat_of(high_recall)
    promise = f"High recall: {caveat}"
    if not high_recall["reached"]:
        return f"{promise} On test it misses {missed(counts)} malignant images ({missed_range(counts)}) {price}."
    if caveat is None:
        promise = (
            f"Chosen on val\u2019s {counted(high_recall['lesions'], 'malignant lesion', 'malignant lesions')}, where "
            f"at least {high_recall['lesions_needed']} are needed and {high_recall['misses_allowed']} may be missed, "
            f"the high-recall point finds at least {target} of all lesions like them, with "
            f"{percent(high_recall['confidence'])} confidence."
        )
    found = f"On test it finds {percent(test['recall'])} of the malignant images ({span(interval, 'percent')}) {price}"
    sentences = [promise, f"{found}."]
    if interval["high"] < high_recall["target_recall"]:
        sentences.append(f"That is less than {target}, and by more than chance explains.")
    elif test["recall"] < high_recall["target_recall"]:
        sentences.append(f"That is less than {target}, which chance may explain.")
    if not beats_chance(test):
        sentences.append("Calling as many images malignant at random would do no worse.")
    return " ".join(sentences)


def extremes_of(threshold: Mapping[str, Any]) -> list[str]:
    """A sentence for each operating point at which every test image is called the same."""
    sentences = []
    for point, name in POINTS.items():
        counts = threshold[point]["test"]["confusion"]
        if counts["tp"] + counts["fp"] == 0:
            sentences.append(
                f"{name}: no test image is called malignant, so every cancer is missed, and there is no precision."
            )
        if counts["tn"] + counts["fn"] == 0:
            sentences.append(f"{name}: every test image is called malignant, so nothing is decided.")
    return sentences


def reduction_of(threshold: Mapping[str, Any]) -> str:
    """Missed cancers and false alarms on test at high recall beside those at the default, in sentences.

    Fewer missed cancers are no gain where the point is of no use, or no better than chance.
    """
    high, default = threshold["high_recall"], threshold["default"]["test"]["confusion"]
    counts, fewer = high["test"]["confusion"], threshold["fn_reduction"]["fewer_missed"]
    if not high["reached"] or not beats_chance(high["test"]):
        said = (
            f"On test the default misses {missed(default)} malignant images ({missed_range(default)}) and calls "
            f"{alarms(default)} benign ones malignant"
        )
        return (
            f"{said}; that high recall misses fewer is no gain, as it tells nothing apart." if fewer > 0 else f"{said}."
        )
    beside = f"On test high recall misses {missed(counts)} malignant images ({missed_range(counts)})"
    more = counts["fp"] - default["fp"]
    how_many = f"{abs(more)} {'more' if more > 0 else 'fewer'}" if more else "as many"
    price = f"{how_many} benign ones called malignant"
    if fewer > 0:
        relative = percent(threshold["fn_reduction"]["relative"])
        return f"{beside}, {fewer} fewer than the default ({relative} of what that misses), with {price}."
    if fewer < 0:
        return f"{beside}, {-fewer} more than the default, with {price}."
    return f"{beside}, as many as the default, with {price}."


def chance_of(test: Mapping[str, Any]) -> str:
    """A sentence where the AUC on test is not shown to be better than chance, else nothing."""
    interval = main_range(test["intervals"]["roc_auc"])
    if interval["low"] > CHANCE:
        return ""
    if interval["high"] < CHANCE:
        return "On test it ranks the images worse than chance would: its AUC is below 0.5."
    return "On test its AUC cannot be told from 0.5, which is that of chance."


def baseline_of(shortcuts: Mapping[str, Any]) -> str:
    """The network beside the best baseline, in a sentence; `shortcuts` as metrics/shortcuts.json has it."""
    name, best = max(shortcuts["baselines"].items(), key=lambda item: item[1]["roc_auc"])
    give = "gives" if name == "thumbnail" else "give"
    return (
        f"Without the lesion\u2019s structure, {BASELINES[name]} {give} an AUC of {share(best['roc_auc'])} on test; "
        f"the network\u2019s is {by(best, 'network_minus_baseline')}."
    )


def benefit_of(curve: pd.DataFrame) -> str:
    """Where acting on the model does more good than treating all or none; `curve` as decision_curve_test.csv has it."""
    better = curve["model"].gt(curve[["treat_all", "treat_none"]].max(axis=1))
    if not better.any():
        return (
            "At no threshold drawn did acting on the model do more good on these images than treating everyone or no "
            "one."
        )
    at = curve["threshold"][better]
    where = f"from {at.min():g} to {at.max():g}" if len(at) > 1 else f"{at.min():g}"
    return (
        f"At {len(at)} of the {len(curve)} thresholds drawn, {where}, acting on the model did more good on these "
        "images than treating everyone or no one."
    )
