"""The file of the operating points."""

import json
import math
from pathlib import Path

from pydantic import TypeAdapter

from dermascreen.core.errors import BadTableError
from dermascreen.core.files import write_json
from dermascreen.core.records import parse_json
from dermascreen.evidence.operating_points import OperatingPoints

OPERATING_POINTS = Path("models/operating_points.json")
HIGHEST = math.nextafter(1.0, 2.0)  # the upper end of a band that calls even a probability of 1 not malignant
_ADAPTER = TypeAdapter(OperatingPoints)


def read_operating_points(path: Path = OPERATING_POINTS) -> OperatingPoints:
    """Read what `write_operating_points` wrote; a DermascreenError says what is missing or broken."""
    points = parse_json(path, parse_operating_points)
    for name in points:
        ends = {key: value for key, value in vars(points[name]).items() if key in {"threshold", "low", "high"}}
        for key, value in ends.items():
            if not 0 <= value <= HIGHEST:
                raise BadTableError(path, f"has no number from 0 to 1 for {name}.{key}")
        if list(ends.values()) != sorted(ends.values()):
            raise BadTableError(path, f"has {name}.low above {name}.high")
    return points


def parse_operating_points(text: bytes | str) -> OperatingPoints:
    """The points that JSON holds; raises pydantic's ValidationError, which is a ValueError."""
    return _ADAPTER.validate_json(text, strict=True)


def write_operating_points(points: OperatingPoints, path: Path = OPERATING_POINTS) -> None:
    write_json(json.loads(_ADAPTER.dump_json(points)), path)
