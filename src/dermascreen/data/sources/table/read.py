"""Photographs and what tables say of them: `data.source: table`."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from dermascreen.artifacts.dataset.details import TableDetails
from dermascreen.core.errors import ArchiveError, ParamsError, TableError
from dermascreen.core.params import TableParams
from dermascreen.data.sources.archives import Archive, Folder, require_bounded
from dermascreen.data.sources.layouts import (
    CLASSES,
    NO_SPLIT,
    REASONS,
    SPLIT_FOLDERS,
    SPLITS,
    Entry,
    Parts,
    not_a_photograph,
    shared_folders,
    stored,
)
from dermascreen.data.sources.source import Known, Source, require_classes
from dermascreen.data.sources.table.columns import NAMES_PATIENTS, Understood, names_images, personal, understand
from dermascreen.data.sources.table.images import Files, match
from dermascreen.data.sources.table.join import (
    CLASS,
    IMAGE,
    LABEL,
    LESION,
    PATIENT,
    SITE,
    SPLIT,
    WHERE,
    Rows,
    identify,
    join,
    own_columns,
)
from dermascreen.data.sources.table.labels import GENERIC, Labels, key
from dermascreen.data.sources.table.rows import LARGEST, CsvTable, read_header, read_rows

SUFFIXES = (".csv", ".tsv", ".tab")
DERMOSCOPY = "derm(?:at)?oscop"
SHOWN = 8  # values of the label in a sentence
NEITHER, UNNAMED = "neither", "blank"
MAP = "set data.table.columns.{0} in params.yaml, or with `dvc exp run -S data.table.columns.{0}=NAME`, to its column"
WANTED = "list the values of both classes in data.table.malignant and data.table.benign"


def holds_tables(archive: Archive) -> bool:
    """Whether any file of an archive may be a table."""
    return any(_is_table(entry) for entry in archive.entries)


def read_table(
    archive: Archive, params: TableParams, max_unpacked_gib: float, *, beside: Path | None = None, pooled: bool = False
) -> Source:
    """The photographs that the tables in an archive, or beside it, give a class, with all that they say.

    Rows without a photograph and photographs without a row are counted; a row whose label is in neither list is left
    out. Raises ArchiveError as `archives` does; TableError, which names the file, the line and the value, for what a
    table gets wrong.

    Parameters: `beside`, a CSV file or a folder of them; `pooled`, whether splits are ignored.
    """
    labels = Labels.of(params)
    tables, unused = _tables(archive, beside, params, max_unpacked_gib)
    meanings = understand(tables, params.columns)
    if not any(meaning.labelled for meaning in meanings):
        raise _no_table(archive.path, tables, unused, meanings)
    named = join(meanings)
    if named.empty:
        where = " and ".join(meaning.rows.name for meaning in meanings)
        raise TableError(
            where, "names no image: the cells of the column that was taken for it are blank", MAP.format("image")
        )
    files, left_out = _photographs(archive)
    found = match(dict(zip(named[IMAGE], named[WHERE], strict=True)), files, params.max_unmatched, archive.path)
    chosen, left_out["copies"] = files.choose(found.files)

    rows = named.loc[named[IMAGE].isin(chosen)]
    if (code := labels.numbers_among(rows[LABEL])) is not None and not params.malignant:
        where = rows.loc[rows[LABEL].eq(code), WHERE].iloc[0]
        raise TableError(where, f"has the label {code}, so 0 and 1 may be codes of diagnoses too", WANTED)
    classes = rows[LABEL].map(labels)
    splits = pd.Series(NO_SPLIT, rows.index) if pooled else _splits(rows)
    outside = splits.eq(NO_SPLIT) & bool(splits.ne(NO_SPLIT).any()) & classes.notna()
    used = rows.loc[classes.notna() & ~outside]
    left_out["no_row"] = found.without_row
    left_out["no_label"] = [chosen[image] for image in rows.loc[classes.isna(), IMAGE]]
    left_out["no_split"] = [chosen[image] for image in rows.loc[outside, IMAGE]]
    left = {reason: left_out[reason] for reason in REASONS if left_out.get(reason)}

    places = _places(splits[used.index], classes[used.index], [chosen[image] for image in used[IMAGE]])
    require_classes(
        places.values(), left, archive.path, f"{WANTED}; the labels are {_named(rows[LABEL])}", pooled=pooled
    )
    require_bounded(archive, places, max_unpacked_gib)
    used, contradictions = identify(used.assign(**{CLASS: classes[used.index]}))
    own, hidden = _columns(used, meanings, params.keep)
    metadata = _metadata(used, own).set_axis(list(places.values()))
    details = TableDetails(
        layouts={meaning.rows.name: meaning.layout for meaning in meanings},
        rows=len(named),
        rows_without_image=len(found.without_file),
        labels=_label_counts(rows[LABEL], classes),
        columns=[name for name in metadata.columns if name not in (LESION[1:], PATIENT[1:])],
        personal=list(hidden),
        lesions=_distinct(used[LESION]),
        patients=_distinct(used[PATIENT]),
    )
    return Source(
        len(places),
        ((places[parts], content) for parts, content in archive.contents(places)),
        left,
        archive.linked(places),
        Known(
            metadata,
            details,
            [
                *_in_words(meanings, details, hidden, archive.path),
                *(f"Not used, as it names no image: {one}." for one in unused),
                *_other_images(metadata),
                *_without_patient(used, meanings),
                *contradictions,
            ],
        ),
    )


def _is_table(entry: Entry) -> bool:
    locked = entry.parts[-1].startswith("~$")  # by a spreadsheet that has the table open
    return not locked and not_a_photograph(entry) == "no_images" and Path(entry.parts[-1]).suffix.casefold() in SUFFIXES


def _tables(
    archive: Archive, beside: Path | None, params: TableParams, max_unpacked_gib: float
) -> tuple[list[CsvTable], list[str]]:
    """The tables that name images; and for each other one its name and its columns, in words."""
    wanted = [entry.parts for entry in archive.entries if _is_table(entry)]
    require_bounded(archive, wanted, max_unpacked_gib)
    tables, unused, seen = [], [], set()
    for name, content in _contents(archive, wanted, beside):
        digest = hashlib.sha256(content).digest()
        if digest in seen:  # such as a copy beside the archive
            continue
        seen.add(digest)
        if names_images(header := read_header(name, content), params.columns):
            tables.append(read_rows(name, content))
        else:
            unused.append(f"{name} has {', '.join(header)}" if header else f"{name} has no header")
    return tables, unused


def _contents(archive: Archive, wanted: Sequence[Parts], beside: Path | None) -> Iterator[tuple[str, bytes]]:
    """The name and the content of each table, in the order of their names; one that lies in the archive comes once."""
    for parts in sorted(wanted):
        for _, content in archive.contents([parts], LARGEST):
            yield "/".join(parts), content
    if beside is None or beside.resolve().is_relative_to(archive.path.resolve()):
        return
    if beside.is_dir():
        folder = Folder(beside)
        for name, content in _contents(folder, [entry.parts for entry in folder.entries if _is_table(entry)], None):
            yield f"{beside}/{name}", content
        return
    try:
        yield str(beside), beside.read_bytes()
    except OSError as error:
        said = f"data.table.files: {beside} cannot be read ({error.strerror})"
        raise ArchiveError(f"{said}; give a CSV file, or a folder of them.") from None


def _no_table(
    path: Path, tables: Sequence[CsvTable], unused: Sequence[str], meanings: Sequence[Understood]
) -> TableError:
    if not tables and not unused:
        return TableError(str(path), "holds no table", "put a CSV file into it, or name one with data.table.files")
    shown = "; ".join([*(f"{rows.name} has {', '.join(rows.columns)}" for rows in tables), *unused])
    missing = "label" if meanings else "image"
    return TableError(
        str(path), f"comes with no table that has a known column of {missing}s ({shown})", MAP.format(missing)
    )


def _photographs(archive: Archive) -> tuple[Files, dict[str, Sequence[Parts]]]:
    """The photographs by name, and the other files by the reason for which they are left out; tables are not."""
    left_out: dict[str, list[Parts]] = {}
    photographs = []
    ignored = shared_folders(entry.parts for entry in archive.entries if not not_a_photograph(entry, len(entry.parts)))
    for entry in archive.entries:
        reason = not_a_photograph(entry, ignored)
        if reason is None:
            photographs.append(entry.parts)
        elif not _is_table(entry):
            left_out.setdefault(reason, []).append(entry.parts)
    return Files(archive, photographs), {**left_out}


def _splits(rows: Rows) -> "pd.Series[str]":
    """The split of each row, NO_SPLIT where it has none; raises TableError for one that is not known."""
    names = rows[SPLIT].str.casefold()
    known = names.map(SPLIT_FOLDERS)
    if (bad := known.isna() & names.ne("")).any():
        row = rows[bad].iloc[0]
        advice = f"use {', '.join(SPLITS)}, or set data.table.columns.split to none"
        raise TableError(row[WHERE], f"has the split {row[SPLIT]}", advice)
    return known.fillna(NO_SPLIT)


def _places(splits: Iterable[str], classes: Iterable[str], files: Sequence[Parts]) -> dict[Parts, str]:
    """The place of each photograph, such as malignant/ISIC_0000001.jpg, in their order."""
    alone = not pd.Series([parts[-1].casefold() for parts in files], dtype=object).duplicated().any()
    folders = {folder: str(number) for number, folder in enumerate(dict.fromkeys(parts[:-1] for parts in files), 1)}
    return {  # folders may have the names of patients, and so are numbered
        parts: "/".join(
            [
                *([] if split == NO_SPLIT else [split]),
                label,
                *([] if alone else [folders[parts[:-1]]]),
                stored(parts[-1]),
            ]
        )
        for split, label, parts in zip(splits, classes, files, strict=True)
    }


def _columns(rows: Rows, meanings: Sequence[Understood], asked: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The tables' own columns to keep; and those that may tell who somebody is and were not asked for, with the reason.

    A column of labels that says no more than the class is in neither.
    """
    labels = {meaning.roles.get("label") for meaning in meanings}
    own = [
        name
        for name in own_columns(meanings)
        if name.rstrip("_") not in labels or not {*rows[name].map(key)} <= GENERIC
    ]
    wanted = {name.casefold(): name for name in asked}
    if unknown := wanted.keys() - {name.casefold() for name in own}:
        raise ParamsError(f"data.table.keep names {wanted[min(unknown)]}, but the tables have {', '.join(own)}.")
    hidden = {name: why for name in own if (why := personal(name, rows[name])) and name.casefold() not in wanted}
    return [name for name in own if name not in hidden], hidden


