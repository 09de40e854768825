"""What stage report made."""

from pathlib import Path
from typing import ClassVar

from dermascreen.core.records import Details, details_file


class ReportDetails(Details):
    """What the page holds, and how large it is."""

    PATH: ClassVar[Path] = details_file("report")

    figures: int
    pictures: int
    page_kib: int
