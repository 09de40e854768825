"""One row for each image, from all tables that say something of it."""

from collections.abc import Iterator, Sequence

import pandas as pd

from dermascreen.artifacts.dataset.metadata import DECLARED
from dermascreen.core.errors import TableError
from dermascreen.core.params import ROLES
from dermascreen.data.sources.table.columns import Meaning
from dermascreen.data.sources.table.images import require_written, stem

# Columns of what a row means; the table's own columns cannot have such names.
IMAGE, LABEL, LESION, PATIENT, SITE, SPLIT = (f"@{role}" for role in ROLES)
WHERE = "@where"  # the row stands: file and line
ONE_HOT = "diagnosis"  # the column of the metadata that one-hot columns become
RESERVED = {"path", *DECLARED, SITE[1:]}  # columns of the metadata that are ours

Rows = pd.DataFrame


def join(meanings: Sequence[Meaning]) -> Rows:
    """A row for each image that any table names: what it means, in the columns above, blank where no table says, and
    the tables' own columns, of which those that have a name of ours end in an underscore.

    Tables with the same columns are one table in several files. Raises TableError for two rows of an image in them, and
    for tables that say different things of an image.
    """
    alike: dict[tuple[str, ...], list[Rows]] = {}
    for meaning in sorted(meanings, key=lambda one: not one.labelled):  # `where` a row stands is where its label does
        table = _as_rows(meaning)
        alike.setdefault(tuple(sorted(table.columns)), []).append(table)
    joined: Rows | None = None
    for tables in alike.values():
        rows = pd.concat(tables, ignore_index=True)
        rows.index = pd.Index(_keys(rows[IMAGE]))
        if (twice := rows.index.duplicated()).any():
            again = rows.iloc[int(twice.argmax())]
            first = rows[WHERE].iloc[int((rows.index == again.name).argmax())]
            raise TableError(again[WHERE], f"names the image {again[IMAGE]} again, after {first}", "keep one of them")
        joined = rows if joined is None else _merged(joined, rows)
    if joined is None:
        raise ValueError("there is no table")
    missing = [column for column in (LABEL, LESION, PATIENT, SITE, SPLIT) if column not in joined]
    return joined.assign(**dict.fromkeys(missing, "")).fillna("")


def own_columns(meanings: Sequence[Meaning]) -> list[str]:
    """The tables' own columns in their order, as `join` names them; that of the label is among them."""
    named = ([*([ONE_HOT] if meaning.one_hot else []), *_names(meaning).values()] for meaning in meanings)
    return [*dict.fromkeys(name for names in named for name in names)]


def contradictions(rows: Rows) -> Iterator[str]:
    """A sentence for each lesion with two labels or two patients.

    Raises TableError for names of lesions and patients that a spreadsheet has changed.
    """
    for column in (LESION, PATIENT):
        for where, value in zip(rows[WHERE], rows[column], strict=True):
            require_written(where, column[1:], value)
    lesions = rows.loc[rows[LESION].ne("")]
    for column in (LABEL, PATIENT):
        different = lesions.loc[lesions[column].ne("")].drop_duplicates([LESION, column])
        for lesion, of in different[different[LESION].duplicated(keep=False)].groupby(LESION, sort=False):
            first, second = of.iloc[0], of.iloc[1]
            yield (
                f"{second[WHERE]}: lesion {lesion} has the {column[1:]} {second[column]}, but {first[column]} in "
                f"{first[WHERE]}; its photographs stay together."
            )


def _names(meaning: Meaning) -> dict[str, str]:
    """The tables' own columns, and what they are called here. That of the label stays, besides what is made of it."""
    label = [meaning.roles["label"]] if "label" in meaning.roles else []
    taken = {*meaning.roles.values(), *meaning.one_hot}
    own = label + [column for column in meaning.rows.columns if column not in taken]
    return {name: f"{name}_" if name.casefold() in RESERVED else name for name in own}


def _as_rows(meaning: Meaning) -> Rows:
    source, names = meaning.rows.frame, _names(meaning)
    rows = source[list(names)].rename(columns=names)
    for role, column in meaning.roles.items():
        rows[f"@{role}"] = source[column]
    if meaning.one_hot:
        rows[LABEL] = rows[ONE_HOT] = meaning.diagnosis
    rows[WHERE] = [meaning.rows.at(line) for line in source.index]
    return rows.loc[rows[IMAGE].ne("")]


def _keys(images: "pd.Series[str]") -> "pd.Series[str]":
    """What is equal for an image in several tables: its name without folders, unless only these tell two apart."""
    keys = images.map(stem)
    return keys.where(~keys.duplicated(keep=False), images.str.casefold())


def _merged(first: Rows, second: Rows) -> Rows:
    """Both tables by key; where both say something of an image, they must say the same."""
    for column in first.columns.intersection(second.columns).drop([WHERE, IMAGE]):
        one, other = first[column].align(second[column], join="inner", fill_value="")
        differ = one.ne(other) & one.ne("") & other.ne("")
        if differ.any():
            before, after = (rows[rows.index == differ[differ].index[0]].iloc[0] for rows in (first, second))
            said = f"has {column.removeprefix('@')} {after[column]} for {after[IMAGE]}, where {before[WHERE]} has "
            raise TableError(after[WHERE], f"{said}{before[column]}", "correct one of them")
    return first.replace("", None).combine_first(second.replace("", None))
