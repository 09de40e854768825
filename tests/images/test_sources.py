import errno
import hashlib
import io
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from dermascreen.errors import ArchiveError, CorruptArchiveError, DermascreenError, ImageError
from dermascreen.images import photograph
from dermascreen.images.sources import FOLDERS, fetch, read_archive, summarise
from dermascreen.params import DataParams, SyntheticParams

REAL = Path("../shared/data/skin-cancer-malignant-vs-benign.zip")


@pytest.fixture
def store(tmp_path: Path) -> Callable[[Path], pd.DataFrame]:
    """Fetch from an archive; whatever fails must leave nothing behind, not even a temporary file."""
    target = tmp_path / "data"

    def run(archive: Path, max_unpacked_gib: float = 1.0, source: str = "archive") -> pd.DataFrame:
        params = DataParams(
            source=source, slug="a/b", archive=str(archive), max_unpacked_gib=max_unpacked_gib,
            synthetic=SyntheticParams(images=16, size=32, seed=0),
        )  # fmt: skip
        before = sorted(target.rglob("*"))
        try:
            return fetch(params, tmp_path / "cache", target / "raw", target / "manifest.csv")
        except (DermascreenError, OSError):
            assert sorted(target.rglob("*")) == before
            raise

    return run


def test_a_zip_becomes_a_folder_and_a_manifest(store, make_zip, images, tmp_path, jpeg) -> None:
    images["test/malignant/wide.png"] = jpeg(9, width=30, height=20)
    manifest = store(make_zip(images))
    assert manifest.equals(pd.read_csv(tmp_path / "data/manifest.csv"))
    assert manifest["path"].tolist() == sorted(images)
    assert {path: (tmp_path / "data/raw" / path).read_bytes() for path in images} == images
    assert manifest.iloc[0].to_dict() == {
        "path": "test/benign/1.jpg", "label": 0, "source_split": "test", "width": 10, "height": 8,
        "sha256": hashlib.sha256(images["test/benign/1.jpg"]).hexdigest(),
    }  # fmt: skip
    assert manifest.query("path.str.endswith('.png')").iloc[0, 1:5].tolist() == [1, "test", 30, 20]
    assert summarise(manifest) == {
        "images": 9, "train": {"benign": 2, "malignant": 2}, "test": {"benign": 2, "malignant": 3},
    }  # fmt: skip


def test_a_folder_gives_the_same(store, make_zip, images, tmp_path) -> None:
    for path, content in images.items():
        file = tmp_path / "folder/some prefix" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    assert store(tmp_path / "folder").equals(store(make_zip(images)))


def test_synthetic_lesions_go_the_same_way(store, tmp_path) -> None:
    manifest = store(tmp_path, source="synthetic")
    assert len(manifest) == 16
    assert set(manifest["width"]) == set(manifest["height"]) == {32}
    assert {path.parent.relative_to(tmp_path / "data/raw").as_posix() for path in tmp_path.rglob("*.jpg")} == {*FOLDERS}


def test_what_was_there_is_replaced(store, make_zip, images, tmp_path, jpeg) -> None:
    store(make_zip({**images, "test/benign/old.jpg": jpeg(3)}))
    store(make_zip(images))
    assert len([*(tmp_path / "data/raw").rglob("*.jpg")]) == len(images)


@pytest.mark.parametrize("prefix", ["", "skin-cancer/", "a/b/"])
def test_a_second_copy_counts_once_and_the_shallow_one_wins(store, make_zip, images, prefix, jpeg) -> None:
    entries = {f"{prefix}data/{path}": jpeg(77) for path in images} | {prefix + path: images[path] for path in images}
    manifest = store(make_zip(entries))
    assert manifest["path"].tolist() == sorted(images)
    assert set(manifest["sha256"]) == {hashlib.sha256(content).hexdigest() for content in images.values()}


def test_what_is_no_photograph_is_left_out(store, make_zip, images) -> None:
    litter = ["README.md", "train/notes.txt", "__MACOSX/train/benign/1.jpg", "train/benign/._1.jpg",
              "test/benign/Thumbs.db", "train/benign/.DS_Store", "__MACOSX/train/benign/3.jpg"]  # fmt: skip
    assert len(store(make_zip(images | dict.fromkeys(litter, b"litter")))) == len(images)


