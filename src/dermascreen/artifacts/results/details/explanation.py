"""What stage explain found out: what its maps show, and whether to believe them."""

from pathlib import Path
from typing import ClassVar, Literal

from dermascreen.core.records import Details, Number, Part, details_file, section


class OutcomeCounts(Part):
    """Images by label and decision at the high-recall point."""

    fn: int
    fp: int
    tp: int
    tn: int


Relation = Literal["within", "interval above", "at most", "below", "at least"]  # within: of 0, to either side


class Check(Part):
    """What a check of the maps found, the criterion that was set beforehand, and whether it is met."""

    value: float | None  # None where too few maps show anything
    low: float | None = None  # ends of its interval, if it has one
    high: float | None = None
    by_layer: dict[str, float | None] | None = None  # of the randomisation, from the head to the first layer
    relation: Relation  # to the criterion, in which the value, or its interval, must be
    criterion: float
    passed: bool


class Checks(Part):
    """Every check of a model's maps, on images drawn at random."""

    images: int
    flat: int  # images that were left out, as their map is flat
    passed: int
    failed: tuple[str, ...]
    checks: dict[str, Check]


class ExplainDetails(Details):
    """The kind of the maps, what they show and whether to believe it."""

    PATH: ClassVar[Path] = details_file("explain")

    layer: str
    variant: str
    images: int
    flat_maps: int
    outcomes: OutcomeCounts
    frame_energy: float | None  # the mean share of a map in the frame, where a lesion seldom is; None if all are flat
    frame_energy_uniform: float  # that of a uniform map
    believable: Checks

    @property
    def headline(self) -> dict[str, Number]:
        return {"map_fails": len(self.believable.failed)}

    @property
    def row(self) -> dict[str, float]:
        return section(
            "maps",
            failed_checks=len(self.believable.failed),
            frame_energy=self.frame_energy,
            flat_share=self.flat_maps / self.images if self.images else None,
        )
