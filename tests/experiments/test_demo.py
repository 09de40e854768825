"""Where the demo may be put: it replaces what stands in its way."""

from pathlib import Path

import pytest
from commands import main

from dermascreen.core.errors import InputError
from dermascreen.experiments.workspace import IDENTITY, ROOT, require_workspace


def test_a_folder_of_somebody_is_refused_and_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph = tmp_path / "mine/data/archive/1.jpg"
    photograph.parent.mkdir(parents=True)
    photograph.write_bytes(b"a patient's")
    (tmp_path / "file").touch()
    for name in ("mine", "file"):
        with pytest.raises(SystemExit, match="1"):
            main(["demo", str(tmp_path / name)])
        assert capsys.readouterr().err == (
            f"dermascreen demo: {tmp_path / name} is neither empty nor a folder that dermascreen made; "
            "name another one.\n"
        )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "file", photograph]


def test_a_new_an_empty_and_its_own_folder_are_taken(tmp_path: Path) -> None:
    require_workspace(tmp_path / "new")
    require_workspace(tmp_path)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/config").write_text("[user]\n\temail = somebody@example.org\n", encoding="utf-8")
    with pytest.raises(InputError):
        require_workspace(tmp_path)
    (tmp_path / ".git/config").write_text(f"[user]\n\temail = {IDENTITY['user.email']}\n", encoding="utf-8")
    require_workspace(tmp_path)


def test_the_project_itself_is_no_place_for_the_demo() -> None:
    with pytest.raises(InputError):
        require_workspace(ROOT)
