import errno
import hashlib
import io
import os
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from dermascreen.artifacts.dataset.details import ClassCounts, DownloadDetails
from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.core.errors import ArchiveError, CorruptArchiveError, DermascreenError, ImageError
from dermascreen.core.params import DataParams, SyntheticParams
from dermascreen.data.photographs import photograph
from dermascreen.data.sources.archives import open_archive
from dermascreen.data.sources.fetch import KNOWN_LAYOUTS, Stored, fetch, in_words, summarise, unpack
from dermascreen.data.sources.folders import read_folders
from dermascreen.data.sources.layouts import REASONS, count_left_out, describe

REAL = Path("../shared/data/skin-cancer-malignant-vs-benign.zip")


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., Stored]:
    """Fetch from an archive; whatever fails must leave nothing behind, not even a temporary file."""
    target = tmp_path / "data"

    def run(archive: Path, max_unpacked_gib: float = 1.0, source: str = "archive") -> Stored:
        params = DataParams(
            source=source, slug="a/b", archive=str(archive), max_unpacked_gib=max_unpacked_gib,
            table=KNOWN_LAYOUTS, synthetic=SyntheticParams(images=16, size=32, seed=0),
        )  # fmt: skip
        before = sorted(target.rglob("*"))
        try:
            return fetch(params, tmp_path / "cache", target / "raw", target / "manifest.csv", target / "metadata.csv")
        except (DermascreenError, OSError):
            assert sorted(target.rglob("*")) == before
            raise

    return run


def test_a_zip_becomes_a_folder_and_a_manifest(store, make_zip, images, tmp_path, jpeg) -> None:
    images["test/malignant/wide.png"] = jpeg(9, width=30, height=20)
    stored = store(make_zip(images))
    manifest = stored.manifest
    assert manifest.to_frame().equals(pd.read_csv(tmp_path / "data/manifest.csv"))
    assert manifest.path.tolist() == sorted(images)
    assert {path: (tmp_path / "data/raw" / path).read_bytes() for path in images} == images
    assert manifest.to_frame().iloc[0].to_dict() == {
        "path": "test/benign/1.jpg", "label": 0, "source_split": "test", "width": 10, "height": 8,
        "sha256": hashlib.sha256(images["test/benign/1.jpg"]).hexdigest(),
    }  # fmt: skip
    assert manifest.to_frame().query("path.str.endswith('.png')").iloc[0, 1:5].tolist() == [1, "test", 30, 20]
    assert summarise(stored) == DownloadDetails(
        images=9,
        train=ClassCounts(benign=2, malignant=2),
        val=ClassCounts(benign=0, malignant=0),
        test=ClassCounts(benign=2, malignant=3),
        left_out=dict.fromkeys(REASONS, 0),
    )


def test_a_folder_gives_the_same(store, make_zip, make_folder, images) -> None:
    folder = make_folder({f"some prefix/{path}": content for path, content in images.items()})
    assert store(folder).manifest.to_frame().equals(store(make_zip(images)).manifest.to_frame())


def test_synthetic_lesions_go_the_same_way(store, tmp_path) -> None:
    manifest, left_out, *_ = store(tmp_path, source="synthetic")
    assert (len(manifest), left_out) == (16, {})
    assert set(manifest.width) == set(manifest.height) == {32}
    assert {path.parent.relative_to(tmp_path / "data/raw").as_posix() for path in tmp_path.rglob("*.jpg")} == {
        "train/benign", "train/malignant", "test/benign", "test/malignant",
    }  # fmt: skip


def test_what_was_there_is_replaced(store, make_zip, images, tmp_path, jpeg) -> None:
    store(make_zip({**images, "test/benign/old.jpg": jpeg(3)}))
    store(make_zip(images))
    assert len([*(tmp_path / "data/raw").rglob("*.jpg")]) == len(images)


@pytest.mark.parametrize("prefix", ["", "skin-cancer/", "a/b/"])
def test_a_second_copy_counts_once_and_the_shallow_one_wins(store, make_zip, images, prefix, jpeg) -> None:
    entries = {f"{prefix}data/{path}": jpeg(77) for path in images} | {prefix + path: images[path] for path in images}
    manifest, left_out, *_ = store(make_zip(entries))
    assert manifest.path.tolist() == sorted(images)
    assert count_left_out(left_out) == dict.fromkeys(REASONS, 0) | {"copies": len(images)}
    assert set(manifest.sha256) == {hashlib.sha256(content).hexdigest() for content in images.values()}


