"""What the columns of a table mean, by their names: those of published data sets, and plain words."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from dermascreen.core.errors import TableError
from dermascreen.core.params import ROLES, TableColumns
from dermascreen.data.sources.table.labels import BENIGN, MALIGNANT, NEITHER
from dermascreen.data.sources.table.rows import Rows

AUTO, NONE = "auto", "none"


class Published(NamedTuple):
    """A table that is published beside photographs."""

    name: str
    header: frozenset[str]  # columns that tell it from the others


PUBLISHED = (
    Published("ISIC Archive", frozenset({"isic_id", "diagnosis_1"})),
    Published("ISIC Archive", frozenset({"isic_id", "benign_malignant"})),
    Published("ISIC 2024 challenge", frozenset({"isic_id", "target"})),
    Published("ISIC 2020 challenge", frozenset({"image_name", "target"})),
    Published("ISIC challenge, diagnoses", frozenset({"image", "mel", "nv", "bcc"})),
    Published("ISIC challenge, metadata", frozenset({"image", "age_approx", "anatom_site_general"})),
    Published("HAM10000", frozenset({"image_id", "lesion_id", "dx"})),
    Published("PAD-UFES-20", frozenset({"img_id", "diagnostic"})),
    Published("BCN20000", frozenset({"bcn_filename"})),
)
# The names by which a column of each role is recognised, the first that a table has.
NAMES: dict[str, Sequence[str]] = {
    "image": (
        "isic_id", "image", "image_id", "image_name", "img_id", "img", "bcn_filename", "filename", "file_name", "file",
        "photo", "picture", "image_path", "path",
    ),
    "label": (
        "diagnosis_1", "benign_malignant", "target", "malignant", "label", "class", "dx", "diagnosis", "diagnostic",
    ),
    "lesion": ("lesion", "lesion_id", "lesionid"),
    "patient": ("patient", "patient_id", "patientid", "subject", "subject_id"),
    "site": ("hospital", "institution", "centre", "center", "clinic"),
    "split": ("split",),
}  # fmt: skip
CODES = frozenset(value for value in (*MALIGNANT, *BENIGN, *NEITHER) if value.isalpha() and len(value) <= len("akiec"))
ONE_HOT = 3  # columns named by diagnoses, at least: a 1 says which is the image's


@dataclass(frozen=True)
class Meaning:
    """The columns of one table by role, and one-hot columns of diagnoses."""

    rows: Rows
    roles: Mapping[str, str]
    one_hot: tuple[str, ...]

    @property
    def layout(self) -> str:
        header = {column.casefold() for column in self.rows.columns}
        return next((known.name for known in PUBLISHED if known.header <= header), "a table of its own")

    @property
    def diagnosis(self) -> "pd.Series[str]":
        """The one-hot column that is each row's."""
        hot = self.rows.frame[list(self.one_hot)].apply(pd.to_numeric, errors="coerce")
        bad = ~(hot.isin([0, 1]).all(axis=1) & hot.sum(axis=1).eq(1))
        if bad.any():
            where = self.rows.at(int(bad.idxmax()))
            raise TableError(where, f"has not one 1 among {', '.join(self.one_hot)}", "correct it")
        return pd.Series(hot.columns[hot.to_numpy().argmax(axis=1)], hot.index)

    @property
    def labelled(self) -> bool:
        return bool(self.one_hot) or "label" in self.roles


def understand(tables: Iterable[Rows], asked: TableColumns) -> list[Meaning]:
    """The meaning of each table that names images; raises TableError if a column that was asked for is in none."""
    every = list(tables)
    for role in ROLES:
        name = getattr(asked, role)
        if name not in (AUTO, NONE) and not any(rows.find(name) for rows in every):
            raise _no_column(f"data.table.columns.{role} is {name},", name, every)
    found = [_understand(rows, asked) for rows in every]
    return [meaning for meaning in found if "image" in meaning.roles]


def _understand(rows: Rows, asked: TableColumns) -> Meaning:
    roles: dict[str, str] = {}
    for role in ROLES:
        name = getattr(asked, role)
        names = {AUTO: NAMES[role], NONE: ()}.get(name, (name,))
        column = next((column for one in names if (column := rows.find(one)) and column not in roles.values()), None)
        if column is not None:
            roles[role] = column
    hot = tuple(column for column in rows.columns if column.casefold() in CODES and column not in roles.values())
    if "label" in roles or len(hot) < ONE_HOT or asked.label == NONE:
        hot = ()
    return Meaning(rows, roles, hot)


def _no_column(said: str, name: str, tables: Sequence[Rows]) -> TableError:
    columns = [column for rows in tables for column in rows.columns]
    near = difflib.get_close_matches(name, columns, n=1)
    hint = f"; did you mean {near[0]}" if near else ""
    shown = ", ".join(f"{rows.name} has {', '.join(rows.columns)}" for rows in tables)
    return TableError(said, "which is no column", f"{shown}{hint}")


# Columns that tell who somebody is, by the words of their names, and by their values.
PERSONAL = (
    {"birth"}, {"birthday"}, {"birthdate"}, {"birthplace"}, {"dob"}, {"geburtsdatum"}, {"geburtstag"}, {"naissance"},
    {"surname"}, {"firstname"}, {"lastname"}, {"fullname"}, {"forename"}, {"vorname"}, {"nachname"}, {"apellido"},
    {"first", "name"}, {"last", "name"}, {"full", "name"}, {"family", "name"}, {"given", "name"}, {"middle", "name"},
    {"maiden", "name"}, {"patient", "name"}, {"doctor", "name"}, {"physician", "name"},
    {"email"}, {"mail"}, {"phone"}, {"telephone"}, {"mobile"}, {"fax"}, {"address"}, {"street"}, {"zip"}, {"zipcode"},
    {"postcode"}, {"postal"}, {"ssn"}, {"mrn"}, {"passport"}, {"insurance"}, {"social", "security"},
    {"medical", "record"}, {"national", "id"}, {"ip"},
)  # fmt: skip
WHOLE_NAMES = {"name", "names", "patient", "date"}
DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{2,4})"
    r"([T ].*)?"
)
MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[a-zA-Z]{2,}")
MOSTLY, ENOUGH = 0.5, 1000  # of the values; so many tell


def personal(column: str, values: "pd.Series[str]") -> str | None:
    """Why a column may tell who somebody is; None if it does not seem to."""
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column).casefold()))
    if any(known <= words for known in PERSONAL) or column.casefold() in WHOLE_NAMES:
        return "by its name"
    filled = values[values.ne("")].astype(str).drop_duplicates().head(ENOUGH)
    if len(filled) and filled.str.fullmatch(DATE).mean() > MOSTLY:
        return "dates"
    if len(filled) and filled.str.fullmatch(MAIL).mean() > MOSTLY:
        return "addresses"
    return None
