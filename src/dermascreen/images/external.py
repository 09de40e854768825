"""Photographs of other clinics, without those that show a lesion that the model was made with."""

from pathlib import Path

import pandas as pd

from dermascreen.errors import ArchiveError
from dermascreen.images.layouts import ARCHIVES, CLASSES, SPLIT_FOLDERS, SUFFIXES, SYSTEM_FOLDERS, stored
from dermascreen.images.lesions import find_pairs, join
from dermascreen.params import AuditParams


def list_clinics(folder: Path) -> dict[str, Path]:
    """The zips and folders in `folder` by name, sorted.

    Raises ArchiveError for two of one name, and for what is likely to be meant as a clinic but is none: a broken link,
    another archive than a zip, photographs on their own, or the folders of a class or split.
    """
    clinics: dict[str, Path] = {}
    if not folder.is_dir():
        raise ArchiveError(f"{folder} is not a folder; set evaluate.external to a folder that holds other clinics.")
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.casefold() in SYSTEM_FOLDERS:
            continue
        if problem := _no_clinic(path):
            raise ArchiveError(f"{path} {problem}.")
        if not (path.is_dir() or path.suffix.lower() == ".zip"):
            continue
        name = stored(path.name if path.is_dir() else path.stem)
        if name in clinics:
            raise ArchiveError(f"{folder} holds two clinics of the name {name}; rename one of them.")
        clinics[name] = path
    return clinics


def _no_clinic(path: Path) -> str | None:
    """What is wrong with `path`, in a folder of clinics, and what to do."""
    if not path.exists():
        return "is a link that leads nowhere; mend it or take it out"
    if path.is_dir():
        alone = path.name.casefold() in {*CLASSES, *SPLIT_FOLDERS}
        return "is part of a clinic; put it into a folder of that clinic's name" if alone else None
    if path.suffix.lower() in SUFFIXES:
        return "is a photograph of no clinic; put it into a class's folder in a folder of its clinic's name"
    if path.suffix.lower() in {*ARCHIVES} - {".zip"}:
        return "is an archive, but not a zip; unpack it into a folder"
    return None


def mark_known(
    root: Path, manifest: pd.DataFrame, own_root: Path, own: pd.DataFrame, params: AuditParams
) -> pd.DataFrame:
    """`manifest` with the columns lesion, and known: whether the lesion is also among the photographs `own`.

    Parameters: `manifest` of a clinic's images under `root`, `own` of those under `own_root`; each has path and sha256.
    """
    images = pd.concat(
        [
            own.assign(path=[str(own_root / path) for path in own["path"]], known=True),
            manifest.assign(path=[str(root / path) for path in manifest["path"]], known=False),
        ],
        ignore_index=True,
    )
    lesion = pd.Series(join(images["path"].tolist(), find_pairs(Path(), images, params)))
    known = images["known"].groupby(lesion).transform("any")
    return manifest.assign(lesion=lesion.to_numpy()[len(own) :], known=known.to_numpy()[len(own) :])