def test_what_is_no_photograph_is_left_out(store, make_zip, images) -> None:
    litter = ["README.md", "train/notes.txt", "__MACOSX/train/benign/1.jpg", "train/benign/._1.jpg",
              "test/benign/Thumbs.db", "train/benign/.DS_Store", "__MACOSX/train/benign/3.jpg"]  # fmt: skip
    manifest, left_out, *_ = store(make_zip(images | dict.fromkeys(litter, b"litter")))
    assert len(manifest) == len(images)
    assert count_left_out(left_out) == dict.fromkeys(REASONS, 0) | {"no_images": 2, "system_files": 5}


def test_backslashes_separate_folders_too(store, make_zip, images) -> None:
    entries = {path.replace("/", "\\"): content for path, content in images.items()}
    manifest, left_out, *_ = store(make_zip(entries | {"train\\benign\\": b""}))
    assert (manifest.path.tolist(), left_out) == (sorted(images), {})


@pytest.mark.parametrize("name", ["../train/benign/3.jpg", "train/benign/../../../3.jpg", "/train/benign/3.jpg",
                                  "C:train/benign/3.jpg", "//server/share/3.jpg", "..\\3.jpg",
                                  "C:\\train\\benign\\3.jpg", "\\3.jpg"])  # fmt: skip
def test_an_entry_that_points_outside_is_refused(store, make_zip, images, name, jpeg) -> None:
    with pytest.raises(
        ArchiveError, match=r"archive\.zip holds .*3\.jpg', which points outside the archive; do not trust"
    ):
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
    with pytest.raises(CorruptArchiveError, match=r"is damaged at train/benign/3\.jpg; replace it with a whole copy"):
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
    with pytest.raises(ArchiveError, match=r"is encrypted; give a zip without a password"):
        store(path)


def test_an_unusual_compression_is_refused(store, images, tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "archive.zip", "w", zipfile.ZIP_BZIP2) as archive:
        for name, content in images.items():
            archive.writestr(name, content)
    with pytest.raises(ArchiveError, match=r"unpack it and give the folder"):
        store(tmp_path / "archive.zip")


@pytest.mark.parametrize("content", [b"", b"<html>no zip</html>", b"PK\x03\x04" + bytes(100)])
def test_a_file_that_is_no_zip(store, tmp_path, content) -> None:
    (tmp_path / "archive.zip").write_bytes(content)
    with pytest.raises(CorruptArchiveError, match=r"archive\.zip is not a zip file, or is incomplete; replace"):
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
    with pytest.raises(CorruptArchiveError, match="or is incomplete"):
        store(path)


def test_a_missing_archive(store, tmp_path) -> None:
    with pytest.raises(ArchiveError, match=r"nowhere\.zip cannot be read \(No such file or directory\); give a zip"):
        store(tmp_path / "nowhere.zip")


def test_a_photograph_that_is_a_broken_link_is_named(store, make_folder, images) -> None:
    folder = make_folder(images)
    (folder / "train/benign/3.jpg").symlink_to("gone.jpg")
    with pytest.raises(ArchiveError, match=r"train/benign/3\.jpg is a link to gone\.jpg, which does not exist; repair"):
        store(folder)


def test_a_folder_that_cannot_be_listed_is_named(store, make_folder, images, monkeypatch) -> None:
    def scandir(path: str) -> object:
        if path.endswith("test/benign"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listed(path)

    folder, listed = make_folder(images), os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ArchiveError, match=r"folder/test/benign cannot be read \(Permission denied\); give"):
        store(folder)


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (["train/benign"], "train/benign"),
        (["test/malignant"], "test/malignant"),
        (["train/malignant", "test/malignant"], "train/malignant, test/malignant"),
        (["train/benign", "train/malignant"], "train/benign, train/malignant"),
    ],
)
def test_a_missing_class_is_named(store, make_zip, images, missing, named) -> None:
    entries = {path: content for path, content in images.items() if path.rsplit("/", 1)[0] not in missing}
    with pytest.raises(ArchiveError, match=f"has no images in {named}; give one that has"):
        store(make_zip(entries | {f"{folder}/": b"" for folder in missing}))


