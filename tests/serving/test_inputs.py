import os
from pathlib import Path

import pytest

from dermascreen.core.errors import ImageError, InputError
from dermascreen.serving.inputs import find_photographs

JPEG = b"\xff\xd8\xff of a file"


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    for name in ("b.jpg", "a.PNG", "notes.txt", "deep/er/c.jpeg", "deep/d_mask.png", "odd [1].jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*arguments: str, listing: bytes = b"") -> list[str]:
    return [found.name for found in find_photographs(arguments, iter([listing])).photographs]


def passed_over(*arguments: str) -> list[str]:
    return find_photographs(arguments, iter([])).passed_over


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["b.jpg"], ["b.jpg"]),
        (["notes.txt"], ["notes.txt"]),  # named itself: whoever reads it says what is wrong
        (["deep/d_mask.png"], ["deep/d_mask.png"]),
        (["missing.jpg"], ["missing.jpg"]),
        (["x" * 5000], ["x" * 5000]),
        (["."], ["a.PNG", "b.jpg", "deep/er/c.jpeg", "odd [1].jpg"]),
        (["deep"], ["deep/er/c.jpeg"]),
        (["*.jpg"], ["b.jpg", "odd [1].jpg"]),
        (["*e*"], ["deep/er/c.jpeg", "notes.txt"]),  # a folder that a pattern matches is a folder
        (["**/*.jp*"], ["b.jpg", "deep/er/c.jpeg", "odd [1].jpg"]),
        (["**/er/*.jp*"], ["deep/er/c.jpeg"]),
        (["**/er"], ["deep/er/c.jpeg"]),
        (["**/d*p"], ["deep/er/c.jpeg"]),
        (["deep/**"], ["deep/d_mask.png", "deep/er/c.jpeg"]),
        (["de?p/**/c.*"], ["deep/er/c.jpeg"]),
        (["odd [1].jpg"], ["odd [1].jpg"]),  # a file of that name is no pattern
        (["b.jpg", ".", "b.jpg"], ["b.jpg", "a.PNG", "deep/er/c.jpeg", "odd [1].jpg"]),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_arguments_name(arguments, expected) -> None:
    assert names(*arguments) == expected


@pytest.mark.usefixtures("here")
def test_a_list_on_standard_input() -> None:
    assert names("-", listing=b"b.jpg\n\ndeep\r\n*.PNG\n") == ["b.jpg", "deep/er/c.jpeg", "a.PNG"]
    assert names("-", listing=b"\xef\xbb\xbfb.jpg\r\n") == ["b.jpg"]
    assert names("-", listing=b"-\n") == ["-"]


def test_a_list_of_names_that_are_not_text(here) -> None:
    odd = [os.fsdecode(name) for name in (b"l\xe9.jpg", b"cr\r", b"lf\nx.jpg")]
    for name in odd:
        (here / name).touch()
    assert names("-", listing=b"l\xe9.jpg\ncr\r\nb.jpg\r\n") == [*odd[:2], "b.jpg"]
    assert names("-", listing=b"\0".join(map(os.fsencode, odd)) + b"\0") == odd
    assert set(odd) - {"cr\r"} <= set(names("."))


def test_linked_folders_are_followed_and_circles_end(here) -> None:
    (here / "linked").symlink_to("deep")
    (here / "deep/er/up").symlink_to("..")
    (here / "deep/er/round").symlink_to(here)
    (here / "deep/gone.jpg").symlink_to("nowhere")
    expected = ["deep/er/c.jpeg", "deep/gone.jpg", "linked/er/c.jpeg", "linked/gone.jpg"]
    assert [name for name in names(".") if "/" in name] == expected
    assert names("**/*.jp*g") == ["b.jpg", *expected, "odd [1].jpg"]
    assert names("gone*", "deep/gone*") == ["deep/gone.jpg"]
    with pytest.raises(FileNotFoundError):
        find_photographs(["deep/gone.jpg"], iter([])).photographs[0].read()
    assert passed_over(".")[-1] == ("4 broken or circular links (deep/er/round, deep/er/up, linked/er/round, ...)")


def test_what_is_passed_over_is_counted_and_named(here) -> None:
    for name in ("Thumbs.db", "deep/.DS_Store", "1_segmentation.png", "\n.csv"):
        (here / name).touch()
    assert passed_over(".", "deep") == [
        "2 masks of lesions (1_segmentation.png, deep/d_mask.png)",
        r"2 files that are not images (\n.csv, notes.txt)",
        "2 hidden files and files of the operating system (Thumbs.db, deep/.DS_Store)",
    ]
    assert passed_over("b.jpg", "notes.txt") == []


def test_a_name_without_a_photograph_beside_others_is_passed_over(here) -> None:
    (here / "empty").mkdir()
    assert passed_over("b.jpg", "empty") == ["1 folder or pattern without a JPEG or PNG file (empty)"]
    assert passed_over("empty", "b.jpg", "*.tif", "**/*.bmp", "x*\n") == [
        r"4 folders or patterns without a JPEG or PNG file (empty, *.tif, **/*.bmp, ...)"
    ]
    assert passed_over("b.jpg", "*.jpg") == []  # whose photographs are named already


@pytest.mark.parametrize(
    ("name", "form"), [("a.webp", "WebP"), ("a.TIF", "TIFF"), ("a.heic", "HEIC"), ("a.gif", "GIF")]
)
def test_an_image_of_another_format_fails_and_a_jpeg_of_such_a_name_does_not(here, name, form) -> None:
    (here / "deep" / name).write_bytes(b"RIFF....WEBP")
    [found, _] = find_photographs(["deep"], iter([])).photographs
    with pytest.raises(ImageError) as error:
        found.read()
    assert (found.name, error.value.problem) == (f"deep/{name}", f"is {form}, not JPEG or PNG")
    (here / "deep" / name).write_bytes(JPEG)
    assert found.read() == JPEG


def test_a_folder_that_cannot_be_opened_fails(here, monkeypatch) -> None:
    def scandir(path: str) -> object:
        if path.endswith("er"):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    listed = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    assert names(str(here)) == [str(here / name) for name in ("a.PNG", "b.jpg", "deep/er", "odd [1].jpg")]


def test_a_pipe_in_a_folder_is_not_waited_for(here) -> None:
    os.mkfifo(here / "deep/pipe.jpg")
    assert names("deep") == ["deep/er/c.jpeg"]


@pytest.mark.usefixtures("here")
def test_contents_are_read_when_they_are_asked_for() -> None:
    [found] = find_photographs(["b.jpg"], iter([])).photographs
    Path("b.jpg").write_bytes(b"later")
    assert found.read() == b"later"
    Path("b.jpg").unlink()
    with pytest.raises(OSError, match=os.strerror(2)):
        found.read()


@pytest.mark.parametrize("argument", ["*.tif", "empty", "-", "none/**/*.jpg"])
@pytest.mark.usefixtures("here")
def test_nothing_at_all_is_a_mistake(argument) -> None:
    Path("empty").mkdir()
    with pytest.raises(InputError, match=r"no JPEG or PNG file is there\.$"):
        names(argument)


def test_nothing_but_what_is_passed_over_is_a_mistake_that_names_it(here) -> None:
    (here / "deep/er/c.jpeg").unlink()
    with pytest.raises(InputError, match=r"^deep: no JPEG or PNG file is there, but 1 mask of a lesion \(deep/d_mask"):
        names("deep")


def test_a_pipe_that_is_named_is_not_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    [pipe] = find_photographs([str(tmp_path / "pipe.jpg")], []).photographs
    with pytest.raises(ImageError, match="is not a file"):
        pipe.read()