def test_backslashes_separate_folders_too(store, make_zip, images) -> None:
    manifest = store(make_zip({path.replace("/", "\\"): content for path, content in images.items()}))
    assert manifest["path"].tolist() == sorted(images)


@pytest.mark.parametrize("name", ["../train/benign/3.jpg", "train/benign/../../../3.jpg", "/train/benign/3.jpg",
                                  "..\\3.jpg", "C:\\train\\benign\\3.jpg", "\\3.jpg"])  # fmt: skip
def test_an_entry_that_points_outside_is_refused(store, make_zip, images, name, jpeg) -> None:
    with pytest.raises(ArchiveError, match=r"archive\.zip holds .*3\.jpg', which points outside of it; do not trust"):
        store(make_zip({**images, name: jpeg()}))


def test_a_link_is_refused(store, make_zip, images) -> None:
    path = make_zip(images)
    link = zipfile.ZipInfo("train/benign/3.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ArchiveError, match=r"holds 'train/benign/3\.jpg', which points outside"):
        store(path)


def test_a_zip_that_expands_too_far_is_refused_before_it_is_unpacked(store, make_zip, images) -> None:
    path = make_zip({**images, "train/benign/3.jpg": bytes(3 * 2**20)})
    assert path.stat().st_size < 2**16
    with pytest.raises(
        ArchiveError, match=r"unpack to 0\.0029\d GiB, but data\.max_unpacked_gib is 0\.001; raise that"
    ):
        store(path, max_unpacked_gib=0.001)


def test_a_zip_that_lies_about_its_size_is_refused(store, make_zip, images) -> None:
    path = make_zip({**images, "train/benign/3.jpg": bytes(3 * 2**20)})
    path.write_bytes(path.read_bytes().replace(struct.pack("<L", 3 * 2**20), struct.pack("<L", 1000)))
    with pytest.raises(CorruptArchiveError, match=r"is damaged at train/benign/3\.jpg; replace it by a whole copy"):
        store(path, max_unpacked_gib=0.001)


def test_a_huge_file_is_no_photograph(store, make_zip, images, monkeypatch) -> None:
    monkeypatch.setattr(photograph, "MAX_BYTES", 2**20)
    with pytest.raises(ImageError, match=r"train/benign/3\.jpg is larger than 1 MiB"):
        store(make_zip({**images, "train/benign/3.jpg": bytes(2**20 + 1)}))


def test_an_encrypted_zip_is_refused(store, make_zip, images) -> None:
    path = make_zip(images)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the first entry of the directory
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"is encrypted; set data\.archive to a zip without a password"):
        store(path)


def test_an_unusual_compression_is_refused(store, images, tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "archive.zip", "w", zipfile.ZIP_BZIP2) as archive:
        for name, content in images.items():
            archive.writestr(name, content)
    with pytest.raises(ArchiveError, match=r"unpack it and set data\.archive to the folder"):
        store(tmp_path / "archive.zip")


@pytest.mark.parametrize("content", [b"", b"<html>no zip</html>", b"PK\x03\x04" + bytes(100)])
def test_a_file_that_is_no_zip(store, tmp_path, content) -> None:
    (tmp_path / "archive.zip").write_bytes(content)
    with pytest.raises(CorruptArchiveError, match=r"archive\.zip is not a zip file, or not the whole of one; replace"):
        store(tmp_path / "archive.zip")


def test_a_zip_of_a_later_format(store, make_zip, images) -> None:
    path = make_zip(images)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 100  # the version that is needed to read its first entry: 10.0
    path.write_bytes(content)
    with pytest.raises(CorruptArchiveError, match="is not a zip file"):
        store(path)


def test_a_truncated_zip(store, make_zip, images) -> None:
    path = make_zip(images)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(CorruptArchiveError, match="not the whole of one"):
        store(path)


def test_a_missing_archive(store, tmp_path) -> None:
    with pytest.raises(
        ArchiveError, match=r"nowhere\.zip cannot be read \(No such file or directory\); set data\.arch"
    ):
        store(tmp_path / "nowhere.zip")


def test_a_file_that_cannot_be_read(store, images, tmp_path) -> None:
    for path in images:
        (tmp_path / "folder" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / path).symlink_to("nowhere")
    with pytest.raises(ArchiveError, match=r"folder/test/benign/1\.jpg cannot be read \(No such file or directory\);"):
        store(tmp_path / "folder")


