"""Predictions and parameters of finished runs: of a file, or of a DVC experiment or Git revision of this project."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import dvc.api
import pandas as pd
from dvc.exceptions import DvcException

from dermascreen.errors import ExperimentError, PredictionsError
from dermascreen.files import read_json
from dermascreen.tables import parse_table

PREDICTIONS = "reports/predictions.csv"
POINTS = "models/operating_points.json"
SAME_POINTS = "metrics/threshold.json"  # which Git has, where DVC's cache lacks POINTS
COLUMNS = ["path", "split", "label", "lesion", "calibrated_probability"]


def add_draw_options(parser: ArgumentParser) -> None:
    """How often lesions are drawn for intervals, and with which seed."""
    parser.add_argument("--draws", type=_at_least(1), default=2000, help="of lesions, for intervals; default: 2000")
    parser.add_argument("--seed", type=_at_least(0), default=0, help="of the draws; default: 0")


def _at_least(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.lstrip("-").isdecimal() or int(text) < least:
            raise ArgumentTypeError(f"{text} is not a whole number of at least {least}")
        return int(text)

    return parse


def is_file(source: str) -> bool:
    """Whether `source` names a table rather than an experiment."""
    return source.endswith(".csv") or Path(source).is_file()


def read_predictions(source: str, split: str) -> pd.DataFrame:
    """The images of `split`, a row each: path, split, label, lesion, calibrated_probability and what else is there.

    Parameters: `source`, the path of a predictions.csv, or the name of an experiment, branch, tag or commit.
    Raises a DermascreenError where that is neither, lacks a column, or holds something else than one number an image.
    """
    table = read_all_predictions(source, split)
    return table[table["split"].eq(split)].reset_index(drop=True)


def read_all_predictions(source: str, split: str) -> pd.DataFrame:
    """As `read_predictions`, with the images of other splits as well."""
    try:
        return parse_table(Path(source) if is_file(source) else StringIO(_read(source)), COLUMNS, [split])
    except OSError as error:
        raise PredictionsError(source, f"cannot be read ({error.strerror})") from None
    except ValueError as problem:
        raise PredictionsError(source, str(problem)) from None


def read_points(source: str) -> Mapping[str, Mapping[str, Any]] | None:
    """The operating points of the model that made the predictions of `source`, by name; None where none are found.

    Those of a file lie beside it, in its project or in its registered bundle. Pooled folds, of which each has its own,
    have none.
    """
    if not is_file(source):
        return _points_of(source)
    path = Path(source)
    places = [path.with_name("operating_points.json"), path.parent / "bundle" / "operating_points.json"]
    if path.resolve().parent.name == "reports":
        places.append(path.resolve().parents[1] / POINTS)
    if path.name != Path(PREDICTIONS).name:
        return None
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        return None
    points = read_json(found)
    points.number("high_recall", "threshold")
    return points


def _points_of(name: str) -> Mapping[str, Mapping[str, Any]] | None:
    for path in (POINTS, SAME_POINTS):
        try:
            found = json.loads(dvc.api.read(path, rev=name))
            float(found["high_recall"]["threshold"])
        except (DvcException, FileNotFoundError, ValueError, KeyError, TypeError):
            continue
        return {point: about for point, about in found.items() if isinstance(about, dict)}
    return None


def read_experiment_params(name: str) -> dict[str, Any]:
    """params.yaml of an experiment, branch, tag or commit."""
    try:
        return dict(dvc.api.params_show("params.yaml", rev=name))
    except DvcException as error:
        raise ExperimentError(name, error) from None


def _read(name: str) -> str:
    try:
        return str(dvc.api.read(PREDICTIONS, rev=name))
    except (DvcException, FileNotFoundError) as error:
        raise ExperimentError(name, error) from None
