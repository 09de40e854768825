"""One row for each image, from all tables that say something of it."""

from collections.abc import Iterator, Sequence

import pandas as pd

from dermascreen.artifacts.dataset.metadata import DECLARED
from dermascreen.core.errors import TableError
from dermascreen.core.params import ROLES
from dermascreen.data.sources.table.columns import Understood
from dermascreen.data.sources.table.images import require_written, stem
from dermascreen.data.sources.table.labels import key

# Columns of what a row means; the table's own columns cannot have such names.
IMAGE, LABEL, LESION, PATIENT, SITE, SPLIT = (f"@{role}" for role in ROLES)
CLASS = "@class"  # benign or malignant
WHERE = "@where"  # file and line of the row
ONE_HOT = "diagnosis"  # the column of the metadata that one-hot columns become
SHOWN = 3  # examples in a sentence
SOME, MOSTLY = 3, 0.5  # of the lesions with several photographs
RESERVED = {"path", *DECLARED, SITE[1:]}  # columns of the metadata that are ours

Rows = pd.DataFrame


def join(meanings: Sequence[Understood]) -> Rows:
    """A row for each image that any table names: what it means, in the columns above, blank where no table says, and
    the tables' own columns, of which those that have a name of ours end in an underscore.

    Tables with the same columns are one table in several files. Raises TableError for two rows of an image in them, and
    for tables that say different things of an image.
    """
    alike: dict[tuple[str, ...], list[Rows]] = {}
    told_apart = _told_apart_by_folders(meanings)
    for meaning in sorted(meanings, key=lambda one: not one.labelled):  # so WHERE is the row that has the label
        table = _as_rows(meaning)
        alike.setdefault(tuple(sorted(table.columns)), []).append(table)
    joined: Rows | None = None
    for tables in alike.values():
        rows = pd.concat(tables, ignore_index=True)
        names = rows[IMAGE].str.replace("\\", "/", regex=False)
        rows.index = pd.Index([name.casefold() if stem(name) in told_apart else stem(name) for name in names])
        if (twice := rows.index.duplicated()).any():
            again = rows.iloc[int(twice.argmax())]
            first = rows[WHERE].iloc[int((rows.index == again.name).argmax())]
            raise TableError(again[WHERE], f"names the image {again[IMAGE]} again, after {first}", "keep one of them")
        joined = rows if joined is None else _merged(joined, rows)
    if joined is None:
        raise ValueError("there is no table")
    missing = [column for column in (LABEL, LESION, PATIENT, SITE, SPLIT) if column not in joined]
    return joined.assign(**dict.fromkeys(missing, "")).fillna("")


def own_columns(meanings: Sequence[Understood]) -> list[str]:
    """The tables' own columns in their order, as `join` names them; that of the label is among them."""
    named = ([*([ONE_HOT] if meaning.one_hot else []), *_names(meaning).values()] for meaning in meanings)
    return [*dict.fromkeys(name for names in named for name in names)]


def identify(rows: Rows) -> tuple[Rows, list[str]]:
    """The rows with one name for each lesion and a number for each patient, and sentences about what contradicts.

    Names that differ only in case, or as 12 and 12.0, are one. What a hospital calls its patients goes no further than
    this. Where the numbers of lesions begin again in each patient, a lesion is named by both.
    Raises TableError for names that a spreadsheet has changed.
    """
    for column in (LESION, PATIENT):
        for where, value in zip(rows[WHERE], rows[column], strict=True):
            require_written(where, column[1:], value)
    lesion, patient = (rows[column].map(key) for column in (LESION, PATIENT))
    numbers = pd.factorize(patient.where(patient.ne("")))[0] + 1
    numbered = pd.Series([str(number) if number else "" for number in numbers], rows.index)
    of_both = lesion.ne("") & numbered.ne("")
    several = lesion[of_both].groupby(lesion[of_both]).transform("size").gt(1)
    patients_of = numbered[of_both].groupby(lesion[of_both]).nunique()
    repeated = patients_of[lesion[of_both][several].unique()]
    names = rows[LESION].groupby(lesion).transform("first")  # as the table first writes it
    said = []
    if repeated.gt(1).sum() >= SOME and repeated.gt(1).mean() > MOSTLY:
        names = (numbered + "/" + names).where(of_both, names)
        said = ["The numbers of lesions begin again in each patient, so a lesion is named by both."]
    found = rows.assign(**{LESION: names, PATIENT: numbered})
    return found, [*said, *_contradictions(found, CLASS, "labels"), *_contradictions(found, PATIENT, "patients")]


def _contradictions(rows: Rows, column: str, what: str) -> Iterator[str]:
    """A sentence about the lesions that have several values in a column, if there are any; it does not say which."""
    named = rows.loc[rows[LESION].ne("") & rows[column].ne("")].drop_duplicates([LESION, column])
    twice = named[named[LESION].duplicated(keep=False)]
    if twice.empty:
        return
    examples = [
        f"{of[LESION].iloc[0]} ({of[WHERE].iloc[0]}, {of[WHERE].iloc[1]})"
        for _, of in twice.groupby(LESION, sort=False)
    ]
    shown = ", ".join(examples[:SHOWN]) + (", ..." if len(examples) > SHOWN else "")
    lesions = "1 lesion has" if len(examples) == 1 else f"{len(examples):,} lesions have"
    yield f"{lesions} several {what}: {shown}; all photographs of a lesion stay together."


def _names(meaning: Understood) -> dict[str, str]:
    """The tables' own columns, and what they are called here; the label's own column is among them."""
    label = [meaning.roles["label"]] if "label" in meaning.roles else []
    taken = {*meaning.roles.values(), *meaning.one_hot}
    own = label + [column for column in meaning.rows.columns if column not in taken]
    names: dict[str, str] = {}
    for name in own:
        names[name] = name
        while names[name].casefold() in RESERVED or (names[name] != name and names[name] in own):
            names[name] += "_"
    return names


def _as_rows(meaning: Understood) -> Rows:
    source, names = meaning.rows.frame, _names(meaning)
    rows = source[list(names)].rename(columns=names)
    for role, column in meaning.roles.items():
        rows[f"@{role}"] = source[column]
    if meaning.one_hot:
        rows[LABEL] = rows[ONE_HOT] = meaning.diagnosis
    rows[WHERE] = [meaning.rows.at(line) for line in source.index]
    return rows.loc[rows[IMAGE].ne("")]


def _told_apart_by_folders(meanings: Sequence[Understood]) -> set[str]:
    """The stems of images that only folders tell apart, in any of the tables."""
    found: set[str] = set()
    for meaning in meanings:
        names = meaning.rows.frame[meaning.roles["image"]].str.casefold().drop_duplicates()
        stems = names.map(stem)
        found |= {*stems[stems.duplicated(keep=False) & names.str.contains(r"[/\\]")]}
    return found


def _merged(first: Rows, second: Rows) -> Rows:
    """Both tables by key; where both say something of an image, they must say the same."""
    for column in first.columns.intersection(second.columns).drop([WHERE, IMAGE]):
        one, other = first[column].align(second[column], join="inner", fill_value="")
        differ = one.map(key).ne(other.map(key)) & one.ne("") & other.ne("")
        if differ.any():
            before, after = (rows[rows.index == differ[differ].index[0]].iloc[0] for rows in (first, second))
            said = f"has {column.removeprefix('@')} {after[column]} for {after[IMAGE]}, where {before[WHERE]} has "
            raise TableError(after[WHERE], f"{said}{before[column]}", "correct one of them")
    return first.replace("", None).combine_first(second.replace("", None))
