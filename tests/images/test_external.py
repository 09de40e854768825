"""Other clinics: which there are, and which of their photographs show a lesion that was trained on."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermascreen.errors import ArchiveError
from dermascreen.images.external import list_clinics, mark_known
from dermascreen.params import AuditParams


def test_zips_and_folders_are_clinics_and_nothing_else_is(tmp_path) -> None:
    (tmp_path / "Oslo").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("Bergen.ZIP", "README.md", ".gitignore", ".draft.zip"):
        (tmp_path / name).touch()
    assert list_clinics(tmp_path) == {"Bergen": tmp_path / "Bergen.ZIP", "Oslo": tmp_path / "Oslo"}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("Oslo.tar.gz", "is an archive, but not a zip; unpack it into a folder"),
        ("Oslo.7z", "is an archive, but not a zip; unpack it into a folder"),
        ("1.JPG", "is a photograph of no clinic; put it into a class's folder in a folder of its clinic's name"),
        ("Benign/", "is part of a clinic; put it into a folder of that clinic's name"),
        ("train/", "is part of a clinic; put it into a folder of that clinic's name"),
        ("Oslo@", "is a link that leads nowhere; mend it or take it out"),
    ],
)
def test_what_may_be_meant_as_a_clinic_is_not_passed_over(tmp_path, name, problem) -> None:
    path = tmp_path / name.rstrip("/@")
    if name.endswith("/"):
        path.mkdir()
    elif name.endswith("@"):
        path.symlink_to("gone")
    else:
        path.touch()
    with pytest.raises(ArchiveError) as error:
        list_clinics(tmp_path)
    assert str(error.value) == f"{path} {problem}."


def test_linked_clinics_count_and_names_are_fit_for_metrics(tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "clinics").mkdir()
    (tmp_path / "clinics" / os.fsdecode(b"K\xf8ln\r")).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "clinics/__MACOSX").mkdir()
    assert list(list_clinics(tmp_path / "clinics")) == ["K%F8ln%0D"]


def test_a_folder_without_clinics_has_none(tmp_path) -> None:
    (tmp_path / "README.md").touch()
    assert list_clinics(tmp_path) == {}


def test_two_clinics_of_one_name_are_refused(tmp_path) -> None:
    (tmp_path / "Oslo").mkdir()
    (tmp_path / "Oslo.zip").touch()
    with pytest.raises(ArchiveError, match=r"holds two clinics of the name Oslo; rename one of them\.$"):
        list_clinics(tmp_path)


@pytest.mark.parametrize("make", [Path.exists, Path.touch])
def test_what_is_no_folder_is_named(tmp_path, make) -> None:
    make(tmp_path / "clinics")
    with pytest.raises(ArchiveError, match=r"clinics is not a folder; set evaluate\.external to a folder"):
        list_clinics(tmp_path / "clinics")


def photographs(folder: Path, images: dict[str, np.ndarray]) -> pd.DataFrame:
    folder.mkdir()
    for name, pixels in images.items():
        Image.fromarray(pixels).save(folder / name)
    digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in images]
    return pd.DataFrame({"path": [*images], "sha256": digests})


def test_photographs_of_a_lesion_trained_on_are_known_whichever_name_they_have(tmp_path) -> None:
    rng = np.random.default_rng(0)
    a, b, c, d = (rng.integers(0, 256, (40, 40, 3), dtype=np.uint8) for _ in range(4))
    own = photographs(tmp_path / "own", {"same.png": a, "other.png": b})
    there = photographs(tmp_path / "there", {"same.png": c, "copy.png": a, "again.png": c, "alone.png": d})
    marked = mark_known(tmp_path / "there", there, tmp_path / "own", own, AuditParams(max_distance=0, min_score=1e9))
    assert marked["path"].tolist() == ["same.png", "copy.png", "again.png", "alone.png"]
    assert marked["known"].tolist() == [False, True, False, False]
    lesion = marked["lesion"].tolist()
    assert lesion[0] == lesion[2]
    assert len(set(lesion)) == 3
