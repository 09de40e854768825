"""What the metadata tell of the photographs: the groups that they divide them into, and what they say of a patient."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermascreen.artifacts.dataset.columns import Texts
from dermascreen.artifacts.dataset.metadata import Metadata, words_of
from dermascreen.core.errors import ParamsError
from dermascreen.core.tables import Names, locate

MOST = 12  # values of a column that divides into groups
BANDS = {"0 to 29": 0, "30 to 49": 30, "50 to 69": 50, "70 and over": 70}  # of age in years, from
AGE = r"^[<>\u2264\u2265~+ ]*(-?\d+(?:[.,]\d+)?)[+ ]*(?:y|yrs?|years?)?(?: old)?[+ ]*$"  # 45, 85+, 33y, 61 years old
OLDEST = 120  # years: a larger number, such as 999, says that the age is not known
NAMED = 3  # values that a sentence names
MOSTLY = 0.9  # of the values in a column of ages are numbers; the others are as if not known
UNKNOWN = "not known"
MOST_CATEGORIES = 100  # values of a column that a model is told apart; rarer ones are as if not known

# What results may depend on, and the words of columns that tell it, found in their names.
TOLD_BY = {
    "skin type": r"\b(fitzpatrick|fitspatrick)\b|\bskin (type|tone|colou?r)\b",
    "age": r"\bage\b",
    "sex": r"\b(sex|gender)\b",
    "body site": r"\banatom|\bbody site\b|\blocali[sz]ation\b|\blocation\b|\bregion\b",
    "diagnosis": r"\bdiagnos|\bdx\b",
    "how it was confirmed": r"\bconfirm|\bdx type\b|\bbiops|\bhistopath",
    "acquisition site": r"^site$|\bhospital\b|\battribution\b|\binstitution\b|\bcent(re|er)\b|\bclinic\b",
    "camera": r"\bcamera\b|\bdevice\b|\bdermatoscope\b|\bimage type\b",
}

# What is known of a patient before anyone looks at the lesion, or at its diagnosis.
COVARIATES = ("age", "sex", "body site")
FOUND = r"\bhistolog|\bpatholog|\bmalign|\bbenign|\bmelanom|\bmetast|\bexcis"  # words of what was found
LATER = ("diagnosis", "how it was confirmed", "acquisition site")  # what a column that tells one of them may tell too


class Covariates(NamedTuple):
    """What k columns say of n photographs, as numbers; NaN where nothing is known."""

    columns: tuple[str, ...]
    numbers: npt.NDArray[np.float64]  # shape (n, k)
    categorical: npt.NDArray[np.bool_]  # shape (k,): whose numbers stand for categories and have no order


def _tells(name: str, what: str) -> bool:
    return re.search(TOLD_BY[what], " ".join(words_of(name))) is not None


def divide(metadata: Metadata, paths: Names) -> dict[str, Texts]:
    """The group of each of `paths` by the name of the column: its values, or bands of age; shape (paths,).

    Columns that results are known to depend on come first. A column that has, in all the metadata, one value or more
    than MOST, other than ages, divides nothing; nor does one that divides as an earlier one does.
    """
    rows, groups, divisions = locate(pd.Index(metadata["path"]), paths, metadata.PATH), {}, set()
    for name in sorted(metadata.columns, key=_place):
        values = pd.Series(metadata[name])
        if (years := ages(name, values)) is not None:
            values = _bands(years)
        values = values.where(values.ne(""), UNKNOWN)
        division = pd.factorize(values)[0].tobytes()
        if 1 < values.nunique() <= MOST and division not in divisions:
            groups[name] = np.asarray(values, dtype=object)[rows]
            divisions.add(division)
    return groups


def describe(metadata: Metadata, paths: Names, learnt: Names) -> Covariates:
    """What the columns that tell one of COVARIATES say of each of `paths`.

    A column is left out if it says the same of all photographs that a model learns from, `learnt`; or if its name also
    tells what was found, how it was confirmed, or the hospital: what is known only after a biopsy would give the label
    away.
    """
    index = pd.Index(metadata["path"])
    rows, those = locate(index, paths, metadata.PATH), locate(index, learnt, metadata.PATH)
    said: dict[str, tuple[pd.Series[float], bool]] = {}
    for name in metadata.columns:
        later = any(_tells(name, what) for what in LATER) or re.search(FOUND, " ".join(words_of(name)))
        if later or not any(_tells(name, what) for what in COVARIATES):
            continue
        values = pd.Series(metadata[name])
        if (years := ages(name, values)) is None:
            categories = values[values.ne("")].value_counts().index[:MOST_CATEGORIES]
            codes = pd.Series(categories.get_indexer(pd.Index(values)), dtype=float)
            said[name] = codes.where(codes.ge(0)), True
        else:
            said[name] = years, False
    table = pd.DataFrame({name: numbers for name, (numbers, _) in said.items()}, index=range(len(metadata["path"])))
    table = table.loc[:, [len(table[name].iloc[those].unique()) > 1 for name in table.columns]]
    categorical = np.array([said[name][1] for name in table.columns], dtype=bool)
    return Covariates(tuple(table.columns), table.to_numpy(float)[rows], categorical)


def _place(name: str) -> int:
    """Where a column stands among the others: those that results are known to depend on come first."""
    return next((place for place, what in enumerate(TOLD_BY) if _tells(name, what)), len(TOLD_BY))


def require_groups(asked: Sequence[str], groups: Mapping[str, Texts]) -> Sequence[str]:
    """The columns that threshold.groups names; raises ParamsError for one that divides nothing."""
    for name in asked:
        if name not in groups:
            known = ", ".join(groups) or "none"
            raise ParamsError(f"threshold.groups names {name}, but the columns that divide the images are {known}.")
    return asked


def ages(name: str, values: "pd.Series[str]") -> "pd.Series[float] | None":
    """Ages in years of a column of that name, NaN where there is none, or none that people reach.

    None if the name tells no age, or the values are mostly none.
    """
    if not _tells(name, "age"):
        return None
    years, known = _years(values), values.ne("").sum()
    return years.where(years.between(0, OLDEST)) if known and years.notna().sum() >= MOSTLY * known else None


def _years(values: "pd.Series[str]") -> "pd.Series[float]":
    number = values.str.casefold().str.extract(AGE)[0].str.replace(",", ".", regex=False)
    return pd.to_numeric(number, errors="coerce")


def unread_ages(metadata: Metadata) -> Iterator[str]:
    """A sentence for each column that tells ages and is taken for words all the same."""
    for name in metadata.columns:
        values = pd.Series(metadata[name])
        odd = values[values.ne("") & _years(values).isna()]
        if _tells(name, "age") and 0 < len(odd) < values.ne("").sum() and ages(name, values) is None:
            some = ", ".join(odd.unique()[:NAMED])
            yield f"{name} is not read as ages, since more than a tenth of its values are none, such as {some}."


def _bands(years: "pd.Series[float]") -> "pd.Series[str]":
    named = pd.cut(years, [*BANDS.values(), np.inf], right=False, labels=[*BANDS])
    return named.astype(object).where(named.notna(), "")


def untold(metadata: Metadata) -> tuple[str, ...]:
    """What results may depend on, and no column with a value tells."""
    told = [name for name in metadata.columns if (metadata[name] != "").any()]
    return tuple(what for what in TOLD_BY if not any(_tells(name, what) for name in told))
