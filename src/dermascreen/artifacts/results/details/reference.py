"""What stage reference found out."""

from pathlib import Path
from typing import ClassVar

from dermascreen.core.records import Details, details_file


class ReferenceDetails(Details):
    """How many training images the reference holds, and the share of novel images in test."""

    PATH: ClassVar[Path] = details_file("reference")

    images: int
    limit: float  # the novelty score above which an image is called novel
    novel_share_test: float
