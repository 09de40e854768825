"""The numbers that models are compared by, and that what stages write is read as it was."""

import dataclasses
import json
import re

import numpy as np
import pytest
import reported_models
from pydantic import ValidationError
from worked_samples import alone, single

from dermascreen.artifacts.dataset.details import DownloadDetails, PreprocessDetails
from dermascreen.artifacts.results.details.evaluation import ExternalDetails, ShortcutsDetails, ThresholdDetails
from dermascreen.artifacts.results.details.reference import ReferenceDetails
from dermascreen.core.records import Details
from dermascreen.evidence.thresholds import choose_points

HEADLINE = (
    "near_dups", "epoch_val_auc", "auc", "auc_low", "auc_high", "val_auc", "ece",
    "recall", "specificity", "missed", "guaranteed", "missed_half", "auc_gain", "gain_low", "map_fails",
)  # fmt: skip


@pytest.fixture(scope="module")
def results():
    return reported_models.good().results


def test_a_person_compares_by_few_numbers_with_short_names(results) -> None:
    found = {name: value for details in vars(results).values() for name, value in details.headline.items()}
    assert sorted(found) == sorted(HEADLINE)
    assert max(map(len, found)) <= 16
    evaluate, high = results.evaluate, results.threshold.high_recall
    redrawn, best = evaluate.test.intervals.roc_auc["cluster_bootstrap"], results.shortcuts.baselines["thumbnail"]
    assert max(row.roc_auc for row in results.shortcuts.baselines.values()) == best.roc_auc
    assert found == {
        "near_dups": 1,
        "epoch_val_auc": results.train.best_val_roc_auc,
        "auc": evaluate.test.roc_auc,
        "auc_low": redrawn.low,  # DeLong's knows nothing of lesions
        "auc_high": redrawn.high,
        "val_auc": evaluate.val.roc_auc,
        "ece": evaluate.test.calibration.after.ece,
        "recall": high.test.recall,
        "specificity": high.test.specificity,
        "missed": high.test.confusion.fn,
        "guaranteed": True,
        "missed_half": results.threshold.default.test.confusion.fn,
        "auc_gain": best.network_minus_baseline,
        "gain_low": best.low,
        "map_fails": 1,
    }


def test_a_models_row_is_short_and_in_sections_and_holds_the_headline(results) -> None:
    rows = [details.row for details in vars(results).values()]
    row = {name: value for part in rows for name, value in part.items()}
    assert len(row) == sum(map(len, rows)) <= 35
    for name, value in row.items():
        assert re.fullmatch(r"[\w.\-]+(/[\w.\- ]+)+", name)  # as MLflow wants them
        assert type(value) is float
    headline = {float(value) for details in vars(results).values() for value in details.headline.values()}
    assert headline <= set(row.values())
    assert row["sites/Elsewhere _b__ _1/roc_auc"] == results.external.sites["Elsewhere <b>| $1"].roc_auc


def test_sites_whose_names_differ_in_other_characters_alone_have_a_metric_each(results) -> None:
    [site] = results.external.sites.values()
    sites = {f"clinic {name}": dataclasses.replace(site, roc_auc=auc) for name, auc in (("(1)", 0.25), ("[1]", 0.75))}
    row = ExternalDetails(sites=sites).row
    assert row == {"sites/clinic _1_/roc_auc": 0.25, "sites/clinic _1__/roc_auc": 0.75}


def test_what_is_no_number_is_left_out() -> None:
    useless = reported_models.useless().results
    assert "maps/frame_energy" not in useless.explain.row
    assert None not in [value for details in vars(useless).values() for value in details.row.values()]


@pytest.mark.parametrize("details", [DownloadDetails, PreprocessDetails, ReferenceDetails])
def test_others_have_no_number_to_compare_by(details: type[Details]) -> None:
    nothing = details.model_construct()
    assert (nothing.headline, nothing.row) == ({}, {})


def test_without_a_band_there_is_none() -> None:
    rng = np.random.default_rng(0)
    sample = single(np.tile([0, 1], 30), rng.random(60))
    for target, there in ((None, False), (0.8, True)):
        points = choose_points(sample, 0.95, 0.95, target)
        details = ThresholdDetails.measure(points, sample, sample)
        assert (details.abstention is not None) == there
        assert list(details.points) == list(points)
        assert details.points.thresholds == points.thresholds
        assert details.points.in_use == points.in_use


LABEL = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
NETWORK = np.array([-2.0, -1.5, -1.0, 0.2, -0.4, -0.3, 0.5, 1.0, 2.0, 3.0])


def test_the_whole_report_of_shortcuts_is_json() -> None:
    details = ShortcutsDetails.measure(
        LABEL,
        NETWORK,
        NETWORK >= -0.35,
        alone(10),
        baselines={"file": np.full(10, 0.5)},
        changed={"exif_stripped": NETWORK},
        strata={"exif": np.zeros(10, dtype=bool)},
        not_assessable=("skin type",),
    )
    text = json.dumps(details.model_dump(mode="json"), allow_nan=False)
    assert ShortcutsDetails.model_validate_json(text, strict=True) == details
    assert list(json.loads(text)) == ["network", "baselines", "interventions", "strata", "not_assessable", "covariates"]
    assert details.not_assessable == ("skin type",)


def test_a_key_that_no_stage_writes_is_refused_however_deep_it_lies(results) -> None:
    content = results.external.model_dump(mode="json")
    site = next(iter(content["sites"].values()))
    site["points"]["default"]["intervals"]["f1"] = {}
    with pytest.raises(ValidationError, match="f1"):
        ExternalDetails.model_validate_json(json.dumps(content), strict=True)
