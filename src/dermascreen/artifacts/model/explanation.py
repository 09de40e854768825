"""How a model's maps are made, and whether to believe them."""

from pathlib import Path
from typing import ClassVar, Literal

from dermascreen.core.records import Record


class Explanation(Record):
    """The layer and variant of the maps, and the checks of them."""

    PATH: ClassVar[Path] = Path("models/explanation.json")

    layer: str
    variant: Literal["grad_cam", "hires_cam", "guided_grad_cam"]
    checks: list[str]
    failed: list[str]
    network: str | None = None  # sha256 of the exported network whose weights were explained; older files lack it
