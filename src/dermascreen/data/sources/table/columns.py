"""What the columns of a table mean, by their names: those of published data sets, and plain words."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from dermascreen.artifacts.dataset.metadata import words_of
from dermascreen.core.errors import TableError
from dermascreen.core.params import ROLES, TableColumns
from dermascreen.data.sources.table.labels import BENIGN, MALIGNANT, NEITHER
from dermascreen.data.sources.table.rows import CsvTable, bare

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
    "lesion": ("lesion", "lesion_id"),
    "patient": ("patient", "patient_id", "subject", "subject_id"),
    "site": ("hospital", "institution", "centre", "center", "clinic"),
    "split": ("split",),
}  # fmt: skip
CODES = frozenset(value for value in (*MALIGNANT, *BENIGN, *NEITHER) if value.isalpha() and len(value) <= len("akiec"))
ONE_HOT = 3  # columns named by diagnoses, at least: a 1 says which is the image's


@dataclass(frozen=True)
class Understood:
    """The columns of one table by role, and one-hot columns of diagnoses."""

    rows: CsvTable
    roles: Mapping[str, str]
    one_hot: tuple[str, ...]

    @property
    def layout(self) -> str:
        header = {bare(column) for column in self.rows.columns}
        return next((known.name for known in PUBLISHED if {*map(bare, known.header)} <= header), "a table of its own")

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


def names_images(header: Iterable[str], asked: TableColumns) -> bool:
    """Whether a table with these columns names images."""
    names = {bare(column) for column in header}
    return any(bare(name) in names for name in (*NAMES["image"], asked.image))


def understand(tables: Sequence[CsvTable], asked: TableColumns) -> list[Understood]:
    """The meaning of each table that names images; raises TableError if a column that was asked for is in none."""
    for role in ROLES:
        name = getattr(asked, role)
        if name not in (AUTO, NONE) and not any(rows.find(name) for rows in tables):
            raise _no_column(f"data.table.columns.{role} is {name},", name, tables)
    found = [_understand(rows, asked) for rows in tables]
    return [meaning for meaning in found if "image" in meaning.roles]


def _understand(rows: CsvTable, asked: TableColumns) -> Understood:
    """A table that lacks a column that was asked for, which another one has, is understood as if it were auto."""
    roles: dict[str, str] = {}
    named = {role: rows.find(name) for role in ROLES if (name := getattr(asked, role)) not in (AUTO, NONE)}
    taken = {column for column in named.values() if column}
    for role in ROLES:
        column = named.get(role)
        if column in roles.values():
            raise TableError(rows.name, f"has one column {column} for {role} and something else", "name another column")
        if column is None and getattr(asked, role) != NONE:
            names = (rows.find(name) for name in NAMES[role])
            column = next((name for name in names if name and name not in {*roles.values(), *taken}), None)
        if column is not None:
            roles[role] = column
    hot = tuple(column for column in rows.columns if column.casefold() in CODES and column not in roles.values())
    if "label" in roles or len(hot) < ONE_HOT or asked.label == NONE:
        hot = ()
    return Understood(rows, roles, hot)


def _no_column(said: str, name: str, tables: Sequence[CsvTable]) -> TableError:
    columns = [column for rows in tables for column in rows.columns]
    near = difflib.get_close_matches(name, columns, n=1)
    hint = f"; did you mean {near[0]}" if near else ""
    shown = ", ".join(f"{rows.name} has {', '.join(rows.columns)}" for rows in tables)
    return TableError(said, "which is no column", f"{shown}{hint}")


# Columns that tell who somebody is, by the words of their names, and by their values.
PERSONAL = (
    {"birth"}, {"birthday"}, {"birthdate"}, {"birthplace"}, {"dob"}, {"born"}, {"geburtsdatum"}, {"geburtstag"},
    {"naissance"}, {"surname"}, {"firstname"}, {"lastname"}, {"fullname"}, {"forename"}, {"vorname"}, {"nachname"},
    {"apellido"}, {"first", "name"}, {"last", "name"}, {"full", "name"}, {"family", "name"}, {"given", "name"},
    {"middle", "name"}, {"maiden", "name"}, {"doctor", "name"}, {"physician", "name"},
    {"email"}, {"mail"}, {"phone"}, {"tel"}, {"telephone"}, {"mobile"}, {"fax"}, {"address"}, {"street"}, {"zip"},
    {"zipcode"}, {"postcode"}, {"postal"}, {"ssn"}, {"mrn"}, {"passport"}, {"insurance"}, {"social", "security"},
    {"medical", "record"}, {"national", "id"}, {"ip"},
)  # fmt: skip
OF_PATIENT = re.compile(r"(patient\w*|pat|subject|person)")  # a word; with one of these it is a name
IDENTIFIES = {
    "id",
    "ids",
    "name",
    "names",
    "nom",
    "nombre",
    "nr",
    "no",
    "num",
    "number",
    "nummer",
    "code",
    "key",
    "uid",
}
WHOLE_NAMES = {"name", "names", "date"}
PATIENTS = {"patient", "patients", "subject", "person"}
BEGINNINGS = ("birth", "geburt", "initial", "insur", "versicher", "telefon", "telephone", "patientinitial")
NAMES_PATIENTS = "it names patients"
DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})|(19|20)\d{2}(0[1-9]|1[0-2])[0-3]\d|"
    r"\d{1,2}[-. ]{1,2}[A-Za-z]{3,9}\.?[- ]\d{2,4}|[A-Za-z]{3,9}\.? \d{1,2},? \d{4})([T ].*)?"
)
MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[a-zA-Z]{2,}")
MOSTLY, ENOUGH = 0.5, 1000  # of the values; so many tell


def personal(column: str, values: "pd.Series[str]") -> str | None:
    """Why a column may tell who somebody is; None if it does not seem to."""
    words = set(words_of(column))
    of_patient = any(OF_PATIENT.fullmatch(word) for word in words)
    compound = any(re.fullmatch(rf"patient(en)?({'|'.join(IDENTIFIES)})", word) for word in words)
    if compound or (of_patient and words & IDENTIFIES) or bare(column) in PATIENTS:
        return NAMES_PATIENTS
    beginning = any(word.startswith(BEGINNINGS) for word in words)
    if beginning or any(known <= words for known in PERSONAL) or bare(column) in WHOLE_NAMES:
        return "by its name"
    filled = values[values.ne("")].astype(str).drop_duplicates().head(ENOUGH)
    if len(filled) and filled.str.fullmatch(DATE).mean() > MOSTLY:
        return "dates"
    if len(filled) and filled.str.fullmatch(MAIL).mean() > MOSTLY:
        return "addresses"
    return None
