"""Results from JSON as the stages' details write it, and the numbers in them by their dotted names."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from dermascreen.artifacts.dataset.details import AuditDetails, SplitDetails
from dermascreen.artifacts.model.training import TrainDetails
from dermascreen.artifacts.results.details.evaluation import (
    EvaluateDetails,
    ExternalDetails,
    ShortcutsDetails,
    ThresholdDetails,
)
from dermascreen.artifacts.results.details.explanation import ExplainDetails
from dermascreen.report.results import Results

STAGES = {
    "audit": AuditDetails,
    "split": SplitDetails,
    "train": TrainDetails,
    "evaluate": EvaluateDetails,
    "threshold": ThresholdDetails,
    "shortcuts": ShortcutsDetails,
    "external": ExternalDetails,
    "explain": ExplainDetails,
}


def results_of(content: dict[str, Any]) -> Results:
    """What the details of the stages read of JSON, by stage; a key that no stage writes is an error."""
    return Results(**{stage: read(details, content[stage]) for stage, details in STAGES.items()})


def read(details: type[BaseModel], content: dict[str, Any]) -> BaseModel:
    return details.model_validate_json(json.dumps(content), strict=True)


def children(value: object) -> dict[str, Any]:
    """The parts of details, of what they are composed of, and of mappings, by name; nothing of others."""
    if isinstance(value, BaseModel):
        return dict(value)
    if dataclasses.is_dataclass(value):
        return vars(value)
    return value if isinstance(value, dict) else {}


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def numbers(value: object, prefix: str = "") -> Iterator[str]:
    """The dotted names of the numbers in a tree of details."""
    for name, part in children(value).items():
        if is_number(part):
            yield prefix + name
        yield from numbers(part, f"{prefix}{name}.")


def mapped(value: Any, function: Callable[[str, float], float], name: str = "") -> Any:
    """The same tree with `function` of the dotted name and value of each number in its place."""
    if is_number(value):
        return function(name, value)
    parts = {key: mapped(part, function, f"{name}.{key}" if name else key) for key, part in children(value).items()}
    if isinstance(value, BaseModel):
        return type(value).model_construct(**parts)
    if dataclasses.is_dataclass(value):
        return type(value)(**parts)
    return parts if isinstance(value, dict) else value
