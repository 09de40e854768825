"""The file of the operating points."""

import json
from pathlib import Path

from pydantic import TypeAdapter

from dermascreen.core.files import write_json
from dermascreen.core.records import parse_json
from dermascreen.evidence.operating_points import OperatingPoints

OPERATING_POINTS = Path("models/operating_points.json")
_ADAPTER = TypeAdapter(OperatingPoints)


def read_operating_points(path: Path = OPERATING_POINTS) -> OperatingPoints:
    """Read what `write_operating_points` wrote; a DermascreenError says what is missing or broken."""
    return parse_json(path, parse_operating_points)


def parse_operating_points(text: bytes | str) -> OperatingPoints:
    """The points that JSON holds; raises pydantic's ValidationError, which is a ValueError."""
    return _ADAPTER.validate_json(text, strict=True)


def write_operating_points(points: OperatingPoints, path: Path = OPERATING_POINTS) -> None:
    write_json(json.loads(_ADAPTER.dump_json(points)), path)
