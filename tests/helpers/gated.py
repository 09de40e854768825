"""Details that a model's gates look at: by default those of one that passes all."""

import dataclasses
from functools import cache
from typing import NamedTuple

import reported_models

from dermascreen.artifacts.results.details.evaluation import ShortcutsDetails, ThresholdDetails
from dermascreen.artifacts.results.details.explanation import ExplainDetails
from dermascreen.report.results import Results

GAINS = {"frame": (0.05, 0.02, 0.08), "colour": (0.06, 0.01, 0.11)}  # over each baseline, with its interval


class Gated(NamedTuple):
    """The details of three stages, in the order of the gates."""

    shortcuts: ShortcutsDetails
    threshold: ThresholdDetails
    explain: ExplainDetails


@cache
def _results() -> Results:
    return reported_models.good().results


def gated(failed: tuple[str, ...] = (), **high_recall: bool) -> Gated:
    """With these checks of the maps `failed`, and this said of the high-recall point."""
    results = _results()
    baselines = {
        name: dataclasses.replace(results.shortcuts.baselines[name], network_minus_baseline=gain, low=low, high=high)
        for name, (gain, low, high) in GAINS.items()
    }
    again = dataclasses.replace(results.shortcuts.reencoded, fall=0.01, low=-0.021, high=0.041)
    chosen = {"guaranteed": True, "reached": True, "target_recall": 0.95} | high_recall
    point = dataclasses.replace(results.threshold.high_recall, **chosen)
    believable = results.explain.believable.model_copy(update={"failed": failed})
    return Gated(
        results.shortcuts.model_copy(update={"baselines": baselines, "interventions": {"reencoded": again}}),
        results.threshold.model_copy(update={"high_recall": point}),
        results.explain.model_copy(update={"believable": believable}),
    )
