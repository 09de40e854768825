import shutil
from pathlib import Path

from dermascreen.experiments import workspace
from dermascreen.experiments.workspace import PLACES, ROOT, SHIPPED, make_workspace


def test_photographs_of_the_project_are_not_copied_and_those_of_the_workspace_stay(tmp_path, monkeypatch) -> None:
    project, made = tmp_path / "project", tmp_path / "made"
    for name in (*SHIPPED, "params.yaml"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            (project / name).mkdir()
        else:
            shutil.copy(ROOT / name, project / name)
    for place in PLACES:
        (project / place / "patients.zip").touch()
    monkeypatch.setattr(workspace, "ROOT", project)
    make_workspace(made, {}, project / "params.yaml")
    given = {Path(place, name) for place in PLACES for name in (".gitignore", "README.md")}
    assert {path.relative_to(made) for place in PLACES for path in (made / place).iterdir()} == given
    (made / "data/tables/mine.csv").touch()
    make_workspace(made, {}, project / "params.yaml")
    assert (made / "data/tables/mine.csv").exists()


def test_hooks_that_are_for_all_repositories_do_not_stop_a_workspace(tmp_path, monkeypatch) -> None:
    hook = tmp_path / "hooks/commit-msg"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    (tmp_path / ".gitconfig").write_text(f"[core]\n\thooksPath = {hook.parent}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    make_workspace(tmp_path / "made", {})
    assert (tmp_path / "made/.git/HEAD").exists()
