"""What the stages on predictions found out: evaluate, threshold, shortcuts and external."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field

from dermascreen.artifacts.dataset.details import LeftOutCounts
from dermascreen.artifacts.results.shortcuts import REENCODED
from dermascreen.core.records import Details, Number, details_file, known, section
from dermascreen.evidence.clusters import CONFIDENCE, Clusters, Flags
from dermascreen.evidence.evaluation import SplitReport
from dermascreen.evidence.external import SiteReport
from dermascreen.evidence.intervals import main_interval
from dermascreen.evidence.metrics import Labels, Scores
from dermascreen.evidence.operating_points import OperatingPoints
from dermascreen.evidence.point_reports import (
    BandReport,
    FnReduction,
    HighRecallReport,
    PointReport,
    SourceProtocol,
    fn_reduction,
    report_band,
    report_high_recall,
    report_point,
    report_source_protocol,
)
from dermascreen.evidence.sample import Sample
from dermascreen.evidence.shortcuts import (
    AucReport,
    BaselineReport,
    CovariatesReport,
    InterventionReport,
    StratumReport,
    report_auc,
    report_baselines,
    report_interventions,
    report_strata,
)
from dermascreen.evidence.subgroups import Subgroups, report_subgroups
from dermascreen.evidence.thresholds import NO_GROUPS, Groups


class EvaluateDetails(Details):
    """The metrics of the predictions for val and test."""

    PATH: ClassVar[Path] = details_file("evaluate")

    temperature: float
    tta: bool  # whether logits are means over the eight symmetries of an image
    val: SplitReport
    test: SplitReport

    @property
    def headline(self) -> dict[str, Number]:
        low, high = main_interval(self.test.intervals.roc_auc)
        return {
            "auc": self.test.roc_auc,
            "auc_low": low,
            "auc_high": high,
            "val_auc": self.val.roc_auc,
            "ece": self.test.ece,
        }

    @property
    def row(self) -> dict[str, float]:
        low, high = main_interval(self.test.intervals.roc_auc)
        return {
            **section(
                "test",
                roc_auc=self.test.roc_auc, roc_auc_low=low, roc_auc_high=high,
                partial_roc_auc=self.test.partial_roc_auc, average_precision=self.test.average_precision,
                brier=self.test.brier, log_loss=self.test.log_loss, ece=self.test.ece,
            ),
            **section("val", roc_auc=self.val.roc_auc, average_precision=self.val.average_precision),
            **section("calibration", temperature=self.temperature),
        }  # fmt: skip


class ThresholdDetails(Details):
    """The results on val and test of the operating points, which are chosen on val."""

    PATH: ClassVar[Path] = details_file("threshold")

    default: PointReport
    f1_optimal: PointReport
    youden: PointReport
    high_recall: HighRecallReport
    abstention: BandReport | None
    fn_reduction: FnReduction  # on test
    source_protocol: SourceProtocol
    subgroups: Subgroups = Field(default=Subgroups(CONFIDENCE, {}))  # where the data set has a table

    @classmethod
    def measure(
        cls,
        points: OperatingPoints,
        val: Sample,
        test: Sample,
        groups: tuple[Mapping[str, Groups], Mapping[str, Groups]] = (NO_GROUPS, NO_GROUPS),
    ) -> Self:
        """Apply the points to both splits, and for comparison the source project's protocol to test.

        Parameters: `groups` of the images of val and of test, by the name of a column.
        """
        default = report_point(points.default, val, test)
        high_recall = report_high_recall(points.high_recall, val, test)
        return cls(
            default=default,
            f1_optimal=report_point(points.f1_optimal, val, test),
            youden=report_point(points.youden, val, test),
            high_recall=high_recall,
            abstention=None if points.abstention is None else report_band(points.abstention, val, test),
            fn_reduction=fn_reduction(default.test.confusion, high_recall.test.confusion),
            source_protocol=report_source_protocol(test, points.high_recall.target_recall),
            subgroups=report_subgroups((val, groups[0]), (test, groups[1]), points.high_recall),
        )

    @property
    def points(self) -> OperatingPoints:
        """The operating points themselves."""
        return OperatingPoints(self.default, self.f1_optimal, self.youden, self.high_recall, self.abstention)

    @property
    def headline(self) -> dict[str, Number]:
        test = self.high_recall.test
        return known(
            recall=test.recall,
            specificity=test.specificity,
            missed=test.confusion.fn,
            guaranteed=self.high_recall.guaranteed,
            missed_half=self.default.test.confusion.fn,
        )

    @property
    def row(self) -> dict[str, float]:
        test, default = self.high_recall.test, self.default.test
        return {
            **section(
                "high_recall",
                threshold=self.high_recall.threshold, guaranteed=self.high_recall.guaranteed,
                recall=test.recall, specificity=test.specificity,
                missed=test.confusion.fn, false_alarms=test.confusion.fp,
            ),
            **section("default", missed=default.confusion.fn, false_alarms=default.confusion.fp),
        }  # fmt: skip


class ShortcutsDetails(Details):
    """How well the label can be predicted without the lesion, and how much the network uses of that."""

    PATH: ClassVar[Path] = details_file("shortcuts")

    network: AucReport
    baselines: dict[str, BaselineReport]
    interventions: dict[str, InterventionReport]
    strata: dict[str, StratumReport]
    not_assessable: tuple[str, ...]  # what the data does not record, so that results by it are unknown
    covariates: CovariatesReport | None = None  # None where the data tell neither age, sex nor body site

    @classmethod
    def measure(
        cls,
        label: Labels,
        network: Scores,
        called: Flags,
        clusters: Clusters,
        *,
        baselines: Mapping[str, Scores],
        changed: Mapping[str, Scores],
        strata: Mapping[str, Flags],
        not_assessable: tuple[str, ...],
        covariates: CovariatesReport | None = None,
    ) -> Self:
        """All numbers about shortcuts, from the test images.

        Parameters, each of n images: `label`; `network`, its logits; `called`, what it calls malignant at
        high_recall; `clusters`; the scores of each of `baselines`; the logits under each intervention, `changed`; which
        images each of `strata` holds. Besides: `not_assessable`, what the data do not record; and what was found of
        `covariates`, if the data have any.
        """
        return cls(
            network=report_auc(label, network, clusters),
            baselines=report_baselines(label, network, clusters, baselines),
            interventions=report_interventions(label, network, clusters, changed),
            strata=report_strata(label, network, called, clusters, strata),
            not_assessable=not_assessable,
            covariates=covariates,
        )

    @property
    def best_baseline(self) -> str:
        """The name of the baseline with the highest AUC."""
        return max(self.baselines, key=lambda name: self.baselines[name].roc_auc)

    @property
    def reencoded(self) -> InterventionReport:
        """What becomes of the network's AUC with all files saved again alike."""
        return self.interventions[REENCODED]

    @property
    def headline(self) -> dict[str, Number]:
        best = self.baselines[self.best_baseline]
        return {"auc_gain": best.network_minus_baseline, "gain_low": best.low}

    @property
    def row(self) -> dict[str, float]:
        best = self.baselines[self.best_baseline]
        return section(
            "shortcuts", auc_gain=best.network_minus_baseline, auc_gain_low=best.low, best_baseline_auc=best.roc_auc
        )


@dataclass(frozen=True)
class SiteDetails(SiteReport):
    """How the frozen model performs on another site, and how many of its photographs were used."""

    images: int
    left_out: LeftOutCounts
    excluded_training_lesions: int  # photographs whose lesion is in train, selection, val or test
    used: int

    @classmethod
    def of(cls, report: SiteReport, *, images: int, left_out: LeftOutCounts, used: int) -> Self:
        """`report` on `used` of `images` photographs; the others show a lesion that was trained on."""
        return cls(**vars(report), images=images, left_out=left_out, excluded_training_lesions=images - used, used=used)


class ExternalDetails(Details):
    """How the frozen model performs on other sites, if there are any."""

    PATH: ClassVar[Path] = details_file("external")

    sites: dict[str, SiteDetails]

    @property
    def row(self) -> dict[str, float]:
        named: dict[str, float] = {}
        for name, site in self.sites.items():
            allowed = re.sub(r"[^\w.\- ]", "_", name)  # MLflow allows no other characters in a name
            while allowed in named:
                allowed += "_"
            named[allowed] = site.roc_auc
        return {f"sites/{name}/roc_auc": auc for name, auc in named.items()}