@pytest.mark.parametrize(
    ("entries", "cause"),
    [
        ({}, "benign, malignant; give"),
        ({"README.md": b""}, r"benign, malignant, but 1 file that is not an image \(README\.md\); give"),
        ({"data/inner.zip": b"", "a.7z": b""}, r"malignant, but 2 archives that have to be unpacked first \(data/"),
        ({"data/1.jpg": b"", "2.PNG": b""}, r"but 2 photographs in no class folder \(data/1\.jpg, 2\.PNG\);"),
        ({"test/benign/1.webp": b"", "test/benign/1.heic": b""},
         r"but 2 images of formats that are not read: HEIC, WebP \(test/benign/1\.webp, "),
        ({"Benign/1.jpg": b"", "Malignant/1.jpg": b"", "train/benign/2.jpg": b"", "train/malignant/1_mask.png": b""},
         r"train/malignant, but 1 mask of a lesion \(train/malignant/1_mask\.png\), 2 photographs outside train, "
         r"val and test \(Benign/1\.jpg, Malignant/1\.jpg\); give"),
        ({"train/benign/malignant/1.jpg": b""}, "but 1 photograph in both class folders"),
    ],
)  # fmt: skip
def test_a_refusal_names_its_cause(store, make_zip, entries, cause) -> None:
    with pytest.raises(ArchiveError, match=f"archive.zip has no images in .*{cause}"):
        store(make_zip(entries))


def test_an_empty_folder_holds_no_class(store, make_folder) -> None:
    with pytest.raises(
        ArchiveError, match="folder has no images in benign, malignant; give one that has train/benign,"
    ):
        store(make_folder({}))


@pytest.mark.parametrize("other", ["train/benign/1.JPG", "copy/train/benign/1.jpg"])
def test_two_files_for_one_place_are_named(store, make_zip, images, other, jpeg) -> None:
    entries = {f"some/{path}": content for path, content in images.items()}
    entries[other if other.startswith("copy") else f"some/{other}"] = jpeg(5)
    with pytest.raises(ArchiveError, match=r"holds both .*/1\.\w+ and .*/1\.\w+ for the same place; rename"):
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
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "is damaged: its header cannot be read"),
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
    manifest = store(make_zip({**images, "test/benign/3.jpg": file.getvalue()})).manifest.to_frame().set_index("path")
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
    source = read_folders(open_archive(make_zip(images)), 1.0)
    assert source.total == len(images)
    assert next(iter(source.entries)) == ("test/benign/1.jpg", images["test/benign/1.jpg"])


