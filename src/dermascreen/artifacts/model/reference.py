"""The embeddings of the training images, in a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dermascreen.artifacts.dataset.columns import Label, Name
from dermascreen.core.records import Record
from dermascreen.core.tables import Table

REFERENCE = Path("models/reference")  # the embeddings of the training images
EMBEDDINGS = "features.safetensors"


@dataclass(frozen=True)
class ReferenceImages(Table):
    """The training images of a reference, a row for each embedding."""

    PATH: ClassVar[Path] = REFERENCE / "images.csv"

    path: Name
    label: Label
    digest: Name  # of its pixels, as `digest_of` names them


class NoveltyLimit(Record):
    """The novelty score above which an image is novel."""

    PATH: ClassVar[Path] = REFERENCE / "limit.json"

    limit: float
    k: int
    quantile: float
    network: str | None = None  # sha256 of the exported network that made the embeddings; older files lack it
    embeddings: str | None = None  # sha256 of the file of the embeddings; likewise
    images: str | None = None  # sha256 of the table of the images; likewise
