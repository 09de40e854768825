"""How well the label can be predicted without the lesion, and how much the network uses of that.

A baseline learns from cues that hold none of a lesion's structure; what counts is how much the network adds to the best
of them. An intervention removes a cue; if the network relied on it, its AUC falls. A stratum divides the photographs
into those with a cue and those without; a network that relies on it finds the cancers with it and misses the others.

Covariates, such as age and sex, are known without a photograph; what counts is how much the picture adds to them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.special import logit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from dermascreen.evidence.clusters import Clusters, Flags
from dermascreen.evidence.intervals import Difference, Intervals, auc_interval, compare_aucs, rate_intervals
from dermascreen.evidence.metrics import FEWEST_FOR_AUC, Labels, Scores, confusion, rates

SURE = 1e-6  # a probability nearer to 0 or 1 than this is taken as this


@dataclass(frozen=True)
class AucIntervals:
    roc_auc: Intervals


@dataclass(frozen=True)
class AucReport:
    """An AUC with its interval."""

    roc_auc: float
    intervals: AucIntervals


@dataclass(frozen=True)
class BaselineReport(AucReport):
    """The AUC of a model on cues alone, and by how much the network's exceeds it."""

    network_minus_baseline: float
    low: float  # ends of the interval of that difference
    high: float
    p_value: float | None  # of no difference; None where too few lesions are ranked differently

    @property
    def gain(self) -> Difference:
        """The network's AUC minus this one."""
        return Difference(self.network_minus_baseline, self.low, self.high)


@dataclass(frozen=True)
class GainReport:
    """An AUC minus another one on the same images."""

    difference: float
    low: float  # ends of its interval
    high: float
    p_value: float | None  # as for a baseline

    @property
    def gain(self) -> Difference:
        return Difference(self.difference, self.low, self.high)


@dataclass(frozen=True)
class CovariatesReport:
    """The AUC of a model on covariates, and of the network and that model together."""

    columns: tuple[str, ...]
    alone: AucReport
    together: AucReport
    picture_adds: GainReport  # to the covariates
    covariates_add: GainReport  # to the picture


@dataclass(frozen=True)
class InterventionReport:
    """The network's AUC without a cue, and how far it falls."""

    roc_auc: float
    fall: float
    low: float  # ends of the interval of the fall
    high: float
    p_value: float | None  # as for a baseline
    largest_logit_change: float

    @property
    def falls(self) -> bool:
        """Whether the AUC is shown to be lower without the cue."""
        return self.low > 0

    @property
    def change(self) -> Difference:
        """The change of the AUC: negative if it is lower without the cue."""
        return Difference(self.fall, self.low, self.high).turned


@dataclass(frozen=True)
class StratumIntervals:
    """The intervals of a side's rates and AUC; empty where undefined."""

    recall: Intervals = field(default_factory=dict)
    specificity: Intervals = field(default_factory=dict)
    roc_auc: Intervals = field(default_factory=dict)


@dataclass(frozen=True)
class SideReport:
    """How the network performs on one side of a stratum; None where a measure lacks images of a class."""

    n: int
    malignant: int
    intervals: StratumIntervals
    recall: float | None = None
    specificity: float | None = None
    roc_auc: float | None = None


@dataclass(frozen=True)
class StratumReport:
    """Images with a cue and without it; None for a side without images."""

    yes: SideReport | None = None
    no: SideReport | None = None


def baseline_scores(
    features: npt.NDArray[np.floating],
    label: Labels,
    test_features: npt.NDArray[np.floating],
    categorical: Flags | None = None,
) -> Scores:
    """Learn the label from `features`, (n, k), by gradient boosting; return the probability for each test row.

    The settings are scikit-learn's and were not tuned on any image. The same input always gives the same scores.

    Parameters: which features' numbers have no order, `categorical`, shape (k,).
    """
    with threadpool_limits(1, "openmp"):  # on shared cores its threads spend their time waiting for one another
        model = HistGradientBoostingClassifier(
            categorical_features=categorical, early_stopping=False, random_state=0
        ).fit(features, label)
        return np.asarray(model.predict_proba(test_features)[:, 1])


def beside_network(label: Labels, val: tuple[Scores, Scores], test: tuple[Scores, Scores]) -> Scores:
    """What a logistic regression on two scores, fitted on val, gives for test; shape (test images,).

    Parameters: the `label` of each image of val; for val and for test, the probabilities that a baseline gives and the
    logits of the network.
    """
    fit, apply = (
        np.column_stack([logit(np.clip(probability, SURE, 1 - SURE)), network]) for probability, network in (val, test)
    )
    return np.asarray(LogisticRegression(C=np.inf, max_iter=1000).fit(fit, label).decision_function(apply))


