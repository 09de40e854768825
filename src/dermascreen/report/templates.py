"""What the page and the model card share: where the templates are, their filters and their variables."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dermascreen.core.params import Params
from dermascreen.evidence.clusters import CONFIDENCE, FEWEST
from dermascreen.evidence.intervals import main_interval
from dermascreen.evidence.operating_points import counted_trials, trials
from dermascreen.evidence.screening import OWN
from dermascreen.report.numbers import (
    STYLES,
    alarms,
    alarms_range,
    column_of,
    counted,
    literal,
    missed,
    missed_range,
    most_missed,
    p_value,
    ranges,
    rate,
    span,
)
from dermascreen.report.results import Results
from dermascreen.report.wording import (
    BASELINES,
    INTERVENTIONS,
    NO_SITE,
    POINTS,
    baseline_of,
    caveat_of,
    chance_of,
    compression_of,
    covariates_of,
    dependence_of,
    extremes_of,
    kept,
    near_duplicates_of,
    network_of,
    people_of,
    preparation_of,
    prevalence_of,
    reduction_of,
    separation_of,
    source_of,
    start_of,
    verdict_of,
    whom_of,
)

PAIRS = {
    "bytes": "equal bytes",
    "pixels": "equal pixels",
    "hash": "near-equal perceptual hashes",
    "features": "local features that agree in their geometry",
    "declared": "the name of the lesion in a table, and by nothing else",
    "reviewed": "a person, and by nothing else",
}
STRATA = {
    "near_duplicate_in_source_train": "A near-duplicate in the train folder, as the images were given",
    "coarse_jpeg": "A coarse JPEG",
    "exif": "EXIF metadata",
}


@cache
def environment(autoescape: bool) -> Environment:
    """The Jinja environment of the templates, with their filters; a missing value is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=autoescape,  # noqa: S701 - off for Markdown only, which `literal` guards
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = (
        p_value, span, rate, ranges, main_interval, missed, missed_range, most_missed, alarms, alarms_range,
        counted, column_of, literal,
    )  # fmt: skip
    environment.filters |= STYLES | {function.__name__: function for function in filters}
    return environment


def _has_folders(results: Results, params: Params) -> bool:
    """Whether the images came with a train and a test folder, as far as the results tell."""
    return params.split.protocol != "grouped" or results.audit.test_near_duplicates_of_train > 0


VARIANTS = {"grad_cam": "Grad-CAM", "hires_cam": "HiResCAM", "guided_grad_cam": "Guided Grad-CAM"}  # of maps


def shared(results: Results, params: Params, kaggles: bool) -> dict[str, Any]:
    """What both templates are given: the details by stage, the parameters, and the sentences that they share.

    Parameters: `kaggles`, whether the images are Kaggle's, as `artifacts.dataset.kaggle.is_kaggles` finds.
    """
    threshold, high_recall = results.threshold, results.threshold.high_recall
    number, unit = trials(high_recall)
    return {
        **vars(results),
        "params": params,
        "kaggles": kaggles,
        "confidence": CONFIDENCE,
        "fewest": FEWEST,
        "network": network_of(results.train.architecture),
        "start": start_of(results.train),
        "source": source_of(params.data, kaggles),
        "synthetic": params.data.source == "synthetic",
        "verdict": verdict_of(high_recall, results.audit),
        "promised": caveat_of(high_recall) is None,
        "trial": unit,
        "sample_size": f"{counted_trials(high_recall.lesions_needed, unit, 'malignant')} in val, which has {number}",
        "kept": kept(high_recall),
        "band_caveat": threshold.abstention and caveat_of(threshold.abstention),
        "extremes": extremes_of(threshold),
        "whom": whom_of(threshold.subgroups, high_recall),
        "reduction": reduction_of(threshold),
        "chance": chance_of(results.evaluate.test.intervals.roc_auc),
        "baseline": baseline_of(results.shortcuts),
        "compression": compression_of(results.shortcuts),
        "covariates": covariates_of(results.shortcuts),
        "photographs_of_one": dependence_of(results.split.test, results.audit),
        "unit": results.split.test.unit,
        "near_duplicates": near_duplicates_of(results.audit, kaggles) if _has_folders(results, params) else "",
        "separation": separation_of(params.split.protocol),
        "people": people_of(results.audit, params.split.protocol),
        "preparation": preparation_of(params.preprocess),
        "prevalence": prevalence_of(high_recall.test.screening[OWN].prevalence),
        "points": POINTS,
        "own": OWN,
        "variants": VARIANTS,
        "pairs": PAIRS,
        "baselines": BASELINES,
        "interventions": INTERVENTIONS,
        "strata": STRATA,
        "no_site": NO_SITE,
    }
