"""Tables that stages hand on: a column means the same in each of them, and is checked where it is read."""

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermascreen.errors import BadTableError, MissingInputError
from dermascreen.files import replacing


class Meaning(NamedTuple):
    """What every value of a column is, in words and as a test of them."""

    words: str
    holds: Callable[["pd.Series[Any]"], "pd.Series[bool]"]
    number: bool = True  # read as numbers, NaN where there is none; else as the text that it is, such as 007


_SCORE = Meaning("a number", lambda values: values.abs().lt(np.inf))
_PROBABILITY = Meaning("a number from 0 to 1", lambda values: values.between(0, 1))
_NAME = Meaning("a name", lambda values: values.ne(""), number=False)
MEANINGS = {
    "path": _NAME,
    "path_a": _NAME,
    "path_b": _NAME,
    "sha256": _NAME,
    "digest": _NAME,
    "label": Meaning("0 or 1", lambda values: values.isin([0, 1])),
    "lesion": Meaning("a whole number", lambda values: values.mod(1).eq(0)),
    "logit": _SCORE,
    "probability": _PROBABILITY,
    "calibrated_probability": _PROBABILITY,
    "probability_low": _PROBABILITY,
    "probability_high": _PROBABILITY,
    "low": _PROBABILITY,
    "high": _PROBABILITY,
    "source_split": Meaning(
        "train, val, test or none", lambda values: values.isin(["train", "val", "test", "none"]), number=False
    ),
    "split": Meaning(
        "train, val, test or excluded",
        lambda values: values.isin(["train", "val", "test", "excluded"]),
        number=False,
    ),
}

TEXT: dict[str, Any] = {name: str for name, meaning in MEANINGS.items() if not meaning.number}


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a CSV file without the index; floats keep every digit, and text every character."""
    text = table.select_dtypes(exclude=["number", "bool"])
    # Python's writer does not quote a carriage return by itself, and would end the line there.
    returns = any(text[column].astype(str).str.contains("\r", regex=False).any() for column in text)
    with replacing(path) as temporary:
        if returns:
            table.to_csv(temporary, index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        else:
            table.to_csv(temporary, index=False, lineterminator="\n")


def read_table(
    path: Path, columns: Sequence[str], splits: Sequence[str] = (), *, advice: str | None = None
) -> pd.DataFrame:
    """Read a CSV file; one that is missing, or that `parse_table` refuses, raises a DermascreenError.

    `advice` on what to do goes into the error where it is no table that `dvc repro` makes.
    """
    try:
        return parse_table(path, columns, splits)
    except FileNotFoundError:
        raise MissingInputError(path) from None
    except ValueError as problem:
        raise BadTableError(path, str(problem), *([advice] if advice else [])) from None


def parse_table(file: Path | TextIO, columns: Sequence[str], splits: Sequence[str] = ()) -> pd.DataFrame:
    """The CSV table in `file`; ValueError says what is wrong with it, such as "lacks the column 'path'".

    It has a row, and at least `columns`; those that MEANINGS has hold what it says, and no path stands twice. Each of
    `splits` has photographs of both classes.
    """
    try:
        table = pd.read_csv(file, keep_default_na=False, dtype=TEXT)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise ValueError("is not a CSV table") from None
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(f"lacks the column {missing[0]!r}")
    if table.empty:
        raise ValueError("has no row")
    if "path" in columns and table["path"].duplicated().any():
        raise ValueError(f"holds {table.loc[table['path'].duplicated(), 'path'].iloc[0]} twice")
    for column in columns:
        if column in MEANINGS:
            table[column] = _checked(table[column], MEANINGS[column])
    for split in splits:
        label = table.loc[table["split"].eq(split), "label"]
        if label.empty:
            raise ValueError(f"holds no image of split {split!r}")
        if label.min() == label.max():
            raise ValueError(f"holds only one class in split {split!r}")
    return table


def _checked(column: "pd.Series[Any]", meaning: Meaning) -> "pd.Series[Any]":
    values = pd.to_numeric(column, errors="coerce") if meaning.number else column
    bad = ~meaning.holds(values)
    if bad.any():
        raise ValueError(f"has a {column.name} that is not {meaning.words} in line {int(np.argmax(bad)) + 2}")
    return values


def locate(paths: pd.Index, wanted: Iterable[str], source: Path) -> npt.NDArray[np.intp]:
    """The row of each wanted path among `paths`, of the table `source`, which must have them all; shape (wanted,)."""
    index = pd.Index(wanted)
    rows = paths.get_indexer(index)
    if (rows < 0).any():
        raise BadTableError(source, f"lacks {index[rows < 0][0]}")
    return rows


def align(table: pd.DataFrame, paths: Iterable[str], source: Path) -> pd.DataFrame:
    """The rows of `table`, read from `source`, that belong to `paths`, in their order; it must have them all."""
    return table.iloc[locate(pd.Index(table["path"]), paths, source)]
