"""Other sites: which there are, and which of their photographs show a lesion that was trained on."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.core.errors import ArchiveError
from dermascreen.core.params import AuditParams
from dermascreen.data import sites
from dermascreen.data.sites import find_known, list_sites


def test_zips_and_folders_are_sites_and_nothing_else_is(tmp_path) -> None:
    (tmp_path / "Oslo").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("Bergen.ZIP", "README.md", ".gitignore", ".draft.zip"):
        (tmp_path / name).touch()
    assert list_sites(tmp_path) == {"Bergen": tmp_path / "Bergen.ZIP", "Oslo": tmp_path / "Oslo"}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("Oslo.tar.gz", "is an archive, but not a zip; unpack it into a folder"),
        ("Oslo.7z", "is an archive, but not a zip; unpack it into a folder"),
        ("1.JPG", "is a photograph outside any site; put it into a class folder in a folder with its site's name"),
        ("Benign/", "is part of a site; put it into a folder with that site's name"),
        ("train/", "is part of a site; put it into a folder with that site's name"),
        ("Oslo@", "is a broken link; repair or remove it"),
    ],
)
def test_what_may_be_meant_as_a_site_is_not_passed_over(tmp_path, name, problem) -> None:
    path = tmp_path / name.rstrip("/@")
    if name.endswith("/"):
        path.mkdir()
    elif name.endswith("@"):
        path.symlink_to("gone")
    else:
        path.touch()
    with pytest.raises(ArchiveError) as error:
        list_sites(tmp_path)
    assert str(error.value) == f"{path} {problem}."


def test_linked_sites_count_and_names_are_fit_for_metrics(tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / os.fsdecode(b"K\xf8ln\r")).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "sites/__MACOSX").mkdir()
    assert list(list_sites(tmp_path / "sites")) == ["K%F8ln%0D"]


def test_a_folder_without_sites_has_none(tmp_path) -> None:
    (tmp_path / "README.md").touch()
    assert list_sites(tmp_path) == {}


def test_two_sites_of_one_name_are_refused(tmp_path) -> None:
    (tmp_path / "Oslo").mkdir()
    (tmp_path / "Oslo.zip").touch()
    with pytest.raises(ArchiveError, match=r"holds two sites with the name Oslo; rename one of them\.$"):
        list_sites(tmp_path)


@pytest.mark.parametrize("make", [Path.exists, Path.touch])
def test_what_is_no_folder_is_named(tmp_path, make) -> None:
    make(tmp_path / "sites")
    with pytest.raises(ArchiveError, match=r"sites is not a folder; set evaluate\.external to a folder"):
        list_sites(tmp_path / "sites")


def photographs(folder: Path, images: dict[str, np.ndarray]) -> Manifest:
    folder.mkdir()
    for name, pixels in images.items():
        Image.fromarray(pixels).save(folder / name)
    digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in images]
    nothing = np.zeros(len(images), dtype=int)
    paths, sha256 = (np.array(texts, dtype=object) for texts in ([*images], digests))
    return Manifest(paths, nothing, np.full(len(images), "none", dtype=object), nothing, nothing, sha256)


def test_photographs_of_a_lesion_trained_on_are_known_whichever_name_they_have(tmp_path, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    a, b, c, d = (rng.integers(0, 256, (40, 40, 3), dtype=np.uint8) for _ in range(4))
    own = photographs(tmp_path / "own", {"same.png": a, "other.png": b})
    there = photographs(tmp_path / "there", {"same.png": c, "copy.png": a, "again.png": c, "alone.png": d})
    monkeypatch.setattr(sites, "RAW", tmp_path / "own")
    known = Metadata.of(there.path)
    found = find_known(tmp_path / "there", there, known, own, AuditParams(max_distance=0, min_score=1e9))
    assert found.known.tolist() == [False, True, False, False]
    lesion = found.lesion.tolist()
    assert lesion[0] == lesion[2]
    assert len(set(lesion)) == 3
    assert found.patient.tolist() == [0, 1, 0, 2]  # photographs of a lesion are of one patient
    names = pd.DataFrame({"lesion": "", "patient": ["", "x", "", "x"]}, index=pd.Index(there.path))
    told = find_known(
        tmp_path / "there", there, Metadata.of(there.path, names), own, AuditParams(max_distance=0, min_score=1e9)
    )
    assert told.patient.tolist() == [0, 1, 0, 1]
