"""Read CSV files as people make them: by spreadsheets of any country, by hand, by an archive's export."""

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from dermascreen.core.errors import TableError

LARGEST = 2**28  # bytes of a table
LONGEST_HEADER = 2**17  # bytes in which a table's header ends
SEPARATORS = ",;\t|"
BLANK = {  # no value
    "", "-", "--", "---", "?", "n/a", "na", "nan", "none", "null", "unknown", "not available", "not known",
    "not recorded", "not specified", "unspecified", "anonymous", "none given", "missing",
}  # fmt: skip
FAILED = re.compile(r"#(n/?[ad]|nv|[^\s#]+[!?])")  # and what spreadsheets write where a formula found none


@dataclass(frozen=True)
class CsvTable:
    """A table of text; blanks and words for them are empty."""

    name: str  # of its file, for sentences
    frame: pd.DataFrame  # indexed by the line of the file that each row ends on

    @property
    def columns(self) -> list[str]:
        return list(self.frame.columns)

    def find(self, name: str) -> str | None:
        """The column of that name, whatever its case, spaces and punctuation: Patient ID is patient_id."""
        return next((column for column in self.columns if bare(column) == bare(name)), None)

    def at(self, line: int) -> str:
        return f"{self.name} line {line}"


def bare(name: str) -> str:
    """A column's name as letters and digits alone, in lower case."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def read_header(name: str, content: bytes) -> list[str]:
    """The names of the columns in the content of a CSV file; empty where it has none."""
    first = next(_parsed(name, _decoded(name, content[:LONGEST_HEADER], cut=len(content) > LONGEST_HEADER)), (0, []))
    return [column for column in first[1] if column]


def read_rows(name: str, content: bytes) -> CsvTable:
    """The table in the content of a CSV file; raises TableError, which names the file and the line.

    Fields are separated by commas, semicolons, tabs or bars, whichever the header has most of. Text is UTF-8, UTF-16
    with a byte-order mark, or else Windows-1252, in which spreadsheets of Western Europe save.
    """
    if len(content) > LARGEST:
        raise TableError(name, f"is larger than {LARGEST // 2**20} MiB", "leave out columns that are not needed")
    lines = list(_parsed(name, _decoded(name, content)))
    if not lines:
        raise TableError(name, "is empty", "give a table with a header and a row for each image")
    (_, header), *body = lines
    while header and not header[-1]:
        header.pop()
    named = [column.casefold() for column in header if column]
    if twice := next((column for column in named if named.count(column) > 1), None):
        raise TableError(name, f"has two columns {twice}", "rename one of them")
    rows = {}
    for line, fields in body:
        if any(fields[len(header) :]) or len(fields) < len(header):
            raise TableError(
                f"{name} line {line}", f"has {len(fields)} fields, where the header has {len(header)}",
                "complete it, and quote fields that hold the separator",
            )  # fmt: skip
        rows[line] = ["" if _blank(field) else field for field in fields[: len(header)]]
    if not rows:
        raise TableError(name, "has a header and no rows", "give a table with a row for each image")
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=pd.Index(header), dtype=object)
    return CsvTable(
        name, frame.loc[:, [bool(column) for column in header]]
    )  # a spreadsheet's numbers of rows have no name


def _blank(field: str) -> bool:
    return field.casefold() in BLANK or FAILED.fullmatch(field.casefold()) is not None


def _decoded(name: str, content: bytes, *, cut: bool = False) -> str:
    """The text in the content of a file; with `cut`, its last line may be broken."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            return codecs.getincrementaldecoder(encoding)().decode(content, final=not cut)
        except UnicodeDecodeError:
            continue
    raise TableError(name, "is not text", "save it as CSV in UTF-8")


def _parsed(name: str, text: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, without spaces around its fields, and its last line in the file.

    Letters are composed, as most programs write them: macOS takes those of names apart.
    """
    if "\0" in text:
        raise TableError(name, "is not text", "save it as CSV in UTF-8")
    text = unicodedata.normalize("NFC", text)
    first, _, rest = text.lstrip("\r\n").partition("\n")
    skipped = text[: len(text) - len(text.lstrip("\r\n"))].count("\n")
    if first.strip().casefold().startswith("sep=") and len(first.strip()) == len("sep=,"):  # Excel's own first line
        text, skipped, first = rest, skipped + 1, rest.partition("\n")[0]
    separator = max(SEPARATORS, key=re.sub(r'"[^"]*"', "", first).count)
    reader = csv.reader(io.StringIO(text.lstrip("\r\n"), newline=""), delimiter=separator, strict=True)
    try:
        for fields in reader:
            stripped = [field.strip() for field in fields]
            if any(stripped):
                yield reader.line_num + skipped, stripped
    except csv.Error:
        problem = "has a quotation mark that is not closed or not doubled"
        raise TableError(f"{name} line {reader.line_num + skipped}", problem, "correct it") from None