def _metadata(rows: Rows, own: Sequence[str]) -> pd.DataFrame:
    """The columns of Metadata."""
    ours = pd.DataFrame({LESION[1:]: rows[LESION], PATIENT[1:]: rows[PATIENT]})
    if rows[SITE].ne("").any():
        ours[SITE[1:]] = rows[SITE]
    return ours.join(rows[list(own)].apply(_one_case))


def _one_case(column: "pd.Series[str]") -> "pd.Series[str]":
    """Values that differ only in case as the commonest of them."""
    values = pd.Series(column.value_counts().index, dtype=object)  # the commonest first
    commonest = values.set_axis(values.str.casefold())
    return column.str.casefold().map(commonest[~commonest.index.duplicated()])


def _label_counts(labels: "pd.Series[str]", classes: "pd.Series[str]") -> dict[str, dict[str, int]]:
    """How many images have each value of the label, by class."""
    counted = {}
    for name in (*CLASSES, NEITHER):
        values = labels[classes.fillna(NEITHER).eq(name)].replace("", UNNAMED).value_counts().sort_index()
        counted[name] = {str(value): int(count) for value, count in values.items()}
    return {name: values for name, values in counted.items() if values}


def _distinct(names: "pd.Series[str]") -> int:
    return int(names[names.ne("")].nunique())


