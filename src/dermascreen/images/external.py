"""Photographs of other clinics, without those that show a lesion that the model was made with."""

from pathlib import Path

import pandas as pd

from dermascreen.errors import ArchiveError
from dermascreen.images.lesions import find_pairs, join
from dermascreen.params import AuditParams


def list_clinics(folder: Path) -> dict[str, Path]:
    """The zips and folders in `folder` by name, sorted; two of one name raise ArchiveError."""
    clinics: dict[str, Path] = {}
    if not folder.is_dir():
        raise ArchiveError(f"{folder} is not a folder; set evaluate.external to a folder that holds other clinics.")
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not (path.is_dir() or path.suffix.lower() == ".zip"):
            continue
        name = path.name if path.is_dir() else path.stem
        if name in clinics:
            raise ArchiveError(f"{folder} holds two clinics of the name {name}; rename one of them.")
        clinics[name] = path
    return clinics


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
