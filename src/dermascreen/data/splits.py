"""Train, val and test that share no lesion and no patient."""

from typing import TypeAlias

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, StratifiedShuffleSplit, train_test_split

from dermascreen.artifacts.dataset.columns import Texts
from dermascreen.artifacts.dataset.details import ColumnCounts, PartCounts, SplitDetails
from dermascreen.artifacts.dataset.lesions import Lesions
from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.artifacts.dataset.splits import TEST, TRAIN, VAL, Splits
from dermascreen.core.errors import ParamsError, TooFewLesionsError
from dermascreen.core.params import WITH_DUPLICATES, HoldOutParams, SplitParams
from dermascreen.data.strata import ages

# What to do where a split has too few lesions.
FRACTIONS = "change the fractions under split"
GROUPED = "set split.protocol=grouped, which divides the lesions of all folders"
HELD_OUT = "hold out other values with split.hold_out"
FEWEST = 2  # lesions of each class in each split: with fewer, no AUC can be told from chance
SHOWN = 12  # values in a sentence
MOST_VALUES = 30  # of a column whose values are counted
TRIALS = 200  # random divisions of patients, of which the most even is taken

Divided: TypeAlias = tuple[pd.DataFrame, pd.DataFrame]  # the rest of the lesions, and those taken; by number


def split_images(manifest: Manifest, lesions: Lesions, metadata: Metadata, params: SplitParams) -> Splits:
    """Assign each photograph to train, val, test or excluded.

    All photographs of a patient go to one split, and so do those of a lesion; where no patient is known to have several
    lesions, lesions are divided. They are stratified by label (malignant if any photograph is).
    With protocol `official`, the data set's test folder is test, and photographs of its lesions in other folders are
    excluded. If the data set has a val folder, that is val, without lesions of test, and training photographs of its
    lesions are excluded; otherwise val is drawn from the lesions outside test. `official_with_duplicates` is the same,
    but near-duplicates of test in the training folder stay in train: a leak, kept to measure what it is worth. With
    `grouped`, the folders are ignored: test is drawn from all lesions, or is fold number `params.fold` of
    `params.folds`, which together hold every lesion once, and val is drawn from the rest. With `params.hold_out`, test
    is the photographs that have one of its values in its column of the metadata, and other photographs of their
    patients and lesions are excluded. With `params.selection_fraction`, that share of the lesions left for train is
    selection.

    Photographs stay in the manifest's order.
    Raises TooFewLesionsError if a split would have fewer than two lesions of a class, ParamsError if the protocol needs
    a test folder and there is none, or hold_out names what the metadata lack.
    """
    groups = lesions.at(manifest.path)
    images = manifest.to_frame().assign(lesion=groups.lesion, patient=groups.patient)
    every = images.groupby("lesion").agg(label=("label", "max"), patient=("patient", "first"))
    folders = folders_used(manifest, params)
    held_out = _held_out(metadata.at(manifest.path), params.hold_out)
    advice = dict.fromkeys(folders, GROUPED)
    if params.hold_out.column:
        advice["rest"] = HELD_OUT
    rest, test = _test_and_rest(every, images, held_out, folders, params)
    if "test" in folders and min(_counts(rest)) < 2 * FEWEST:
        advice["rest"] = GROUPED
    of_the_rest = advice.get("rest", FRACTIONS)
    if "val" in folders:
        train, val = _with_any(rest, images, images["source_split"].eq("val"))
    else:
        train, val = draw(rest, params.val_fraction, params.seed, "train and val", of_the_rest)
    parts = {"train": train, "val": val, "test": test}
    if params.selection_fraction:
        name = "train and selection"
        parts["train"], parts["selection"] = draw(train, params.selection_fraction, params.seed, name, of_the_rest)

    images["split"] = ""
    for name, members in parts.items():
        images.loc[images["lesion"].isin(members.index), "split"] = name
    split, source = images["split"].copy(), images["source_split"]
    images.loc[split.isin(folders) & source.ne(split), "split"] = "excluded"
    if params.hold_out.column:
        images.loc[split.eq("test") & ~held_out, "split"] = "excluded"
    if params.protocol == WITH_DUPLICATES:
        in_test = images["lesion"].isin(images.loc[source.eq("test"), "lesion"])  # not all lesions of those patients
        images.loc[split.eq("test") & source.eq("train") & in_test, "split"] = "train"
    for name in parts:
        left = images[images["split"].eq(name)].groupby("lesion").agg(label=("label", "max"))
        if min(_counts(left)) < FEWEST:
            raise TooFewLesionsError(name, *_counts(left), FEWEST, advice.get(name, of_the_rest))
    return Splits.of(images)


def _test_and_rest(
    every: pd.DataFrame, images: pd.DataFrame, held_out: "pd.Series[bool]", folders: list[str], params: SplitParams
) -> Divided:
    """The lesions outside test, and those in it."""
    if "test" in folders:
        return _with_any(every, images, images["source_split"].eq("test"))
    if params.hold_out.column:
        return _with_any(every, images, held_out)
    if params.folds:
        return _fold(every, params)
    return draw(every, params.test_fraction, params.seed, "test and the rest")


def folders_used(manifest: Manifest, params: SplitParams) -> list[str]:
    """Which splits are the data set's own folders, and not drawn; raises ParamsError if test should be and is none."""
    if params.protocol == "grouped":
        return []
    folders = [name for name in ("val", "test") if (manifest.source_split == name).any()]
    if "test" not in folders:
        raise ParamsError(
            f"split.protocol is {params.protocol}, but the data set has no test folder; set split.protocol=grouped, "
            "and test is drawn from all lesions."
        )
    return folders


