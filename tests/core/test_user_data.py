"""What a user points the pipeline to stays out of Git, wherever it lies, and is there in a copy or refused."""

import subprocess
from pathlib import Path

import pytest

from dermascreen.core.errors import CopyError, ExposedError
from dermascreen.core.params import read_params, with_changes
from dermascreen.core.user_data import require_private, require_whole_copy

ROOT = Path(__file__).parents[2]
PLACES = [
    "a.zip", "a.jpg", "a.lock", "patients.yaml", "notes.md", "mlflow.db.lock", ".hidden/a.jpg", "mine/a.jpg",
    "mine/README.md", "mine/deep/site.py", "data/a.zip",
    "data/archive/train/benign/1.jpg", "data/archive/README.txt", "data/archive/train/README.md",
    "data/external/site/metadata.csv", "data/mine/README.md", "data/übung/a.JPG", "docs/a.zip", "docs/set/1.jpeg",
    "docs/results/mine/1.jpg", "docs/results/mine/patients.json", "docs/results/mine/metrics/1.csv",
    ".reproduced/dvc.yaml",
    "metrics/1.jpg", "models/1.png", "reports/1", "src/mine/photograph", "src/mine/1.tif", "stages/1.jpg",
    "tests/set/table.csv", "tools/archive", ".dvc/photographs/1.jpg",
]  # fmt: skip


@pytest.fixture
def clone(tmp_path: Path, monkeypatch) -> Path:
    """A repository with this project's .gitignore files, entered."""
    rules = subprocess.check_output(["git", "ls-files", "*.gitignore"], cwd=ROOT, text=True).split()
    for name in rules:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "--all"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("content")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.usefixtures("clone")
def test_git_ignores_photographs_archives_and_tables_wherever_they_lie(place) -> None:
    write(place)
    assert subprocess.run(["git", "check-ignore", "--quiet", place], check=False).returncode == 0
    require_private("data.archive", Path(place))


@pytest.mark.usefixtures("clone")
def test_folders_that_hold_only_ignored_files_may_be_given() -> None:
    write(*PLACES)
    for folder in ("mine", "data/archive", "data/external", "docs/set"):
        require_private("data.archive", Path(folder))


def test_git_takes_every_file_of_the_project() -> None:
    ignored = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.check_output(ignored, cwd=ROOT, text=True) == ""


@pytest.mark.parametrize(
    "made",
    ["dvc.lock", "metrics/train.json", "src/dermascreen/new.py", "docs/new.md", "params.yaml"]
    + [f"docs/results/mine/{name}" for name in ("dvc.lock", "params.yaml", "machine.json", "intervals.json")]
    + ["docs/results/mine/metrics/train.json"],
)
@pytest.mark.usefixtures("clone")
def test_git_takes_what_the_pipeline_and_its_authors_make(made) -> None:
    write(made)
    assert subprocess.run(["git", "check-ignore", "--quiet", made], check=False).returncode == 1


def test_what_git_would_take_is_refused_by_name(clone) -> None:
    write("mine/é 1.jpg")
    Path(".gitignore").write_text("*.log\n")
    for place in (Path("mine"), Path("mine/é 1.jpg"), clone / "mine"):
        with pytest.raises(ExposedError, match=r"^data.archive: .* Git does not ignore mine/é 1.jpg: `dvc exp run`"):
            require_private("data.archive", place)


@pytest.mark.usefixtures("clone")
def test_a_link_to_elsewhere_is_private_only_where_git_ignores_it(tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "1.jpg").write_text("content")
    Path("mine").symlink_to(elsewhere)
    require_private("data.archive", Path("mine"))
    require_private("data.archive", elsewhere)
    Path(".gitignore").write_text("")
    with pytest.raises(ExposedError, match="Git does not ignore mine"):
        require_private("data.archive", Path("mine"))


def test_outside_of_git_there_is_nothing_to_hide(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    write("mine/1.jpg")
    require_private("data.archive", Path("mine"))


def test_a_copy_that_lacks_files_is_refused_with_both_ways_out(tmp_path, monkeypatch) -> None:
    root, copy = tmp_path / "project", tmp_path / "copy"
    root.mkdir()
    copy.mkdir()
    monkeypatch.chdir(copy)
    given = Path("data/external")
    write("data/external/README.md", str(root / "data/external/README.md"))
    require_whole_copy("evaluate.external", given, root)
    write(str(root / "data/external/b/1.jpg"), str(root / "data/external/a/1.jpg"))
    with pytest.raises(CopyError) as error:
        require_whole_copy("evaluate.external", given, root)
    assert str(error.value) == (
        "evaluate.external: data/external/a/1.jpg is missing in this temporary copy of the project, as Git ignores it; "
        f"add `-S evaluate.external={root}/data/external` or `--copy-paths data/external/a --copy-paths "
        "data/external/b` to the command."
    )
    require_whole_copy("evaluate.external", root / given, root)  # an absolute path is that of the project itself
    write("data/external/a/1.jpg", "data/external/b/1.jpg")
    require_whole_copy("evaluate.external", given, root)
    monkeypatch.chdir(root)
    require_whole_copy("evaluate.external", given, root)


def test_a_parameter_that_names_a_file_inside_moves_along(tmp_path, monkeypatch) -> None:
    root, copy = tmp_path / "project", tmp_path / "copy"
    copy.mkdir()
    monkeypatch.chdir(copy)
    write(str(root / "data/weights/mine.pth"))
    inside = {"model.weights": "data/weights/mine.pth"}
    with pytest.raises(CopyError) as error:
        require_whole_copy("model.own_weights", Path("data/weights"), root, inside)
    changes = {"model.own_weights": f"{root}/data/weights", "model.weights": f"{root}/data/weights/mine.pth"}
    advice = " ".join(f"-S {name}={path}" for name, path in changes.items())
    assert f"add `{advice}` or `--copy-paths data/weights/mine.pth` to the command." in str(error.value)
    shipped = read_params(Path(__file__).parents[2] / "params.yaml")
    assert with_changes(shipped, changes).model.names_a_file  # the advice is one that is taken


def test_an_advice_names_few_paths(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(*(str(tmp_path / f"project/data/external/{number}/1.jpg") for number in range(5)))
    with pytest.raises(CopyError, match=r"add `-S evaluate\.external=[^`]*` to the command\.$"):
        require_whole_copy("evaluate.external", Path("data/external"), tmp_path / "project")


def test_a_link_to_a_folder_is_missed_too(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "project/data/external").mkdir(parents=True)
    (tmp_path / "project/data/external/site").symlink_to(tmp_path)
    with pytest.raises(CopyError, match="data/external/site is missing"):
        require_whole_copy("evaluate.external", Path("data/external"), tmp_path / "project")


def test_an_archive_that_is_one_file_is_compared_too(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(str(tmp_path / "project/a.zip"))
    with pytest.raises(CopyError, match=r"a\.zip is missing"):
        require_whole_copy("data.archive", Path("a.zip"), tmp_path / "project")
