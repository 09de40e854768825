"""What is known of each photograph besides its label."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd

from dermascreen.artifacts.dataset.columns import NAME, TEXT, Texts
from dermascreen.core.errors import BadTableError, MissingInputError
from dermascreen.core.tables import Names, locate, parse_table, write_table

DECLARED = ("lesion", "patient")  # columns that say which photographs belong together


def words_of(column: str) -> list[str]:
    """The words of a column's name, in lower case: those of age_approx, ageApprox and Age (approx) are equal."""
    return re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column).casefold())


@dataclass(frozen=True)
class Metadata:
    """A table of text with a row for each photograph, blank where nothing is known.

    It has the columns `path`, `lesion` and `patient`, in which equal text means the same one, and those that the data
    set's own tables have, under their names there.
    """

    PATH: ClassVar[Path] = Path("data/metadata.csv")

    frame: pd.DataFrame

    @classmethod
    def read(cls, path: Path | None = None) -> Self:
        """Read PATH, or a `path` of the same form; MissingInputError and BadTableError say what is wrong with it."""
        path = path or cls.PATH
        try:
            with path.open(encoding="utf-8", newline="") as file:
                header = next(csv.reader(file), [])
            meanings = {**dict.fromkeys([*DECLARED, *header], TEXT), "path": NAME}
            table = parse_table(path, meanings)
            return cls(table[["path", *(name for name in header if name != "path")]].astype(object))
        except FileNotFoundError:
            raise MissingInputError(path) from None
        except (ValueError, csv.Error) as problem:
            raise BadTableError(path, str(problem)) from None

    @classmethod
    def of(cls, paths: Names, known: pd.DataFrame | None = None) -> Self:
        """That of photographs at `paths`, of which `known`, by path, says what is known."""
        index = pd.Index(np.array(paths, dtype=object), name="path")
        frame = pd.DataFrame("", index=index, columns=list(DECLARED)) if known is None else known.reindex(index)
        return cls(frame.fillna("").reset_index().astype(object))

    def write(self, path: Path | None = None) -> None:
        """Write PATH, or another `path`."""
        write_table(self.frame, path or self.PATH)

    @property
    def columns(self) -> list[str]:
        """What the data set's own tables say, besides lesions and patients."""
        return [name for name in self.frame.columns if name not in ("path", *DECLARED)]

    @property
    def licences(self) -> dict[str, int]:
        """The number of photographs under each licence, the most frequent first; empty if no column tells them."""
        told = next((name for name in self.columns if {"license", "licence"} & {*words_of(name)}), None)
        if told is None:
            return {}
        counts = self.frame[told].replace("", "not known").value_counts()
        return {str(name): int(number) for name, number in counts.items()}

    def at(self, paths: Names) -> Self:
        """The rows of these paths, in their order; BadTableError where one is missing."""
        rows = locate(pd.Index(self.frame["path"]), paths, self.PATH)
        return type(self)(self.frame.iloc[rows].reset_index(drop=True))

    def __getitem__(self, column: str) -> Texts:
        """A column, shape (n,)."""
        return np.asarray(self.frame[column], dtype=object)
