"""Typed parameters: the only reader of params.yaml.

Each section is a class, each parameter a field with its range. The values are in params.yaml: there are no defaults
here.
"""

import difflib
import io
import itertools
import os
import re
import reprlib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, DuplicateKeyError
from ruamel.yaml.error import YAMLError

from dermascreen.core.errors import ParamsError


def _text(value: object) -> object:
    """Turn a number or a truth value of YAML into the text that stands in a table."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Value = Annotated[str, BeforeValidator(_text), Field(min_length=1)]  # in a table
ColumnName = Annotated[
    str, BeforeValidator(lambda value: "none" if value is None else _text(value)), Field(min_length=1)
]
Fraction = Annotated[float, Field(gt=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]

NOT_YAML = (YAMLError, ValueError, KeyError)  # the last two for values such as !!bool x
WITH_DUPLICATES = "official_with_duplicates"  # the protocol that measures what the leak is worth


class Section(BaseModel):
    """A part of params.yaml; unknown keys, missing keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


KNOWN_WEIGHTS = ("packaged", "pretrained", "IMAGENET1K_V2", "IMAGENET1K_V1", "none")  # anything else is a path


class SyntheticParams(Section):
    images: Annotated[int, Field(ge=16)]
    size: Annotated[int, Field(ge=32, le=1024)]
    seed: Seed


ROLES = ("image", "label", "lesion", "patient", "site", "split")


class TableColumns(Section):
    """The name of the column of each of ROLES, or auto, or none."""

    image: ColumnName
    label: ColumnName
    lesion: ColumnName
    patient: ColumnName
    site: ColumnName
    split: ColumnName


class TableParams(Section):
    files: Annotated[str, Field(min_length=1)]
    columns: TableColumns
    malignant: list[Value]
    benign: list[Value]
    keep: list[Value]
    max_unmatched: Annotated[float, Field(ge=0, le=1)]


class DataParams(Section):
    source: Literal["kaggle", "archive", "table", "synthetic"]
    slug: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    archive: Annotated[str, Field(min_length=1)]
    max_unpacked_gib: Positive
    table: TableParams
    synthetic: SyntheticParams


class AuditParams(Section):
    max_distance: Annotated[int, Field(ge=0, le=31)]
    min_score: Positive


class HoldOutParams(Section):
    column: str
    values: list[Value]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.column) != bool(self.values):
            raise ValueError("column and values are needed both, or neither")
        return self


class SplitParams(Section):
    protocol: Literal["official", "grouped", "official_with_duplicates"]
    val_fraction: Fraction
    test_fraction: Fraction
    selection_fraction: Annotated[float, Field(ge=0, lt=1)]
    folds: Whole
    fold: Whole
    hold_out: HoldOutParams
    seed: Seed

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.folds == 1:
            raise ValueError("folds is 1, but must be 0 for one split, or at least 2")
        if self.fold >= max(self.folds, 1):
            raise ValueError(f"fold is {self.fold}, but must be less than folds ({self.folds})")
        if self.folds and self.protocol != "grouped":
            raise ValueError(f"folds is {self.folds}, which needs protocol grouped, not {self.protocol}")
        return self

    @model_validator(mode="after")
    def _one_test(self) -> Self:
        if self.hold_out.column and (self.protocol != "grouped" or self.folds):
            raise ValueError("hold_out says which images are test, which needs protocol grouped and folds 0")
        return self


class PreprocessParams(Section):
    image_size: Annotated[int, Field(ge=32, le=1024)]
    fit: Literal["squash", "crop", "pad"]
    field_of_view: Literal["keep", "crop"]


class ModelParams(Section):
    architecture: Annotated[str, Field(min_length=1)]
    weights: Annotated[str, Field(min_length=1)]
    own_weights: Annotated[str, Field(min_length=1)]
    hidden: Whole
    dropout: Annotated[float, Field(ge=0, lt=1)]

    @property
    def names_a_file(self) -> bool:
        """Whether training starts from a file of the user's."""
        return self.weights not in KNOWN_WEIGHTS

    @model_validator(mode="after")
    def _changes_are_noticed(self) -> Self:
        if not self.names_a_file:
            return self
        known = {name.lower(): name for name in KNOWN_WEIGHTS}
        if similar := difflib.get_close_matches(self.weights.lower(), known, n=1, cutoff=0.8):
            raise ValueError(f"weights is {self.weights}, which is not known; {known[similar[0]]} is")
        own, weights = (Path(os.path.normpath(path)) for path in (self.own_weights, self.weights))
        if own != weights and own not in weights.parents:
            raise ValueError(
                f"weights is {weights}, which is none of {', '.join(KNOWN_WEIGHTS)} and lies outside own_weights "
                f"({own}), where DVC notices when a file changes: put the file there, or add "
                f"`-S model.own_weights={weights}`"
            )
        return self


