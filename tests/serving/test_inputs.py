import io
import os
from pathlib import Path

import pytest

from dermascreen.errors import InputError
from dermascreen.serving.inputs import find_photographs


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    for name in ("b.jpg", "a.PNG", "notes.txt", "deep/er/c.jpeg", "deep/d.gif", "odd [1].jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*arguments: str, listing: str = "") -> list[str]:
    return [found.name for found in find_photographs(arguments, io.StringIO(listing))]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["b.jpg"], ["b.jpg"]),
        (["notes.txt"], ["notes.txt"]),  # named itself: whoever reads it says what is wrong
        (["missing.jpg"], ["missing.jpg"]),
        (["."], ["a.PNG", "b.jpg", "deep/er/c.jpeg", "odd [1].jpg"]),
        (["deep"], ["deep/er/c.jpeg"]),
        (["*.jpg"], ["b.jpg", "odd [1].jpg"]),
        (["**/*.jp*"], ["b.jpg", "deep/er/c.jpeg", "odd [1].jpg"]),
        (["odd [1].jpg"], ["odd [1].jpg"]),  # a file of that name is no pattern
        (["b.jpg", ".", "b.jpg"], ["b.jpg", "a.PNG", "deep/er/c.jpeg", "odd [1].jpg"]),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_arguments_name(arguments, expected) -> None:
    assert names(*arguments) == expected


@pytest.mark.usefixtures("here")
def test_a_list_on_standard_input() -> None:
    assert names("-", listing="b.jpg\n\ndeep\r\n*.PNG\n") == ["b.jpg", "deep/er/c.jpeg", "a.PNG"]
    assert names("-", listing="-\n") == ["-"]


@pytest.mark.usefixtures("here")
def test_contents_are_read_when_they_are_asked_for() -> None:
    [found] = find_photographs(["b.jpg"], io.StringIO())
    Path("b.jpg").write_bytes(b"later")
    assert found.read() == b"later"
    Path("b.jpg").unlink()
    with pytest.raises(OSError, match=os.strerror(2)):
        found.read()


@pytest.mark.parametrize("argument", ["*.tif", "empty", "-"])
@pytest.mark.usefixtures("here")
def test_nothing_at_all_is_a_mistake(argument) -> None:
    Path("empty").mkdir()
    with pytest.raises(InputError, match="no JPEG or PNG file is there"):
        names(argument)
