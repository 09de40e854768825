"""Photographs and their maps, which stage explain saves and stage report puts on the page."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dermascreen.artifacts.results.pictures import PICTURES, Pictures
from dermascreen.data.photographs.photograph import read_photograph
from dermascreen.evidence.intervals import Interval
from dermascreen.evidence.operating_points import BENIGN, MALIGNANT, Point

LARGEST = 288  # pixels a side on the page
QUALITY = 85  # of their JPEG


@dataclass(frozen=True)
class Picture:
    """A test image and its map."""

    path: str
    label: int
    probability: float
    low: float  # ends of its interval
    high: float
    outcome: str  # at the high_recall point: tp, fn, fp or tn
    image: str  # an address for a page, as are the next three
    overlay: str
    near_benign: str  # the nearest training image of that class, by embedding
    near_malignant: str
    flat: bool

    def called(self, point: Point) -> str:
        """The decision at an operating point."""
        return str(point.decide(self.probability))

    @property
    def interval(self) -> Interval:
        return Interval(self.low, self.high)

    @property
    def actual(self) -> str:
        return MALIGNANT if self.label else BENIGN


def read_pictures(folder: Path = PICTURES) -> list[Picture]:
    """What stage explain wrote to `folder`, each image as a data URI, so that a page needs no other file.

    Raises a DermascreenError if the table is missing or lacks a column.
    """
    table = Pictures.read(folder / Pictures.PATH.name)

    def uris(names: Iterable[str]) -> list[str]:
        return [data_uri(folder / name) for name in names]

    return [
        Picture(*row)
        for row in zip(
            table.path.tolist(), table.label.tolist(), table.probability.tolist(), table.low.tolist(),
            table.high.tolist(), table.outcome.tolist(), uris(table.image), uris(table.overlay),
            uris(table.near_benign), uris(table.near_malignant), table.flat.tolist(), strict=True,
        )
    ]  # fmt: skip


def data_uri(path: Path) -> str:
    """An image file as a data URI: a JPEG, a tenth of the PNG's size, with at most LARGEST pixels a side.

    Raises ImageError for a file that is not whole. The project may be another person's: it is opened like a photograph.
    """
    content = io.BytesIO()
    image = read_photograph(path)
    image.thumbnail((LARGEST, LARGEST))
    image.save(content, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