LAYOUTS = {
    "val beside train and test": (
        {"val/benign/1.jpg": "val/benign/1.jpg", "VALID/malignant/2.jpg": "val/malignant/2.jpg",
         "Validation/Malignant/3.jpg": "val/malignant/3.jpg", "val/benign/2.jpg": "val/benign/2.jpg"},
        {},
    ),
    "by patient": (
        {"train/malignant/patient7/1.jpg": "train/malignant/patient7/1.jpg",
         "train/malignant/patient8/1.jpg": "train/malignant/patient8/1.jpg",
         "train/Patient 9/Malignant/left/1.jpg": "train/malignant/Patient 9/left/1.jpg"},
        {},
    ),
    "capitals": (
        {"Train/Benign/9.JPG": "train/benign/9.JPG", "TRAIN/MALIGNANT/9.Jpeg": "train/malignant/9.Jpeg",
         "Testing/Benign/9.JFIF": "test/benign/9.JFIF"},
        {},
    ),
    "suffixes": ({f"train/benign/9{end}": f"train/benign/9{end}" for end in (".jfif", ".jpe", ".jpeg", ".png")}, {}),
    "classes above splits": ({"benign/train/7.jpg": "train/benign/7.jpg", "Malignant/val/7.jpg": "val/malignant/7.jpg",
                              "Benign/val/7.jpg": "val/benign/7.jpg"}, {}),
    "a copy in a deeper folder": ({}, {"data/train/benign/1.jpg": "copies", "Data/Train/Benign/2.jpg": "copies"}),
    "masks": (
        {"train/benign/segmentation of 3.jpg": "train/benign/segmentation of 3.jpg"},
        {"train/benign/1_segmentation.png": "masks", "train/benign/1_Superpixels.PNG": "masks",
         "train/benign/1_mask.jpg": "masks", "train/benign/1_seg.png": "masks",
         "test/benign/ISIC_1_attribute_milia_like_cyst.png": "masks", "train/benign/masks/1.png": "masks",
         "GroundTruth/train/benign/1.png": "masks", "train/benign/1_segmentation.tif": "masks"},
    ),
    "what systems leave": (
        {},
        {"train/benign/desktop.ini": "system_files", "train/benign/Thumbs.db": "system_files",
         "train/benign/.DS_Store": "system_files", "train/benign/.hidden.jpg": "system_files",
         "train/benign/.ipynb_checkpoints/1-checkpoint.jpg": "system_files",
         "train/benign/@eaDir/1.jpg/THUMB.jpg": "system_files", "__MACOSX/train/benign/9.jpg": "system_files"},
    ),
    "what is no image": (
        {},
        {"train/benign/notes.txt": "no_images", "metadata.csv": "no_images", "train/benign/1.json": "no_images",
         "train/benign/1.md": "no_images", "train/benign/1.xml": "no_images",
         "train/benign/without suffix": "no_images", "train/benign/more.zip": "archives", "more.tar.gz": "archives"},
    ),
    "other formats": (
        {},
        {f"train/benign/1{end}": "unread_formats" for end in (".webp", ".TIF", ".heic", ".bmp", ".gif", ".dng")},
    ),
    "elsewhere": (
        {},
        {"holdout/benign/1.jpg": "no_split", "malignant/1.jpg": "no_split", "train/unknown/1.jpg": "no_class",
         "1.jpg": "no_class", "train/benign/malignant/1.jpg": "both_classes"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_read_as_it_is_meant_and_what_is_left_out_is_counted(
    store, make_archive, images, jpeg, layout, tmp_path
) -> None:
    taken, left = LAYOUTS[layout]
    contents = {path: jpeg(100 + number) for number, path in enumerate(taken)}
    manifest, left_out, *_ = store(make_archive(images | contents | dict.fromkeys(left, b"none")))
    assert manifest.path.tolist() == sorted([*images, *taken.values()])
    assert manifest.source_split.tolist() == [path.split("/")[0] for path in manifest.path]
    assert manifest.label.tolist() == [int("/malignant/" in path) for path in manifest.path]
    for path, place in taken.items():
        assert (tmp_path / "data/raw" / place).read_bytes() == contents[path]
    assert {"/".join(parts): reason for reason, found in left_out.items() for parts in found} == left
    assert summarise(Stored(manifest, left_out, ())).left_out == {
        reason: list(left.values()).count(reason) for reason in REASONS
    }


@pytest.mark.parametrize("top", ["", "ISIC: 2019/", "A: 2019/", "lesion_segmentation/", "a/b:c/"])
def test_classes_alone_have_no_split(store, make_archive, jpeg, top) -> None:
    entries = {f"{top}{name}/{number}.jpg": jpeg(number) for name in ("Benign", "malignant") for number in (1, 2)}
    stored = store(make_archive(entries))
    assert stored.manifest.path.tolist() == ["benign/1.jpg", "benign/2.jpg", "malignant/1.jpg", "malignant/2.jpg"]
    assert stored.manifest.source_split.tolist() == ["none"] * 4
    assert summarise(stored).none == ClassCounts(benign=2, malignant=2)


def test_a_folder_for_each_patient_may_hold_the_classes(store, make_archive, jpeg) -> None:
    entries = {f"set/{who}/{name}/1.jpg": jpeg() for who in ("p1", "p2") for name in ("benign", "malignant")}
    manifest, left_out, *_ = store(make_archive(entries))
    assert manifest.path.tolist() == [
        "benign/p1/1.jpg",
        "benign/p2/1.jpg",
        "malignant/p1/1.jpg",
        "malignant/p2/1.jpg",
    ]
    assert left_out == {}


def test_an_archive_without_test_is_taken(store, make_archive, images) -> None:
    manifest, *_ = store(make_archive({path: content for path, content in images.items() if path.startswith("train")}))
    assert manifest.source_split.tolist() == ["train"] * 4


def test_a_site_may_have_any_split_or_none(make_archive, images, jpeg, tmp_path) -> None:
    entries = {"benign/1.jpg": jpeg(1), "malignant/1.jpg": jpeg(2), "malignant/1.tif": b"", "notes.txt": b""}
    manifest, left_out, *_ = unpack(make_archive(entries), tmp_path / "first", 1.0)
    assert manifest.path.tolist() == ["benign/1.jpg", "malignant/1.jpg"]
    assert describe(left_out) == [
        "1 image of a format that is not read: TIFF (malignant/1.tif)", "1 file that is not an image (notes.txt)",
    ]  # fmt: skip
    manifest, left_out, *_ = unpack(make_archive(entries | images), tmp_path / "second", 1.0)
    assert manifest.path.tolist() == sorted([*images, "benign/1.jpg", "malignant/1.jpg"])
    assert count_left_out(left_out)["no_split"] == 0


def test_a_linked_site_is_said_to_be_one(make_folder, images, tmp_path) -> None:
    (tmp_path / "Oslo").symlink_to(make_folder(images))
    assert unpack(tmp_path / "Oslo", tmp_path / "out", 1.0).linked == (tmp_path / "Oslo",)


def test_a_site_without_a_class_is_named(make_zip, jpeg, tmp_path) -> None:
    with pytest.raises(ArchiveError, match=r"archive\.zip has no images in malignant; give"):
        unpack(make_zip({"test/benign/1.jpg": jpeg()}), tmp_path / "out", 1.0)


@pytest.mark.parametrize("place", ["archive.zip", "deep/down/Archive.ZIP"])
def test_a_zip_laid_into_the_folder_is_opened(store, make_zip, make_folder, images, place) -> None:
    archive = make_zip(images | {"notes.txt": b""})
    manifest, left_out, *_ = store(
        make_folder({place: archive.read_bytes(), "README.md": b"", "train/benign/.keep": b""})
    )
    assert manifest.path.tolist() == sorted(images)
    assert left_out == {
        "no_images": [("README.md",), ("notes.txt",)], "system_files": [("train", "benign", ".keep")],
    }  # fmt: skip


def test_of_several_zips_in_a_folder_none_is_chosen(store, make_zip, make_folder, images) -> None:
    content = make_zip(images).read_bytes()
    with pytest.raises(
        ArchiveError, match=r"folder holds 2 zips \(a\.zip, b\.zip\) and no photograph of a class; name"
    ):
        store(make_folder({"a.zip": content, "b.zip": content}))
    manifest, left_out, *_ = store(make_folder(images | {"a.zip": content}))
    assert (len(manifest), left_out) == (len(images), {"archives": [("a.zip",), ("b.zip",)]})


def test_another_archive_than_a_zip_is_named(store, tmp_path) -> None:
    (tmp_path / "set.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(ArchiveError, match=r"set\.tar\.gz is an archive, but not a zip; unpack it and give the folder"):
        store(tmp_path / "set.tar.gz")


def test_linked_folders_and_files_are_followed_and_circles_are_not(store, make_folder, images, jpeg, tmp_path) -> None:
    pool = make_folder({f"pool/{path}": content for path, content in images.items()} | {"one.jpg": jpeg(50)})
    given = tmp_path / "given"
    (given / "test").mkdir(parents=True)
    (given / "train").symlink_to(pool / "pool/train")
    (given / "test/malignant").symlink_to(pool / "pool/test/malignant")
    (given / "test/benign").symlink_to("../../folder/pool/test/benign")
    (pool / "pool/test/benign/linked.jpg").symlink_to(pool / "one.jpg")
    (pool / "pool/train/benign/up").symlink_to("..")
    (pool / "pool/train/malignant/round").symlink_to(given)
    (given / "nowhere").symlink_to("gone")
    (given / "itself").symlink_to("itself")
    stored = store(given)
    manifest, left_out, linked, _ = stored
    assert linked == (given / "test/benign", given / "test/malignant", given / "train")
    assert in_words(stored, "download")[-1] == (
        f"{given / 'train'} is a link, and DVC does not notice changes behind it; after one, run `dvc repro --force "
        "download`."
    )
    assert manifest.path.tolist() == sorted([*images, "test/benign/linked.jpg"])
    assert {"/".join(parts) for parts in left_out["links"]} == {
        "nowhere", "itself", "train/benign/up", "train/malignant/round",
    }  # fmt: skip


def test_a_link_within_the_folder_gives_a_class_to_photographs_that_have_none(store, make_folder, images) -> None:
    folder = make_folder({f"pool/{path.replace('/', '-')}": content for path, content in images.items()})
    for path in images:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(folder / "pool" / path.replace("/", "-"))
    manifest, left_out, *_ = store(folder)
    assert manifest.path.tolist() == sorted(images)
    assert count_left_out(left_out)["no_class"] == len(images)


def test_a_linked_class_that_is_gone_is_named(store, make_folder, images) -> None:
    folder = make_folder({path: content for path, content in images.items() if not path.startswith("test")})
    (folder / "train/other").symlink_to("/gone")
    shutil.rmtree(folder / "train/malignant")
    (folder / "train/malignant").symlink_to("/gone")
    with pytest.raises(
        ArchiveError, match=r"no images in train/malignant, but 2 broken or circular links .*train/malig"
    ):
        store(folder)


def test_a_pipe_with_a_photographs_name_is_not_opened(store, make_folder, images) -> None:
    folder = make_folder(images)
    os.mkfifo(folder / "train/benign/pipe.jpg")
    manifest, left_out, *_ = store(folder)
    assert (len(manifest), left_out) == (len(images), {"no_images": [("train", "benign", "pipe.jpg")]})


ODD = {
    b"cr\rname.jpg": "cr%0Dname.jpg", b"lf\nname.jpg": "lf%0Aname.jpg", b"tab\tname.jpg": "tab%09name.jpg",
    b'quote",comma.jpg': 'quote",comma.jpg', b"l\xe9sion.jpg": "l%E9sion.jpg", b"back\\slash.jpg": "back%5Cslash.jpg",
    "\N{MICROSCOPE}良性.jpg".encode(): "\N{MICROSCOPE}良性.jpg", b" spaces .jpg": " spaces .jpg", b"50%.jpg": "50%.jpg",
    b"a\\..\\..\\up.jpg": "a%5C..%5C..%5Cup.jpg", b"2019-01-01 12:00.jpg": "2019-01-01 12:00.jpg",
}  # fmt: skip


def test_a_name_of_any_bytes_is_stored_under_one_that_tables_can_hold(
    store, make_folder, images, jpeg, tmp_path
) -> None:
    folder = make_folder(images)
    for number, name in enumerate(ODD):
        (folder / "train/benign" / os.fsdecode(name)).write_bytes(jpeg(number + 50))
    manifest, *_ = store(folder)
    expected = sorted([*images, *(f"train/benign/{name}" for name in ODD.values())])
    assert manifest.path.tolist() == expected
    again = Manifest.read(tmp_path / "data/manifest.csv")
    assert again.to_frame().equals(manifest.to_frame())
    assert sorted(f"train/benign/{file.name}" for file in (tmp_path / "data/raw/train/benign").iterdir()) == [
        path for path in expected if path.startswith("train/benign/")
    ]


def test_names_in_a_zip_may_be_of_any_encoding(store, make_zip, images) -> None:
    path = make_zip({**images, "train/benign/l__sion\r.jpg": images["train/benign/1.jpg"]})
    path.write_bytes(path.read_bytes().replace(b"l__sion", b"l\xe9\xe8sion"))
    manifest, *_ = store(path)
    assert manifest.path.tolist() == sorted([*images, "train/benign/lΘΦsion%0D.jpg"])  # as of code page 437


def test_a_zip_whose_names_are_not_what_it_says_is_named(store, make_zip, images) -> None:
    path = make_zip({**images, "train/benign/é.jpg": b""})
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xe9\xe9"))
    with pytest.raises(ArchiveError, match=r"archive\.zip holds file names in a wrong encoding; unpack it and"):
        store(path)


def test_a_file_and_a_folder_of_one_name_are_refused(store, make_zip, images, jpeg) -> None:
    both = r"holds both a/train/benign/x\.jpg and train/benign/X\.jpg/1\.jpg for the same place"
    with pytest.raises(ArchiveError, match=both):
        store(make_zip({**images, "a/train/benign/x.jpg": jpeg(1), "train/benign/X.jpg/1.jpg": jpeg(2)}))


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is missing: the data set is not part of the repository")
@pytest.mark.slow
def test_the_real_archive(store) -> None:
    stored = store(REAL)
    manifest = stored.manifest
    assert summarise(stored) == DownloadDetails(
        images=3297,
        train=ClassCounts(benign=1440, malignant=1197),
        val=ClassCounts(benign=0, malignant=0),
        test=ClassCounts(benign=360, malignant=300),
        left_out=dict.fromkeys(REASONS, 0),
    )
    assert set(manifest.width) == set(manifest.height) == {224}
    assert len(set(manifest.sha256)) < len(manifest)  # train/malignant/768 and 769, for one
