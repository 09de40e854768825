from pathlib import Path

import pandas as pd
import pytest

from dermascreen.errors import BadTableError, MissingInputError
from dermascreen.files import read_json, read_table, replacing, write_json, write_table


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


def test_json_keeps_keys_in_order_and_text_as_it_is(tmp_path: Path) -> None:
    content = {"b": 1, "a": {"note": "≥ 95 %", "x": [0.1, None, True]}}
    write_json(content, tmp_path / "metrics.json")
    assert read_json(tmp_path / "metrics.json") == content
    assert list(read_json(tmp_path / "metrics.json")) == ["b", "a"]
    write_json({"n": 1}, tmp_path / "metrics.json")
    assert (tmp_path / "metrics.json").read_bytes() == b'{\n  "n": 1\n}\n'


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_refuses_what_it_does_not_know(number: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        write_json({"auc": number}, tmp_path / "metrics.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"{", "is not JSON"), (b"\xff", "is not JSON"), (b"[1]", "does not hold a JSON object")],
)
def test_broken_json_is_one_sentence(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_bytes(content)
    with pytest.raises(BadTableError) as error:
        read_json(path)
    assert str(error.value) == f"{path} {problem}; run `dvc repro --force` to make it anew."


def test_a_table_comes_back_digit_for_digit(tmp_path: Path) -> None:
    table = pd.DataFrame({"path": ["NA", "a,b.jpg", "ü.jpg"], "label": [0, 1, 1], "x": [0.1 + 0.2, 1e-300, 1 / 3]})
    write_table(table, tmp_path / "table.csv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "table.csv", ["path", "x"]), table, check_exact=True)
    assert b"\r" not in (tmp_path / "table.csv").read_bytes()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not a CSV table"),
        (b'a,b\n"1', "is not a CSV table"),
        (b"a,b\n1,2,3\n1,2,3,4\n", "is not a CSV table"),
        (b"path\n\xff\n", "is not a CSV table"),
        (b"path,split\n", "lacks the column 'label'"),
    ],
)
def test_a_broken_table_is_one_sentence(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(BadTableError) as error:
        read_table(path, ["path", "label"])
    assert str(error.value) == f"{path} {problem}; run `dvc repro --force` to make it anew."


def test_an_absent_file_names_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    sentence = f"{path} does not exist; run `dvc repro` to make it."
    with pytest.raises(MissingInputError) as error:
        read_json(path)
    assert str(error.value) == sentence
    with pytest.raises(MissingInputError) as error:
        read_table(path, [])
    assert str(error.value) == sentence
