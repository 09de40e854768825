"""Photographs of other sites, except those that show a lesion of ours."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dermascreen.artifacts.dataset.manifest import RAW, Manifest
from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.core.errors import ArchiveError
from dermascreen.core.params import AuditParams
from dermascreen.data.lesions.pairs import find_pairs, join, number_patients
from dermascreen.data.sources.layouts import ARCHIVES, CLASSES, SPLIT_FOLDERS, SUFFIXES, SYSTEM_FOLDERS, stored


def list_sites(folder: Path) -> dict[str, Path]:
    """The zips and folders in `folder` by name, sorted.

    Raises ArchiveError for two sites with the same name, and for what was probably meant as a site but is not one: a
    broken link, an archive other than a zip, photographs on their own, or a class or split folder.
    """
    sites: dict[str, Path] = {}
    if not folder.is_dir():
        raise ArchiveError(f"{folder} is not a folder; set evaluate.external to a folder that holds other sites.")
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.casefold() in SYSTEM_FOLDERS:
            continue
        if problem := _not_a_site(path):
            raise ArchiveError(f"{path} {problem}.")
        if not (path.is_dir() or path.suffix.lower() == ".zip"):
            continue
        name = stored(path.name if path.is_dir() else path.stem)
        if name in sites:
            raise ArchiveError(f"{folder} holds two sites with the name {name}; rename one of them.")
        sites[name] = path
    return sites


def _not_a_site(path: Path) -> str | None:
    """What is wrong with `path` in a folder of sites, and what to do."""
    if not path.exists():
        return "is a broken link; repair or remove it"
    if path.is_dir():
        alone = path.name.casefold() in {*CLASSES, *SPLIT_FOLDERS}
        return "is part of a site; put it into a folder with that site's name" if alone else None
    if path.suffix.lower() in SUFFIXES:
        return "is a photograph outside any site; put it into a class folder in a folder with its site's name"
    if path.suffix.lower() in {*ARCHIVES} - {".zip"}:
        return "is an archive, but not a zip; unpack it into a folder"
    return None


class Listed(NamedTuple):
    """What is known of a site's images: numbers that are equal for those of one lesion, and of one patient, and which
    lesions are ours.
    """

    lesion: npt.NDArray[np.intp]  # shape (n,)
    patient: npt.NDArray[np.intp]  # shape (n,)
    known: npt.NDArray[np.bool_]  # shape (n,)


def find_known(root: Path, images: Manifest, metadata: Metadata, own: Manifest, params: AuditParams) -> Listed:
    """The lesions and patients of a site's `images`, under `root`, and which lesions are among our `own`, under RAW.

    Parameters: `metadata` of the site's images, which may name their lesions and patients.
    """
    paths = [*(str(RAW / path) for path in own.path), *(str(root / path) for path in images.path)]
    sha256 = [*own.sha256, *images.sha256]
    about = metadata.at(images.path)
    declared = [*("" for _ in own.path), *about["lesion"]]  # another data set has other names
    label = np.concatenate([own.label, images.label])
    lesion = join(paths, find_pairs(Path(), paths, sha256, label, params, declared=declared))
    ours, theirs = lesion[: len(own)], lesion[len(own) :]
    return Listed(theirs, number_patients(theirs, about["patient"]), np.isin(theirs, ours))
