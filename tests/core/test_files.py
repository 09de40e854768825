import errno
import json
import os
from pathlib import Path

import pytest

from dermascreen.core.files import remove_remnants, replacing, write_json


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def test_a_file_appears_whole_and_its_temporary_name_goes(tmp_path: Path) -> None:
    path = tmp_path / "new/folder/file.txt"
    with replacing(path) as temporary:
        write(temporary, "whole")
        assert temporary.parent == path.parent
        assert not path.exists()
    assert path.read_text("utf-8") == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file_and_nothing_else(error: type[BaseException], tmp_path: Path) -> None:
    def fail(temporary: Path) -> None:
        write(temporary, "half")
        raise error

    path = tmp_path / "file.txt"
    write(path, "old")
    with pytest.raises(error), replacing(path) as temporary:
        fail(temporary)
    assert path.read_text("utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_and_not_merged(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "old", "old")
    with replacing(folder) as temporary:
        temporary.mkdir()
        write(temporary / "new", "new")
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["folder", ".", ".."])
def test_a_file_takes_no_folder_s_place(tmp_path: Path, monkeypatch, name: str) -> None:
    here = tmp_path / "here"
    (here / "folder").mkdir(parents=True)
    write(here / "folder/precious", "old")
    monkeypatch.chdir(here)
    with pytest.raises(IsADirectoryError) as refused, replacing(Path(name)) as temporary:
        write(temporary, "new")
    assert refused.value.filename == name
    assert (here / "folder/precious").read_text("utf-8") == "old"
    assert [path.name for path in (*tmp_path.iterdir(), *here.iterdir())] == ["here", "folder"]


def test_what_a_killed_process_left_under_the_same_name_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with replacing(path) as left_over:
        write(left_over, "first")
    left_over.mkdir()
    write(left_over / "remnant", "")
    with replacing(path) as temporary:
        assert temporary == left_over
        assert not temporary.exists()
        write(temporary, "second")
    assert path.read_text("utf-8") == "second"


def test_what_other_killed_processes_left_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a[1].json"
    remnants = [tmp_path / f".a[1].json.{pid}.tmp" for pid in (1, 23)]
    others = [path, tmp_path / ".a1.json.1.tmp", tmp_path / ".a[1].json", tmp_path / "a[1].json.1.tmp"]
    for one in (remnants[0], *others):
        one.touch()
    remnants[1].mkdir()
    write(remnants[1] / "remnant", "")
    remove_remnants(path)
    remove_remnants(tmp_path / "nowhere/file.txt")
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_json_keeps_keys_in_order_and_text_as_it_is(tmp_path: Path) -> None:
    content = {"b": 1, "a": {"note": "≥ 95 %", "x": [0.1, None, True]}}
    write_json(content, tmp_path / "metrics.json")
    assert json.loads((tmp_path / "metrics.json").read_text("utf-8")) == content
    assert list(json.loads((tmp_path / "metrics.json").read_text("utf-8"))) == ["b", "a"]
    write_json({"n": 1}, tmp_path / "metrics.json")
    assert (tmp_path / "metrics.json").read_bytes() == b'{\n  "n": 1\n}\n'


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_refuses_what_it_does_not_know(number: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        write_json({"auc": number}, tmp_path / "metrics.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("named", [None, "source.csv", "temporary"])
def test_what_a_full_disk_stops_is_named_by_what_was_to_be_written(tmp_path, named) -> None:
    with pytest.raises(OSError, match="No space left") as raised, replacing(tmp_path / "kept") as temporary:  # noqa: PT012
        error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        error.filename = str(temporary) if named == "temporary" else named
        raise error
    assert raised.value.filename == str(tmp_path / "kept")
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_read_keeps_its_name(tmp_path) -> None:
    with pytest.raises(FileNotFoundError) as raised, replacing(tmp_path / "kept"):
        (tmp_path / "absent").read_bytes()
    assert raised.value.filename == str(tmp_path / "absent")