def _held_out(metadata: Metadata, params: HoldOutParams) -> "pd.Series[bool]":
    """Which photographs have one of the values to be held out."""
    if not params.column:
        return pd.Series(data=False, index=metadata.frame.index)
    if params.column not in metadata.columns:
        known = ", ".join(metadata.columns) or "none, as the data have no table"
        raise ParamsError(f"split.hold_out.column is {params.column}, but the columns of {Metadata.PATH} are {known}.")
    column = pd.Series(metadata[params.column]).str.casefold()
    for value in params.values:  # noqa: PD011 - a list of ours
        if not column.eq(value.casefold()).any():
            known = ", ".join(sorted({*metadata[params.column]} - {""})[:SHOWN])
            raise ParamsError(
                f"split.hold_out.values names {value}, which no photograph has as {params.column}; there are {known}."
            )
    return column.isin([value.casefold() for value in params.values])  # noqa: PD011


def _with_any(lesions: pd.DataFrame, images: pd.DataFrame, chosen: "pd.Series[bool]") -> Divided:
    """The lesions of patients without a chosen photograph, and those of patients with one."""
    within = lesions["patient"].isin(images.loc[chosen, "patient"])
    return lesions[~within], lesions[within]


def draw(lesions: pd.DataFrame, fraction: float, seed: int, name: str, advice: str = FRACTIONS) -> Divided:
    """All but about `fraction` of the lesions, and that fraction, at random and with equal shares of both labels."""
    try:
        if lesions["patient"].is_unique:
            rest, drawn = train_test_split(lesions, test_size=fraction, stratify=lesions["label"], random_state=seed)
            return rest, drawn
        return _most_even(lesions, fraction, seed)
    except ValueError:
        alone = lesions["patient"].is_unique
        counted = lesions if alone else lesions.groupby("patient").agg({"label": "max"})
        what = "lesions" if alone else "patients, who each stay in one split,"
        raise TooFewLesionsError(name, *_counts(counted), FEWEST, advice, what=what) from None


def _most_even(lesions: pd.DataFrame, fraction: float, seed: int) -> Divided:
    """Of random divisions of patients, the one that comes nearest to `fraction` of the lesions of each label."""
    patients = lesions.groupby("patient")["label"].agg(malignant="sum", lesions="size")
    counts = np.stack([patients["lesions"] - patients["malignant"], patients["malignant"]], axis=1)
    if not counts.sum(axis=0).all():
        raise ValueError("a class has no lesion")
    trials = StratifiedShuffleSplit(TRIALS, test_size=fraction, random_state=seed)
    drawn = [chosen for _, chosen in trials.split(patients, patients["malignant"] > 0)]
    off = [np.abs(counts[chosen].sum(axis=0) / counts.sum(axis=0) - fraction).max() for chosen in drawn]
    within = lesions["patient"].isin(patients.index[drawn[int(np.argmin(off))]])
    return lesions[~within], lesions[within]


def _fold(lesions: pd.DataFrame, params: SplitParams) -> Divided:
    if min(_counts(lesions)) < FEWEST * params.folds:
        raise TooFewLesionsError(f"{params.folds} folds", *_counts(lesions), FEWEST * params.folds, "lower split.folds")
    alone = lesions["patient"].is_unique
    if (patients := lesions["patient"].nunique()) < params.folds:
        raise ParamsError(
            f"split.folds is {params.folds}, but photographs of one patient stay in one fold, as do patients with "
            f"photographs of one lesion, and there are {patients} to divide; lower split.folds or add images."
        )
    folds = (StratifiedKFold if alone else StratifiedGroupKFold)(params.folds, shuffle=True, random_state=params.seed)
    groups = None if alone else lesions["patient"]
    rest, test = list(folds.split(lesions, lesions["label"], groups))[params.fold]
    return lesions.iloc[rest], lesions.iloc[test]


def _counts(lesions: pd.DataFrame) -> tuple[int, int]:
    return int(lesions["label"].eq(0).sum()), int(lesions["label"].eq(1).sum())


def summarise(splits: Splits, metadata: Metadata) -> SplitDetails:
    """Photographs, lesions and patients in each split, by label, and what `metadata` say of them."""
    about, known = metadata.at(splits.path), bool((metadata["patient"] != "").any())
    return SplitDetails(
        **{
            str(name): PartCounts(
                images=len(part),
                lesions=int(part["lesion"].nunique()),
                benign=int(part["label"].eq(0).sum()),
                malignant=int(part["label"].eq(1).sum()),
                patients=int(part["patient"].nunique()) if known else None,
            )
            for name, part in splits.to_frame().groupby("split")
        },
        columns={name: _count(name, pd.Series(about[name]), splits.split) for name in about.columns},
    )


def _count(name: str, column: "pd.Series[str]", split: Texts) -> ColumnCounts:
    filled = column.ne("")
    known, of = column[filled], split[filled]
    years = ages(name, column)
    numbers = pd.to_numeric(known, errors="coerce") if years is None else years[filled]
    if years is None and not np.isfinite(numbers).all():  # words, of which some are numbers
        numbers = pd.Series(np.nan, known.index)
    values, ranges = {}, {}
    for part in (TRAIN, VAL, TEST):
        if known.nunique() <= MOST_VALUES:
            values[part] = {str(value): int(count) for value, count in known[of == part].value_counts().items()}
        if (those := numbers[of == part].dropna()).size:
            ranges[part] = float(those.min()), float(those.max())
    return ColumnCounts(known=len(known), distinct=known.nunique(), values=values, ranges=ranges)