def _named(labels: "pd.Series[str]") -> str:
    """The commonest values of the label, and how often each occurs."""
    counts = labels.replace("", UNNAMED).value_counts()
    shown = ", ".join(f"{value} {count:,}" for value, count in counts.head(SHOWN).items())
    return f"{shown}, ..." if len(counts) > SHOWN else shown


def _labels_in_words(labels: dict[str, dict[str, int]]) -> Iterator[str]:
    """What each value of the label was taken for, and how often it occurs."""
    for name, values in labels.items():
        counted = ", ".join(f"{value} {count:,}" for value, count in values.items())
        yield f"Labels taken as {name}: {counted}" if name in CLASSES else f"Labels left out, as neither: {counted}"


def _in_words(
    meanings: Sequence[Understood], details: TableDetails, hidden: dict[str, str], path: Path
) -> Iterator[str]:
    """What was read from the tables, in sentences."""
    for meaning in meanings:
        roles = [f"{role} is {column}" for role, column in meaning.roles.items()]
        if meaning.one_hot:
            roles.append(f"label is the column with a 1 among {', '.join(meaning.one_hot)}")
        yield f"{meaning.rows.name} ({meaning.layout}): {', '.join(roles)}."
    if not any("patient" in meaning.roles for meaning in meanings):
        yield "No column names patients, so photographs of one person may be in several splits."
    yield from (f"{one}." for one in _labels_in_words(details.labels))
    if details.columns:
        yield f"Kept of the tables: {', '.join(details.columns)}."
    for column, why in hidden.items():
        if why == NAMES_PATIENTS and not any("patient" in meaning.roles for meaning in meanings):
            yield (
                f"Left out the column {column}, which seems to name patients; data.table.columns.patient={column} "
                "keeps all photographs of a patient in one split."
            )
        else:
            yield f"Left out the column {column}, which may tell who somebody is ({why}); data.table.keep keeps it."
    if details.rows_without_image:
        yield f"{details.rows_without_image:,} of {details.rows:,} rows name an image that is not in {path}."


def _without_patient(used: Rows, meanings: Sequence[Understood]) -> Iterator[str]:
    """A sentence about photographs whose patient is blank in the column of patients, if there is one."""
    blank = int(used[PATIENT].eq("").sum())
    if blank and any("patient" in meaning.roles for meaning in meanings):
        yield (
            f"{blank:,} of {len(used):,} photographs have no patient; each lesion there counts as one of a patient of "
            "its own."
        )


def _other_images(metadata: pd.DataFrame) -> Iterator[str]:
    """A sentence about photographs that a table says are not dermoscopy."""
    for name in metadata.columns:
        if name.casefold() == "image_type":
            others = metadata.loc[metadata[name].ne("") & ~metadata[name].str.contains(DERMOSCOPY, case=False), name]
            counted = ", ".join(f"{value} {count:,}" for value, count in others.value_counts().items())
            if counted:
                yield f"Not dermoscopy, by the column {name}: {counted}; this network is meant for dermoscopy."
