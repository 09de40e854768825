"""The scores that models on cues alone, and the network without a cue, give the test images."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dermascreen.artifacts.dataset.columns import Label, LesionNumber, Name, Numbers, Score
from dermascreen.core.tables import Table

BASELINES = ("file", "frame", "colour", "thumbnail")  # what models on cues learn from
REENCODED = "reencoded"  # all files saved again in the same way


@dataclass(frozen=True)
class ShortcutScores(Table):
    """Scores of every test image."""

    PATH: ClassVar[Path] = Path("reports/shortcuts.csv")

    path: Name
    label: Label
    lesion: LesionNumber
    network: Score  # its logits
    file: Score  # the probability that each baseline gives
    frame: Score
    colour: Score
    thumbnail: Score
    frame_replaced: Score  # the network's logits under each intervention
    reencoded: Score
    exif_stripped: Score
    covariates: Score  # the probability that a model on age, sex and body site gives; 0 where the data tell none
    with_covariates: Score  # what it and the network give together; the network's logit where the data tell none

    @property
    def baselines(self) -> dict[str, Numbers]:
        return {name: getattr(self, name) for name in BASELINES}
