"""What the page and the card are made from: the details of every stage whose numbers they show."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dermascreen.artifacts.dataset.details import AuditDetails, SplitDetails
from dermascreen.artifacts.model.training import TrainDetails
from dermascreen.artifacts.results.details.evaluation import (
    EvaluateDetails,
    ExternalDetails,
    ShortcutsDetails,
    ThresholdDetails,
)
from dermascreen.artifacts.results.details.explanation import ExplainDetails
from dermascreen.evidence.intervals import DELONG


@dataclass(frozen=True)
class Results:
    """The details of the stages, by stage."""

    audit: AuditDetails
    split: SplitDetails
    train: TrainDetails
    evaluate: EvaluateDetails
    threshold: ThresholdDetails
    shortcuts: ShortcutsDetails
    external: ExternalDetails
    explain: ExplainDetails

    @classmethod
    def read(cls, project: Path = Path()) -> Self:
        """Read them all; a DermascreenError says which is missing or broken."""
        return cls(
            audit=AuditDetails.read(project / AuditDetails.PATH),
            split=SplitDetails.read(project / SplitDetails.PATH),
            train=TrainDetails.read(project / TrainDetails.PATH),
            evaluate=EvaluateDetails.read(project / EvaluateDetails.PATH),
            threshold=ThresholdDetails.read(project / ThresholdDetails.PATH),
            shortcuts=ShortcutsDetails.read(project / ShortcutsDetails.PATH),
            external=ExternalDetails.read(project / ExternalDetails.PATH),
            explain=ExplainDetails.read(project / ExplainDetails.PATH),
        )

    @property
    def banded(self) -> bool:
        """Whether the cluster bootstrap is informative for test: where its AUC has DeLong's interval."""
        return DELONG in self.evaluate.test.intervals.roc_auc
