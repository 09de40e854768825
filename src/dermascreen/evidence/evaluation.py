"""What stage evaluate reports about the predictions of a split."""

from dataclasses import dataclass

from dermascreen.evidence.calibration import CalibrationReport, calibration_report
from dermascreen.evidence.intervals import MetricIntervals, metric_intervals
from dermascreen.evidence.metrics import Metrics, Scores, classification_metrics
from dermascreen.evidence.sample import Sample


@dataclass(frozen=True)
class CalibrationSteps:
    """Calibration before and after the temperature."""

    before: CalibrationReport
    after: CalibrationReport


@dataclass(frozen=True)
class SplitReport(Metrics):
    """The metrics of a split with their intervals, and its calibration."""

    lesions: int
    ece: float  # after the temperature
    intervals: MetricIntervals
    calibration: CalibrationSteps


def report_split(sample: Sample, uncalibrated: Scores, *, draws: int, seed: int) -> SplitReport:
    """Threshold-free metrics and rates at 0.5, with intervals, and calibration before and after the temperature.

    Parameters: `sample`, in which both classes must occur; `uncalibrated`, the probabilities before the temperature,
    shape (n,); `draws`, how many times patients are drawn, with `seed`.
    """
    label, probability, clusters = sample
    calibration = CalibrationSteps(
        before=calibration_report(label, uncalibrated, clusters.lesion, seed),
        after=calibration_report(label, probability, clusters.lesion, seed),
    )
    return SplitReport(
        **vars(classification_metrics(label, probability)),
        lesions=len(set(clusters.lesion.tolist())),
        ece=calibration.after.ece,
        intervals=metric_intervals(sample, draws=draws, seed=seed),
        calibration=calibration,
    )
