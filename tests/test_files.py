from pathlib import Path

import pytest

from dermascreen.errors import BadTableError, MissingInputError
from dermascreen.files import read_json, replacing, write_json


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


def test_what_json_lacks_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "points.json"
    write(path, '{"a": {"threshold": 1, "rule": "x", "none": null, "nan": NaN, "yes": true}, "b": 2}')
    points = read_json(path)
    assert points.number("a", "threshold") == 1
    assert points.number("b") == 2
    with pytest.raises(BadTableError, match=r"points\.json lacks 'c'; run"):
        points["a"]["c"]
    for keys in (["a"], ["a", "rule"], ["a", "none"], ["a", "nan"], ["a", "yes"], ["b", "threshold"]):
        with pytest.raises(BadTableError, match=rf"points\.json has no number for {'.'.join(keys)}; run"):
            points.number(*keys)


def test_an_absent_file_names_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    with pytest.raises(MissingInputError) as error:
        read_json(path)
    assert str(error.value).startswith(f"{path} does not exist; check the path")