def report_covariates(
    label: Labels, network: Scores, clusters: Clusters, *, columns: tuple[str, ...], alone: Scores, both: Scores
) -> CovariatesReport:
    """The AUC of a model on the covariates in `columns`, and of it and the network together: `compare_aucs`.

    Parameters, each of n images: `label`; `network`, its logits; `clusters`; the scores of the model on covariates
    `alone`, and of `both`.
    """

    def gain(than: Scores) -> GainReport:
        compared = compare_aucs(label, both, than, clusters.patient)
        return GainReport(compared.difference, compared.low, compared.high, compared.p_value)

    return CovariatesReport(
        columns, report_auc(label, alone, clusters), report_auc(label, both, clusters), gain(alone), gain(network)
    )


def report_auc(label: Labels, score: Scores, clusters: Clusters) -> AucReport:
    """The AUC and its interval, by `intervals.auc_interval`; each of n images."""
    method, interval = auc_interval(label, score, clusters.patient)
    return AucReport(float(roc_auc_score(label, score)), AucIntervals({method: interval}))


def report_baselines(
    label: Labels, network: Scores, clusters: Clusters, baselines: Mapping[str, Scores]
) -> dict[str, BaselineReport]:
    """The AUC of each baseline, and how far the network's exceeds it, with interval and p-value: `compare_aucs`.

    Parameters, each of n images: `label`; `network`, its logits; `clusters`; the scores of each of `baselines`.
    """
    report = {}
    for name, score in baselines.items():
        compared = compare_aucs(label, network, score, clusters.patient)
        report[name] = BaselineReport(
            **vars(report_auc(label, score, clusters)),
            network_minus_baseline=compared.difference,
            low=compared.low,
            high=compared.high,
            p_value=compared.p_value,
        )
    return report


def report_interventions(
    label: Labels, network: Scores, clusters: Clusters, changed: Mapping[str, Scores]
) -> dict[str, InterventionReport]:
    """How far the network's AUC falls under each intervention, with its interval and p-value: `compare_aucs`.

    Parameters, each of n images: `label`; `network`, its logits; `clusters`; the logits under each, `changed`.
    """
    report = {}
    for name, logits in changed.items():
        compared = compare_aucs(label, network, logits, clusters.patient)
        report[name] = InterventionReport(
            roc_auc=compared.second,
            fall=compared.difference,
            low=compared.low,
            high=compared.high,
            p_value=compared.p_value,
            largest_logit_change=float(np.abs(logits - network).max()),
        )
    return report


def report_strata(
    label: Labels, network: Scores, called: Flags, clusters: Clusters, strata: Mapping[str, Flags]
) -> dict[str, StratumReport]:
    """How the network performs on both sides of each stratum.

    Parameters, each of n images: `label`; `network`, its logits; `called`, what it calls malignant; `clusters`; which
    images each of `strata` holds.
    """

    def side(rows: Flags) -> SideReport | None:
        return _side(label[rows], network[rows], called[rows], clusters[rows]) if rows.any() else None

    return {name: StratumReport(yes=side(inside), no=side(~inside)) for name, inside in strata.items()}


def _side(label: Labels, network: Scores, called: Flags, clusters: Clusters) -> SideReport:
    """Counts, and recall, specificity and AUC where there are enough images of the classes that they need."""
    counts = confusion(label, called)
    at, around, auc = rates(counts), rate_intervals(label, called, clusters), None
    if min(counts.malignant, counts.benign) >= FEWEST_FOR_AUC:
        auc = report_auc(label, network, clusters)
    return SideReport(
        n=counts.total,
        malignant=counts.malignant,
        recall=at.recall,
        specificity=at.specificity,
        roc_auc=auc.roc_auc if auc else None,
        intervals=StratumIntervals(
            recall=around.recall,
            specificity=around.specificity,
            roc_auc=auc.intervals.roc_auc if auc else {},
        ),
    )


def near_duplicate_in(lesion: npt.NDArray[np.intp], folder: Flags) -> Flags:
    """Which photographs have another one of their lesion in `folder`; all of shape (n,)."""
    members = np.bincount(lesion, weights=folder)
    return members[lesion] - folder > 0