@pytest.mark.parametrize("missing", [["train/benign"], ["test/malignant"], ["train/malignant", "test/malignant"]])
def test_a_missing_class_is_named(store, make_zip, images, missing) -> None:
    entries = {path: content for path, content in images.items() if path.rsplit("/", 1)[0] not in missing}
    with pytest.raises(ArchiveError, match=f"has no images in {', '.join(missing)}; give one that has"):
        store(make_zip(entries | {f"{folder}/": b"" for folder in missing}))


def test_an_empty_folder_holds_no_class(store, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArchiveError, match=f"has no images in {', '.join(FOLDERS)};"):
        store(tmp_path / "empty")


@pytest.mark.parametrize("other", ["train/benign/1.JPG", "copy/train/benign/1.jpg"])
def test_two_files_for_one_place_are_named(store, make_zip, images, other, jpeg) -> None:
    entries = {f"some/{path}": content for path, content in images.items()}
    entries[other if other.startswith("copy") else f"some/{other}"] = jpeg(5)
    with pytest.raises(ArchiveError, match=r"holds both .*/1\.\w+ and .*/1\.\w+ for one place; rename"):
        store(make_zip(entries))


def test_damage_inside_a_zip(store, make_zip, images) -> None:
    path = make_zip(images)
    content = bytearray(path.read_bytes())
    content[200] ^= 255
    path.write_bytes(content)
    with pytest.raises(CorruptArchiveError, match=r"is damaged at train/benign/1\.jpg"):
        store(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"no image", "is not a JPEG or PNG image"),
        (b"GIF89a" + bytes(50), "is not a JPEG or PNG image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "is not a JPEG or PNG image"),
    ],
)
def test_an_image_that_does_not_decode_is_named(store, make_zip, images, content, sentence) -> None:
    with pytest.raises(
        ImageError, match=rf"^test/benign/2\.jpg {sentence}; take it out, or give a corrected copy of the data\.$"
    ):
        store(make_zip({**images, "test/benign/2.jpg": content}))


def test_an_image_that_ends_early_is_named(store, make_zip, images, jpeg) -> None:
    with pytest.raises(ImageError, match=r"^test/benign/2\.jpg is cut off: \d+% of its rows are missing;"):
        store(make_zip({**images, "test/benign/2.jpg": jpeg(1, 200, 200)[:-3000]}))


def test_a_decompression_bomb_is_refused(store, make_zip, images) -> None:
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    with pytest.raises(
        ImageError, match=r"^test/benign/3\.png is 20000 x 20000 pixels, 400 megapixels, where at most 90"
    ):
        store(make_zip({**images, "test/benign/3.png": file.getvalue()}))


def test_the_manifest_says_the_sides_of_the_upright_picture(store, make_zip, images) -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(file, "JPEG", exif=exif)
    manifest = store(make_zip({**images, "test/benign/3.jpg": file.getvalue()})).set_index("path")
    assert manifest.loc["test/benign/3.jpg", ["width", "height"]].tolist() == [20, 30]


def test_a_full_disk_leaves_nothing(store, make_zip, images, monkeypatch, jpeg) -> None:
    def full(self: Path, _: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    store(make_zip(images))  # what is there from before stays
    monkeypatch.setattr(Path, "write_bytes", full)
    path = make_zip({**images, "train/benign/3.jpg": jpeg(3)})
    with pytest.raises(OSError, match="No space left"):
        store(path)


def test_one_image_is_held_at_a_time(make_zip, images) -> None:
    source = read_archive(make_zip(images), 1.0)
    assert source.total == len(images)
    assert next(iter(source.entries)) == ("test/benign/1.jpg", images["test/benign/1.jpg"])


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is missing: the data set is not part of the repository")
def test_the_real_archive(store) -> None:
    manifest = store(REAL)
    assert summarise(manifest) == {
        "images": 3297, "train": {"benign": 1440, "malignant": 1197}, "test": {"benign": 360, "malignant": 300},
    }  # fmt: skip
    assert set(manifest["width"]) == set(manifest["height"]) == {224}
    assert manifest["sha256"].duplicated().any()  # train/malignant/768 and 769, for one
