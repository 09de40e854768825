"""Records come back as they were written, and what cannot be is one sentence."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from dermascreen.core.errors import BadTableError, MissingInputError
from dermascreen.core.records import Record


@dataclass(frozen=True)
class Point:
    threshold: float
    misses: int | None


class Points(Record):
    PATH = Path("points.json")

    point: Point
    ends: tuple[float, float]
    name: str = "any"


GOOD = '{"point": {"threshold": 0.30000000000000004, "misses": null}, "ends": [0, 1], "name": "x"}'


def test_a_record_comes_back(tmp_path: Path) -> None:
    record = Points(point=Point(0.1 + 0.2, None), ends=(0.0, 1.0), name="x")
    record.write(tmp_path / "points.json")
    assert Points.read(tmp_path / "points.json") == record
    (tmp_path / "other.json").write_text(GOOD, encoding="utf-8")
    assert Points.read(tmp_path / "other.json") == record


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (GOOD, "", "is not JSON"),
        (GOOD, '{"a": ', "is not JSON"),
        (GOOD, "\x80", "is not JSON"),
        (GOOD, "[1]", "does not hold a JSON object"),
        ('"threshold": 0.30000000000000004, ', "", "lacks 'point.threshold'"),
        ('"name"', '"nome"', "holds 'nome', which this version of dermascreen does not know"),
        ("0.30000000000000004", "true", "has no number for point.threshold"),
        ("0.30000000000000004", '"0.3"', "has no number for point.threshold"),
        ("0.30000000000000004", "null", "has no number for point.threshold"),
        ("0.30000000000000004", "NaN", "has no number for point.threshold"),
        ("[0, 1]", "[0, Infinity]", "has no number for ends.1"),
        ("[0, 1]", "[0]", "lacks 'ends.1'"),
        ('"x"', "1", "has a wrong value for name: input should be a valid string"),
    ],
)
def test_what_a_record_cannot_be_is_one_sentence(old: str, new: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "points.json"
    path.write_bytes(GOOD.replace(old, new).encode("latin-1"))
    with pytest.raises(BadTableError) as error:
        Points.read(path)
    assert str(error.value) == f"{path} {problem}; run `dvc repro` to make it again."


def test_an_absent_record_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"points\.json does not exist; check the path"):
        Points.read(tmp_path / "points.json")


def test_a_record_without_a_finite_number_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="finite number"):
        Points(point=Point(0.1, None), ends=(0.0, float("nan")))
    assert list(tmp_path.iterdir()) == []
