"""Train, val and test that share no lesion."""

import pandas as pd
from sklearn.model_selection import StratifiedKFold, train_test_split

from dermascreen.artifacts.dataset.details import PartCounts, SplitDetails
from dermascreen.artifacts.dataset.lesions import Lesions
from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.artifacts.dataset.splits import Splits
from dermascreen.core.errors import ParamsError, TooFewLesionsError
from dermascreen.core.params import SplitParams

# What to do where a split has too few lesions.
FRACTIONS = "change the fractions under split"
GROUPED = "set split.protocol=grouped, which divides the lesions of all folders"
FEWEST = 2  # lesions of each class in each split: with fewer, no AUC can be told from chance


def split_images(manifest: Manifest, lesions: Lesions, params: SplitParams) -> Splits:
    """Assign each photograph to train, val, test or excluded.

    All photographs of a lesion go to one split; lesions are stratified by label (malignant if any photograph is).
    With protocol `official`, the data set's test folder is test, and photographs of its lesions in other folders are
    excluded. If the data set has a val folder, that is val, without lesions of test, and training photographs of its
    lesions are excluded; otherwise val is drawn from the lesions outside test. `official_with_duplicates` is the same,
    but near-duplicates of test in the training folder stay in train: a leak, kept to measure what it is worth. With
    `grouped`, the folders are ignored: test is drawn from all lesions, or is fold number `params.fold` of
    `params.folds`, which together hold every lesion once, and val is drawn from the rest.

    Photographs stay in the manifest's order.
    Raises TooFewLesionsError if a split would have fewer than two lesions of a class, ParamsError if the protocol needs
    a test folder and there is none.
    """
    images = manifest.to_frame().assign(lesion=lesions.at(manifest.path).lesion)
    label = images.groupby("lesion")["label"].max()
    folders = folders_used(manifest, params)
    if "test" in folders:
        rest, test = _in_folder(label, images, "test")
    elif params.folds:
        rest, test = _fold(label, params)
    else:
        rest, test = _draw(label, params.test_fraction, params.seed, "test and the rest")
    of_the_rest = GROUPED if "test" in folders and min(_counts(rest)) < 2 * FEWEST else FRACTIONS
    if "val" in folders:
        train, val = _in_folder(rest, images, "val")
    else:
        train, val = _draw(rest, params.val_fraction, params.seed, "train and val", of_the_rest)

    images["split"] = ""
    for name, members in {"train": train, "val": val, "test": test}.items():
        images.loc[images["lesion"].isin(members.index), "split"] = name
        if min(_counts(members)) < FEWEST:
            advice = GROUPED if name in folders else of_the_rest
            raise TooFewLesionsError(name, *_counts(members), FEWEST, advice)
    split, source = images["split"].copy(), images["source_split"]
    images.loc[split.isin(folders) & source.ne(split), "split"] = "excluded"
    if params.protocol == "official_with_duplicates":
        images.loc[split.eq("test") & source.eq("train"), "split"] = "train"
    return Splits.of(images)


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


def _in_folder(label: "pd.Series[int]", images: pd.DataFrame, name: str) -> tuple["pd.Series[int]", "pd.Series[int]"]:
    """Lesions without a photograph in the folder of split `name`, and those with one."""
    within = label.index.isin(images.loc[images["source_split"].eq(name), "lesion"])
    return label[~within], label[within]


def _draw(
    label: "pd.Series[int]", fraction: float, seed: int, name: str, advice: str = FRACTIONS
) -> tuple["pd.Series[int]", "pd.Series[int]"]:
    try:
        rest, drawn = train_test_split(label, test_size=fraction, stratify=label, random_state=seed)
    except ValueError:
        raise TooFewLesionsError(name, *_counts(label), FEWEST, advice) from None
    return rest, drawn


def _fold(label: "pd.Series[int]", params: SplitParams) -> tuple["pd.Series[int]", "pd.Series[int]"]:
    if min(_counts(label)) < FEWEST * params.folds:
        raise TooFewLesionsError(f"{params.folds} folds", *_counts(label), FEWEST * params.folds, "lower split.folds")
    folds = StratifiedKFold(params.folds, shuffle=True, random_state=params.seed)
    rest, test = list(folds.split(label, label))[params.fold]
    return label.iloc[rest], label.iloc[test]


def _counts(label: "pd.Series[int]") -> tuple[int, int]:
    return int(label.eq(0).sum()), int(label.eq(1).sum())


def summarise(splits: Splits) -> SplitDetails:
    """Photographs and lesions in each split, by label."""
    return SplitDetails(
        **{
            str(name): PartCounts(
                images=len(part),
                lesions=int(part["lesion"].nunique()),
                benign=int(part["label"].eq(0).sum()),
                malignant=int(part["label"].eq(1).sum()),
            )
            for name, part in splits.to_frame().groupby("split")
        }
    )
