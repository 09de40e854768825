"""Operating points applied to val and test, and the results that the source project's own protocol would have given."""

from dataclasses import dataclass, field

from sklearn.metrics import roc_auc_score

from dermascreen.evidence.clusters import EffectiveSizes
from dermascreen.evidence.intervals import Intervals, RateIntervals, rate_intervals, share_intervals
from dermascreen.evidence.metrics import Confusion, Rates, at_threshold, confusion, rates, ratio
from dermascreen.evidence.operating_points import (
    BENIGN,
    MALIGNANT,
    REFER,
    Band,
    HighRecall,
    Point,
    called_malignant,
    trials,
)
from dermascreen.evidence.sample import Sample
from dermascreen.evidence.screening import Screening, screening
from dermascreen.evidence.thresholds import (
    EMPIRICAL_RULE,
    best_points,
    by_lesion,
    by_patient,
    empirical_threshold,
    spares_some,
)

OPTIMISTIC = "Optimistic: these thresholds were chosen on the very test images that they are scored on."


@dataclass(frozen=True)
class MeasuredRates(Rates):
    """The rates at a point, their intervals, and what they mean in screening."""

    intervals: RateIntervals
    screening: Screening


@dataclass(frozen=True)
class PointReport(Point):
    """A point, and its rates on both splits."""

    val: MeasuredRates
    test: MeasuredRates


@dataclass(frozen=True)
class Found:
    """Malignant lesions, or patients with any, and of how many each such lesion is found in every photograph of it."""

    number: int
    found: int
    intervals: Intervals  # of the share

    @property
    def share(self) -> float:
        return self.found / self.number


@dataclass(frozen=True)
class HighRecallReport(HighRecall, PointReport):
    """The high-recall point, and its rates on both splits."""

    test_lesions: Found
    test_patients: Found | None = field(default=None, kw_only=True)  # where the recall is promised of patients

    @property
    def promised(self) -> Found:
        """What test shows of the trials that the recall is promised of."""
        return self.test_patients or self.test_lesions


@dataclass(frozen=True)
class DecidedIntervals:
    coverage: Intervals
    recall: Intervals
    specificity: Intervals
    error: Intervals


@dataclass(frozen=True)
class DecidedRates:
    """How many images a band decides, and how well: every rate is of the decided images.

    A rate with denominator 0 is None, as in `metrics.Rates`.
    """

    coverage: float  # the share that is decided
    referred: int
    decided: int
    recall: float | None
    specificity: float | None
    precision: float | None
    error: float | None  # the share of wrong decisions
    confusion: Confusion
    intervals: DecidedIntervals


@dataclass(frozen=True)
class BandReport(Band):
    """A band, and its rates on both splits."""

    val: DecidedRates
    test: DecidedRates


@dataclass(frozen=True)
class FnReduction:
    """How many fewer cancers high_recall misses than default, as a count and as a share of what default misses."""

    default_fn: int
    high_recall_fn: int
    fewer_missed: int
    relative: float | None


@dataclass(frozen=True)
class TunedPoint(Point, Rates):
    """A point and its rates on the images that it was chosen on."""


@dataclass(frozen=True)
class TunedHighRecall(TunedPoint):
    target_recall: float
    reached: bool  # False where this takes calling every benign image malignant as well


@dataclass(frozen=True)
class TunedPoints:
    """The points of the source project's protocol, with the AUC."""

    roc_auc: float
    default: TunedPoint
    f1_optimal: TunedPoint
    youden: TunedPoint
    high_recall: TunedHighRecall
    fn_reduction: FnReduction


@dataclass(frozen=True)
class SourceProtocol:
    """The results of the source project's protocol on test, and the note that belongs to them."""

    note: str
    test: TunedPoints


def report_point(point: Point, val: Sample, test: Sample) -> PointReport:
    """Apply a point to both splits."""
    return PointReport(**vars(point), val=measured(val, point), test=measured(test, point))


def report_high_recall(point: HighRecall, val: Sample, test: Sample) -> HighRecallReport:
    """Apply the high-recall point to both splits."""
    _, unit = trials(point)

    def found(worst: Sample) -> Found:
        flagged = called_malignant(worst.probability, point.threshold)
        return Found(len(flagged), int(flagged.sum()), share_intervals(flagged, worst.clusters))

    return HighRecallReport(
        **vars(point), val=measured(val, point), test=measured(test, point),
        test_lesions=found(by_lesion(test, label=1)),
        test_patients=found(by_patient(test, label=1)) if unit == "patient" else None,
    )  # fmt: skip


def measured(sample: Sample, point: Point) -> MeasuredRates:
    """Rates at a point with their intervals, and what they mean in screening."""
    called = called_malignant(sample.probability, point.threshold)
    at = rates(confusion(sample.label, called))
    return MeasuredRates(
        **vars(at),
        intervals=rate_intervals(sample.label, called, sample.clusters),
        screening=screening(at.confusion, EffectiveSizes.of(sample.label, called, sample.clusters)),
    )


def report_band(band: Band, val: Sample, test: Sample) -> BandReport:
    """Apply a band to both splits."""
    return BandReport(**vars(band), val=decided(val, band), test=decided(test, band))


def decided(sample: Sample, band: Band) -> DecidedRates:
    """How many images the band decides, and how well."""
    decision = band.decide(sample.probability)
    # Of both, because scikit-learn has no confusion of no images, which is what a band may decide.
    flagged, called = (confusion(sample.label, calls) for calls in (decision != BENIGN, decision == MALIGNANT))
    counts = Confusion(tn=flagged.tn, fp=called.fp, fn=flagged.fn, tp=called.tp)
    rows = decision != REFER
    label, clusters, malignant = sample.label[rows], sample.clusters[rows], decision[rows] == MALIGNANT
    at, of_rates = rates(counts), rate_intervals(label, malignant, clusters)
    return DecidedRates(
        coverage=float(rows.mean()),
        referred=int((~rows).sum()),
        decided=counts.total,
        recall=at.recall,
        specificity=at.specificity,
        precision=at.precision,
        error=ratio(counts.fp + counts.fn, counts.total),
        confusion=counts,
        intervals=DecidedIntervals(
            coverage=share_intervals(rows, sample.clusters),
            recall=of_rates.recall,
            specificity=of_rates.specificity,
            error=share_intervals(malignant != (label == 1), clusters),
        ),
    )


def report_source_protocol(test: Sample, target_recall: float) -> SourceProtocol:
    """The results of the source project's protocol: thresholds chosen on the test images, by shares of images."""

    def at(point: Point) -> Rates:
        return at_threshold(test.label, test.probability, point.threshold)

    chosen = {name: TunedPoint(**vars(point), **vars(at(point))) for name, point in best_points(test).items()}
    threshold = empirical_threshold(test.probability[test.label == 1], target_recall)
    point = Point(threshold, f"highest that reaches the target recall: {EMPIRICAL_RULE}")
    high_recall = TunedHighRecall(
        **vars(point), **vars(at(point)), target_recall=target_recall, reached=spares_some(test, threshold)
    )
    return SourceProtocol(
        OPTIMISTIC,
        TunedPoints(
            **chosen,
            roc_auc=float(roc_auc_score(test.label, test.probability)),
            high_recall=high_recall,
            fn_reduction=fn_reduction(chosen["default"].confusion, high_recall.confusion),
        ),
    )


def fn_reduction(default: Confusion, high_recall: Confusion) -> FnReduction:
    """How many fewer cancers high_recall misses than default."""
    fewer = default.fn - high_recall.fn
    return FnReduction(default.fn, high_recall.fn, fewer, ratio(fewer, default.fn))
