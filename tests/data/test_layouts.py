"""Whatever names a folder or zip holds, each is a photograph at one place, or left out for a reason."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermascreen.data.sources.layouts import (
    CLASSES,
    NO_SPLIT,
    REASONS,
    SPLITS,
    SUFFIXES,
    Entry,
    SeveralForOnePlaceError,
    arrange,
    count_left_out,
    describe,
    split_and_class,
    stored,
    unread_format,
    walk,
)

FOLDERS = st.sampled_from(
    ["train", "Train", "val", "valid", "TEST", "benign", "Benign", "malignant", " malignant", "patient7", "data",
     "masks", "__MACOSX", ".hidden", "ISIC: 2019", "l\udce9sion"]
)  # fmt: skip
NAMES = st.sampled_from(
    ["1.jpg", "1.JPG", "2.png", "3.jfif", "4.jpe", "1_mask.png", "1_segmentation.png", "desktop.ini", "5.webp", "6.TIF",
     "notes.txt", "more.zip", "a", ".jpg", "cr\r.jpg", "l\udce9.jpg"]
)  # fmt: skip
KINDS = st.sampled_from(["file", "file", "file", "broken link", "circle", "device"])
ENTRIES = st.lists(
    st.builds(lambda folders, name, kind: Entry((*folders, name), kind), st.lists(FOLDERS, max_size=5), NAMES, KINDS),
    unique_by=lambda entry: entry.parts,
    max_size=12,
)


@given(ENTRIES, st.booleans())
def test_what_is_taken_and_what_is_left_out_are_all(entries: list[Entry], pooled: bool) -> None:
    try:
        chosen, left_out = arrange(entries, pooled=pooled)
    except SeveralForOnePlaceError:
        return
    assert sorted([*chosen.values(), *(parts for found in left_out.values() for parts in found)]) == sorted(
        entry.parts for entry in entries
    )
    assert set(left_out) <= set(REASONS)
    assert all(left_out.values())
    assert sum(count_left_out(left_out).values()) + len(chosen) == len(entries)
    assert all(line.isprintable() for line in describe(left_out))
    for place, parts in chosen.items():
        split, name = split_and_class(place)
        assert place.encode()  # any table can hold it
        assert place.isprintable()
        assert place.rpartition("/")[2] == stored(parts[-1])
        assert parts[-1].lower().endswith(SUFFIXES)
        assert name in CLASSES
        assert name in {part.lower().strip() for part in parts}
        other = CLASSES[1 - CLASSES.index(name)]
        assert other not in {part.lower().strip() for part in parts[:-1]}
        assert (split == NO_SPLIT) == (
            {"train", "val", "valid", "test"}.isdisjoint(part.lower() for part in parts[:-1])
        )
    splits = {split_and_class(place)[0] for place in chosen}
    assert splits <= {*SPLITS} or splits == {NO_SPLIT} or pooled
    assert list(chosen) == sorted(chosen)
    assert len({place.casefold() for place in chosen}) == len(chosen)


@given(ENTRIES)
def test_the_order_of_the_names_changes_nothing(entries: list[Entry]) -> None:
    def outcome(given: list[Entry]) -> object:
        try:
            chosen, left_out = arrange(given)
        except SeveralForOnePlaceError:
            return "refused"
        return chosen, {reason: sorted(found) for reason, found in left_out.items()}

    assert outcome(entries) == outcome(entries[::-1])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.WebP", "WebP"), ("a.heif", "HEIC"), ("a.jpg", None), ("a", None), (".tif", None), ("a.tar.dcm", "DICOM")],
)
def test_a_format_that_is_not_read_is_known_by_its_suffix(name: str, expected: str | None) -> None:
    assert unread_format(name) == expected


def test_what_folders_that_hold_all_are_called_makes_no_masks() -> None:
    entries = [Entry(("x_masks", "masks", "train", name, "1.jpg")) for name in CLASSES]
    assert len(arrange([*entries, Entry((".DS_Store",)), Entry(("notes.txt",))]).chosen) == 2
    assert arrange([*entries, Entry(("images", "train", "benign", "1.jpg"))]).left_out["masks"] == [
        entry.parts for entry in entries
    ]


def test_more_examples_than_a_few_are_not_shown() -> None:
    left_out = {"masks": [(f"{number}_mask.png",) for number in range(1200)], "copies": [("a\n\udce9",)]}
    assert describe(left_out) == [
        "1,200 masks of lesions (0_mask.png, 1_mask.png, 2_mask.png, ...)", r"1 second copy (a\n\xe9)",
    ]  # fmt: skip


def test_a_folder_of_many_links_to_one_another_ends(tmp_path: Path) -> None:
    for one in "abc":
        (tmp_path / one).mkdir()
        (tmp_path / one / "1.jpg").touch()
    for one in "abc":
        for other in "abc":
            (tmp_path / one / f"to {other}").symlink_to(tmp_path / other)
    found = list(walk(tmp_path))
    assert {entry.parts for entry in found if entry.kind == "file" and len(entry.parts) == 2} == {
        ("a", "1.jpg"), ("b", "1.jpg"), ("c", "1.jpg"),
    }  # fmt: skip
    assert sum(entry.kind == "file" for entry in found) == 3 + 6 + 6  # each order of folders once
