"""Tables that stages hand over, as CSV: what a column means is declared once, and checked where it is read.

A table is a frozen dataclass with an array for each column. pandas is imported only where tables are read or written.
"""

import csv
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TextIO, TypeAlias, get_args, get_type_hints

from dermascreen.core.errors import BadTableError, MissingInputError
from dermascreen.core.files import replacing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd


Names: TypeAlias = "Sequence[str] | npt.NDArray[np.object_]"  # as a list, or as a column


class Meaning(NamedTuple):
    """What the values of a column are, in words and as a test."""

    words: str
    holds: Callable[["pd.Series[Any]"], "pd.Series[bool]"]
    number: bool = True  # read as numbers, NaN where there is none; otherwise as text, such as 007


@dataclass(frozen=True)
class Table:
    """Rows of a CSV file: a field for each column, an array of shape (n,), annotated with its Meaning.

    Subclasses give PATH, where the pipeline keeps the table. Other columns of a file are ignored. A column whose
    default is None may be missing, as in files of before it was introduced.
    """

    PATH: ClassVar[Path]
    REFUSED: ClassVar[Mapping[str, str]] = {}  # what is wrong with a file that has a column of this name

    @classmethod
    def meanings(cls) -> dict[str, Meaning]:
        """The Meaning of each column by its name, in order."""
        hints = get_type_hints(cls, include_extras=True)
        either = {name: hint if hasattr(hint, "__metadata__") else get_args(hint)[0] for name, hint in hints.items()}
        return {field.name: either[field.name].__metadata__[0] for field in fields(cls)}

    @classmethod
    def read(cls, path: Path | None = None, splits: Sequence[str] = ()) -> Self:
        """Read PATH, or a `path` of the same form; MissingInputError and BadTableError say what is wrong with it.

        Parameters: `splits`, each of which must have images of both classes in the table.
        """
        path = path or cls.PATH
        try:
            return cls.parse(path, splits)
        except FileNotFoundError:
            raise MissingInputError(path) from None
        except ValueError as problem:
            raise BadTableError(path, str(problem)) from None

    @classmethod
    def parse(cls, file: Path | TextIO, splits: Sequence[str] = ()) -> Self:
        """The table in `file`; ValueError says what is wrong with it, such as "lacks the column 'path'".

        It has at least one row and all columns, every value passes its column's test, and no path occurs twice.
        """
        optional = {field.name for field in fields(cls) if field.default is None}
        return cls.of(parse_table(file, cls.meanings(), splits, cls.REFUSED, optional=optional))

    @classmethod
    def of(cls, frame: "pd.DataFrame") -> Self:
        """The columns of a frame that has them all, but for those that may be missing."""
        here = (field.name for field in fields(cls) if field.default is MISSING or field.name in frame)
        return cls(**{name: frame[name].to_numpy() for name in here})

    def to_frame(self) -> "pd.DataFrame":
        """The same as a DataFrame."""
        import pandas as pd  # noqa: PLC0415 - slow to import

        return pd.DataFrame({name: column for name, column in vars(self).items() if column is not None})

    def write(self, path: Path | None = None) -> None:
        """Write PATH, or another `path`."""
        write_table(self.to_frame(), path or self.PATH)

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def __getitem__(self, rows: "npt.NDArray[np.bool_] | npt.NDArray[np.intp] | slice") -> Self:
        """Some rows: a mask of shape (n,), places, or a slice."""
        return type(self)(**{name: None if column is None else column[rows] for name, column in vars(self).items()})

    def at(self, paths: Iterable[str]) -> Self:
        """The rows of these paths, in their order; BadTableError where one is missing. For tables with a path."""
        return self[locate(vars(self)["path"], paths, self.PATH)]


def write_table(table: "pd.DataFrame", path: Path) -> None:
    """Write a CSV file without the index; floats keep every digit, and text every character."""
    text = table.select_dtypes(exclude=["number", "bool"])
    # Python's writer does not quote a carriage return on its own, so a reader would end the line there.
    returns = any(text[column].astype(str).str.contains("\r", regex=False).any() for column in text)
    with replacing(path) as temporary:
        if returns:
            table.to_csv(temporary, index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        else:
            table.to_csv(temporary, index=False, lineterminator="\n")


def parse_table(
    file: Path | TextIO,
    meanings: dict[str, Meaning],
    splits: Sequence[str] = (),
    refused: Mapping[str, str] | None = None,
    *,
    optional: Collection[str] = (),
    may_be_empty: bool = False,
) -> "pd.DataFrame":
    """The CSV table in `file`, with the columns of `meanings` checked; as `Table.parse`.

    Parameters: `refused`, what is wrong with a table that has some other column; `optional`, columns that it may lack;
    `may_be_empty`, whether it may have no row.
    """
    table = _read_csv(file, meanings)
    for column, problem in (refused or {}).items():
        if column in table.columns:
            raise ValueError(problem)
    missing = [column for column in meanings if column not in table.columns and column not in optional]
    if missing:
        raise ValueError(f"lacks the column {missing[0]!r}")
    if table.empty and not may_be_empty:
        raise ValueError("has no row")
    if "path" in meanings and table["path"].duplicated().any():
        raise ValueError(f"holds {table.loc[table['path'].duplicated(), 'path'].iloc[0]} twice")
    for column in table.columns.intersection(list(meanings)):
        table[column] = _checked(table[column], meanings[column])
    for split in splits:
        _require_both_classes(table.loc[table["split"].eq(split), "label"], split)
    return table


def _read_csv(file: Path | TextIO, meanings: dict[str, Meaning]) -> "pd.DataFrame":
    import pandas as pd  # noqa: PLC0415 - slow to import

    texts: dict[str, Any] = {name: str for name, meaning in meanings.items() if not meaning.number}
    try:
        return pd.read_csv(file, keep_default_na=False, dtype=texts)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise ValueError("is not a CSV table") from None


def _require_both_classes(label: "pd.Series[Any]", split: str) -> None:
    if label.empty:
        raise ValueError(f"holds no image of split {split!r}")
    if label.min() == label.max():
        raise ValueError(f"holds only one class in split {split!r}")


def _checked(column: "pd.Series[Any]", meaning: Meaning) -> "pd.Series[Any]":
    import pandas as pd  # noqa: PLC0415 - slow to import

    values = pd.to_numeric(column, errors="coerce") if meaning.number else column
    bad = ~meaning.holds(values).astype(bool)
    if bad.any():
        raise ValueError(f"has a {column.name} that is not {meaning.words} in line {int(bad.to_numpy().argmax()) + 2}")
    return values


def locate(paths: "pd.Index | npt.NDArray[np.object_]", wanted: Iterable[str], source: Path) -> "npt.NDArray[np.intp]":
    """The row of each wanted path among `paths`, of the table `source`, which must have them all; shape (wanted,)."""
    import pandas as pd  # noqa: PLC0415 - slow to import

    index: pd.Index[Any] = pd.Index(list(wanted), dtype="object")
    rows = pd.Index(paths).astype("object").get_indexer(index)
    if (rows < 0).any():
        raise BadTableError(source, f"lacks {index[rows < 0][0]}")
    return rows
