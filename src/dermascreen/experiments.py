"""Predictions and parameters of finished runs: of a file, or of a DVC experiment or Git revision of this project."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import dvc.api
import pandas as pd
from dvc.exceptions import DvcException

from dermascreen.errors import ExperimentError, PredictionsError
from dermascreen.tables import parse_table

PREDICTIONS = "reports/predictions.csv"
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
    try:
        table = parse_table(Path(source) if is_file(source) else StringIO(_read(source)), COLUMNS, [split])
    except OSError as error:
        raise PredictionsError(source, f"cannot be read ({error.strerror})") from None
    except ValueError as problem:
        raise PredictionsError(source, str(problem)) from None
    return table[table["split"].eq(split)].reset_index(drop=True)


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