class AugmentParams(Section):
    flip: bool
    rotation: Annotated[float, Field(ge=0, le=180)]
    brightness: Annotated[float, Field(ge=0, lt=1)]
    contrast: Annotated[float, Field(ge=0, lt=1)]
    saturation: Annotated[float, Field(ge=0, lt=1)]
    hue: Annotated[float, Field(ge=0, le=180)]
    jpeg: Annotated[int, Field(ge=5, le=100)]
    zoom: Annotated[float, Field(ge=0, le=1)]
    blur: Annotated[float, Field(ge=0, le=10)]


class TrainParams(Section):
    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    accumulate: Count
    image_sizes: list[Annotated[int, Field(ge=32)]]
    lr: Positive
    backbone_lr_factor: NonNegative
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    weight_decay: NonNegative
    warmup_epochs: Whole
    frozen_epochs: Whole
    frozen_views: Whole
    unfreeze_every: Whole
    gradient_clip: NonNegative
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)]
    mixup: NonNegative
    pos_weight: Positive | Literal["auto"]
    ema: Annotated[float, Field(ge=0, lt=1)]
    patience: Count
    precision: Literal["auto", 32, "bf16", 16]
    channels_last: bool
    deterministic: bool
    devices: Count | Literal["auto"]
    nodes: Count
    strategy: Annotated[str, Field(min_length=1)]
    augment: AugmentParams

    @model_validator(mode="after")
    def _processes_share_nothing(self) -> Self:
        if self.strategy.endswith(("_spawn", "_fork", "_forkserver", "_notebook")):
            name = self.strategy.rpartition("_")[0]
            raise ValueError(f"strategy is {self.strategy}, whose processes cannot return their results; use {name}")
        return self

    @model_validator(mode="after")
    def _phases_fit(self) -> Self:
        # Phases longer than the training are not refused but shortened, so that epochs=1 is a quick try.
        for name in ("frozen_views", "unfreeze_every"):
            if getattr(self, name) and not self.frozen_epochs:
                raise ValueError(f"{name} is {getattr(self, name)}, but frozen_epochs is 0: nothing is frozen")
        if self.frozen_views > self.frozen_epochs:
            raise ValueError(f"frozen_views is {self.frozen_views}, but there are {self.frozen_epochs} frozen_epochs")
        return self

    @model_validator(mode="after")
    def _views_can_be_kept(self) -> Self:
        for name, given in (("mixup", self.mixup), ("image_sizes", self.image_sizes), ("nodes", self.nodes - 1)):
            if self.frozen_views and given:
                raise ValueError(
                    f"frozen_views keeps features of unmixed images of one size, on one machine; leave out {name}"
                )
        return self


class EvaluateParams(Section):
    batch_size: Count
    tta: bool
    bootstrap_draws: Annotated[int, Field(ge=100)]
    external: Annotated[str, Field(min_length=1)]


class ThresholdParams(Section):
    target_recall: Fraction
    confidence: Fraction
    groups: list[Annotated[str, Field(min_length=1)]]
    target_specificity: Fraction | None

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.groups)) < len(self.groups):
            raise ValueError(f"groups names {max(self.groups, key=self.groups.count)} more than once")
        return self


class ExplainParams(Section):
    images: Count
    layer: Annotated[str, Field(min_length=1)]
    variant: Literal["grad_cam", "hires_cam", "guided_grad_cam"]
    checked: Annotated[int, Field(ge=1, le=512)]  # they are held in memory together


class RegistryParams(Section):
    min_auc_gain: Annotated[float, Field(ge=-1, le=1)]
    max_reencoded_fall: Annotated[float, Field(ge=0, le=1)]
    guaranteed_recall: bool
    max_failed_checks: Whole


class TrackingParams(Section):
    experiment: Annotated[str, Field(min_length=1)]


class Params(Section):
    """The whole of params.yaml."""

    seed: Seed
    data: DataParams
    audit: AuditParams
    split: SplitParams
    preprocess: PreprocessParams
    model: ModelParams
    train: TrainParams
    evaluate: EvaluateParams
    threshold: ThresholdParams
    explain: ExplainParams
    registry: RegistryParams
    tracking: TrackingParams

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        sizes = [*self.train.image_sizes, self.preprocess.image_size]
        if any(first >= second for first, second in itertools.pairwise(sizes)):
            raise ValueError(f"train.image_sizes is {sizes[:-1]}, but must rise, and end below preprocess.image_size")
        if self.train.frozen_epochs and self.model.weights == "none":
            raise ValueError("train.frozen_epochs keeps the initial weights as they are, but model.weights is none")
        return self


