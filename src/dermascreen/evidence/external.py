"""How a frozen model performs on photographs of another site, compared with test here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from dermascreen.evidence.calibration import expected_calibration_error
from dermascreen.evidence.intervals import (
    WILSON,
    Difference,
    Interval,
    Intervals,
    RateIntervals,
    main_interval,
    metric_intervals,
    rate_intervals,
)
from dermascreen.evidence.metrics import Confusion, at_threshold, classification_metrics
from dermascreen.evidence.operating_points import called_malignant
from dermascreen.evidence.sample import Sample


@dataclass(frozen=True)
class Measures:
    """Measures that need no threshold."""

    roc_auc: float
    partial_roc_auc: float
    average_precision: float
    brier: float
    ece: float


@dataclass(frozen=True)
class MeasureIntervals:
    roc_auc: Intervals
    partial_roc_auc: Intervals
    average_precision: Intervals
    brier: Intervals


@dataclass(frozen=True)
class MeasureFalls:
    """Each measure on test here minus the same on the site.

    Not of the average precision, which another share of malignant images changes with a model that is no worse.
    """

    roc_auc: Difference
    partial_roc_auc: Difference
    brier: Difference


@dataclass(frozen=True)
class PointRates:
    """Rates at a threshold; None where the denominator is 0."""

    recall: float | None
    specificity: float | None
    precision: float | None


@dataclass(frozen=True)
class PointFalls:
    """Each rate on test here minus the same on the site; not of the precision, for the same reason."""

    recall: Difference
    specificity: Difference


@dataclass(frozen=True)
class SitePoint(PointRates):
    """The rates of a site at a threshold, those of test here, and the falls between them."""

    threshold: float
    confusion: Confusion
    intervals: RateIntervals  # Wilson's
    internal: PointRates
    fall: PointFalls


@dataclass(frozen=True)
class SiteReport(Measures):
    """The measures of a site, those of test here, and the falls between them."""

    malignant: int
    intervals: MeasureIntervals
    internal: Measures
    fall: MeasureFalls
    points: dict[str, SitePoint]  # by operating point


def difference_interval(first: float, around: Interval, second: float, other: Interval) -> Interval:
    """The interval of `first` - `second`, two independent estimates, from that of each (Zou and Donner 2008, MOVER).

    With Wilson's intervals of two shares it is Newcombe's (1998).
    """
    difference = first - second
    return Interval(
        difference - math.hypot(first - around.low, other.high - second),
        difference + math.hypot(around.high - first, second - other.low),
    )


def report_site(
    site: Sample, internal: Sample, thresholds: Mapping[str, float], *, draws: int, seed: int
) -> SiteReport:
    """Every measure of the site, of `internal` (test here), and the fall between them with its interval.

    Parameters: samples with at least FEWEST_FOR_AUC images of each class; `thresholds` by operating point; `draws`, how
    many times patients are drawn, with `seed`.
    """
    there, here = _measures(site), _measures(internal)
    around_there, around_here = (_intervals(sample, draws, seed) for sample in (site, internal))
    return SiteReport(
        **vars(there),
        malignant=int(site.label.sum()),
        intervals=around_there,
        internal=here,
        fall=MeasureFalls(**_falls(MeasureFalls, here, around_here, there, around_there)),
        points={name: _at(site, internal, threshold) for name, threshold in thresholds.items()},
    )


def _measures(sample: Sample) -> Measures:
    found = classification_metrics(sample.label, sample.probability)
    return Measures(
        roc_auc=found.roc_auc,
        partial_roc_auc=found.partial_roc_auc,
        average_precision=found.average_precision,
        brier=found.brier,
        ece=expected_calibration_error(sample.label, sample.probability),
    )


def _intervals(sample: Sample, draws: int, seed: int) -> MeasureIntervals:
    found = metric_intervals(sample, draws=draws, seed=seed)
    return MeasureIntervals(
        roc_auc=found.roc_auc,
        partial_roc_auc=found.partial_roc_auc,
        average_precision=found.average_precision,
        brier=found.brier,
    )


def _at(site: Sample, internal: Sample, threshold: float) -> SitePoint:
    there, here = (at_threshold(sample.label, sample.probability, threshold) for sample in (site, internal))
    around_there, around_here = (  # Wilson's, from which those of the falls are computed (Newcombe's)
        rate_intervals(sample.label, called_malignant(sample.probability, threshold), sample.clusters, WILSON)
        for sample in (site, internal)
    )
    return SitePoint(
        threshold=threshold,
        recall=there.recall,
        specificity=there.specificity,
        precision=there.precision,
        confusion=there.confusion,
        intervals=around_there,
        internal=PointRates(recall=here.recall, specificity=here.specificity, precision=here.precision),
        fall=PointFalls(**_falls(PointFalls, here, around_here, there, around_there)),
    )


def _falls(
    kind: type[MeasureFalls | PointFalls], here: object, around_here: object, there: object, around_there: object
) -> dict[str, Difference]:
    """The fall of each measure that `kind` names: `here` minus `there`, and the interval of that difference."""
    return {
        name: _fall(
            getattr(here, name), _main(getattr(around_here, name)),
            getattr(there, name), _main(getattr(around_there, name)),
        )
        for name in (one.name for one in fields(kind))
    }  # fmt: skip


def _main(intervals: Intervals) -> Interval | None:
    return main_interval(intervals) if intervals else None


def _fall(here: float | None, of_here: Interval | None, there: float | None, of_there: Interval | None) -> Difference:
    """`here` minus `there`, with its interval."""
    if here is None or there is None:
        return Difference(None, None, None)
    if of_here is None or of_there is None:
        return Difference(here - there, None, None)
    return Difference(here - there, *difference_interval(here, of_here, there, of_there))
