"""JSON objects that stages hand over: frozen pydantic models, checked where they are read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from dermascreen.core.errors import BadTableError, MissingInputError
from dermascreen.core.files import write_json

Parsed = TypeVar("Parsed")
Number = float | int | bool


class Part(BaseModel):
    """A part of a record: values never change, and a key that is not declared is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Record(Part):
    """A JSON file; subclasses give PATH, where the pipeline keeps it."""

    PATH: ClassVar[Path]

    @classmethod
    def read(cls, path: Path | None = None) -> Self:
        """Read PATH, or a `path` of the same form; MissingInputError and BadTableError say what is wrong with it."""
        return parse_json(path or cls.PATH, lambda text: cls.model_validate_json(text, strict=True))

    def write(self, path: Path | None = None) -> None:
        """Write PATH, or another `path`."""
        write_json(self.model_dump(mode="json"), path or self.PATH)


class Details(Record):
    """All that a stage found, and which of its numbers a person compares by."""

    @property
    def headline(self) -> dict[str, Number]:
        """The numbers in metrics/<stage>.json, that `dvc metrics diff` and `dvc exp show` compare."""
        return {}

    @property
    def row(self) -> dict[str, float]:
        """What MLflow shows of a model: numbers by group and name, such as test/roc_auc."""
        return {}


def details_file(stage: str) -> Path:
    """Where the details of a stage lie."""
    return Path("reports/details") / f"{stage}.json"


def known(**numbers: Number | None) -> dict[str, Number]:
    """The numbers that are one, by name: a rate of nothing is None, and is left out."""
    return {name: value for name, value in numbers.items() if value is not None}


def section(name: str, /, **numbers: Number | None) -> dict[str, float]:
    """The same as floats, whose names stand behind that of their section: `test/roc_auc`."""
    return {f"{name}/{measure}": float(value) for measure, value in known(**numbers).items()}


def parse_json(path: Path, parse: Callable[[bytes], Parsed]) -> Parsed:
    """What pydantic makes of a JSON file; a missing one, and what is wrong with it, raise a DermascreenError."""
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        raise MissingInputError(path) from None
    except ValidationError as error:
        raise BadTableError(path, problem_of(error)) from None


def problem_of(error: ValidationError) -> str:
    """The first thing that is wrong, as the rest of a sentence about the file."""
    first: Any = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "json_invalid":
            return "is not JSON"
        case "missing":
            return f"lacks {key!r}"
        case "extra_forbidden":
            return f"holds {key!r}, which this version of dermascreen does not know"
        case "float_type" | "int_type" | "finite_number" | "int_from_float":
            return f"has no number for {key}"
        case "model_type" | "dataclass_type" if not key:
            return "does not hold a JSON object"
        case _:
            return f"has a wrong value for {key}: {first['msg'][:1].lower()}{first['msg'][1:]}"