def read_params(path: Path = Path("params.yaml"), added: Mapping[str, Any] = MappingProxyType({})) -> Params:
    """Read and check a parameter file; raises ParamsError, which names its first problem in one sentence.

    Parameters: `added`, values by dotted name for what an older file may lack.
    """
    content = load(path)
    for name, value in added.items():
        *sections, key = name.split(".")
        section = content
        for one in sections:
            section = section.setdefault(one, {}) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section.setdefault(key, value)
    return _checked(content, str(path))


def parse(text: str) -> Any:  # noqa: ANN401 - YAML holds anything
    """What a text in YAML holds, as DVC reads it: YAML 1.2, in which 1e-3 and 010 are numbers and `no` is text."""
    return YAML(typ="safe").load(text)


def written(content: Mapping[str, Any]) -> str:
    """A text from which `parse` reads the same content, in the same order."""
    stream = io.StringIO()
    YAML().dump(content, stream)
    return stream.getvalue()


def load(path: Path) -> Any:  # noqa: ANN401 - YAML holds anything
    """What a YAML file holds; raises ParamsError if it is missing or is not YAML."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path} does not exist; run the command in the folder that holds dvc.yaml.") from None
    except NOT_YAML as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        what = f" ({error.problem})" if isinstance(error, ConstructorError) else ""
        if isinstance(error, DuplicateKeyError):
            what = " (this key is there twice)"
        elif isinstance(error, UnicodeDecodeError):
            what = ", as it is not in UTF-8"
        elif isinstance(error, ValueError):
            what = f" ({error})"
        raise ParamsError(f"{path} is not YAML{place}{what}.") from None


def flat(content: object, name: str = "") -> dict[str, Any]:
    """The values of nested sections by dotted name, of which `name` is the first part; an empty section is a value."""
    if not isinstance(content, dict) or (name and not content):
        return {name: content}
    found: dict[str, Any] = {}
    for key, part in content.items():
        found |= flat(part, f"{name}.{key}" if name else str(key))
    return found


def with_changes(params: Params, changes: Mapping[str, Any]) -> Params:
    """The parameters with new values for some dotted names, such as train.ema, checked like those of a file."""
    source = ", ".join(f"{name}={value}" for name, value in changes.items())
    content = params.model_dump()
    for name, value in changes.items():
        *sections, key = name.split(".")
        section: Any = content
        for part in sections:
            section = section.get(part) if isinstance(section, dict) else None
        if not isinstance(section, dict):
            raise ParamsError(f"{source}: params.yaml has no section {'.'.join(sections)}.")
        section[key] = value
    return _checked(content, source)


def _checked(content: object, source: str) -> Params:
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise ParamsError(f"{source}: {_sentence(error)}") from None


# Replaces messages of pydantic that are written for programmers.
MUST_BE = {
    "bool_type": "true or false",
    "float_type": "a number",
    "int_type": "a whole number",
    "list_type": "a list, such as [a, b]",
    "model_type": "a section of keys with values",
    "string_pattern_mismatch": "of the form owner/name",
    "string_too_short": "at least one character",
    "string_type": "text",
}


def _sentence(error: ValidationError) -> str:
    first: Any
    # A key that is misspelt is missing as well; what is there is named first.
    first, *others = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    # Where a number or a word is allowed, the location ends with pydantic's name of the type, which is not a key.
    key = ".".join(str(part) for part in first["loc"] if not re.search(r"[\[-]", str(part)))
    if first["type"] == "missing":
        return f"{key} is missing."
    if first["type"] in ("extra_forbidden", "invalid_key"):
        *section, name = first["loc"]
        return f"{name} is not a key of {'.'.join(section) or 'the file'}, which has {', '.join(_keys(section))}."
    if first["type"] == "value_error":
        return f"{key}{'.' if key else ''}{first['ctx']['error']}."
    value = "empty" if first["input"] is None else reprlib.repr(first["input"])
    if isinstance(first["input"], date):
        value = f"the date {first['input']}"
    must_be = MUST_BE.get(first["type"]) or first["msg"].removeprefix("Input should be ")
    words = [other for other in others if other["type"] == "literal_error" and other["input"] == first["input"]]
    if words and isinstance(first["input"], str):
        must_be += f" or {words[0]['ctx']['expected']}"
    return f"{key or 'the file'} is {value}, but must be {must_be}."


def _keys(section: list[str]) -> list[str]:
    model: Any = Params
    for name in section:
        model = model.model_fields[name].annotation
    return list(model.model_fields)
