"""What a user gives stays out of Git, and a temporary copy has it or refuses: with DVC's own commands."""

import json
import zipfile
from pathlib import Path

import dvc.api
import pytest

from dermascreen.core.params import SyntheticParams
from dermascreen.data.sources.synthetic import photographs

from .conftest import make_site, shell

FROM_ARCHIVE = ("-S", "data.source=archive", "-S")


def write_archive(folder: Path) -> None:
    for path, content, _ in photographs(SyntheticParams(images=16, size=32, seed=5)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def in_git(project: Path, file: Path) -> bool:
    """Whether any object of the repository, reachable or not, has the content of `file`."""
    name = shell(project, "git", "hash-object", str(file)).stdout.strip()
    return shell(project, "git", "cat-file", "-e", name, check=False).returncode == 0


def test_no_way_of_running_an_experiment_brings_photographs_into_git(project) -> None:
    for place in ("data/archive", "mine/set", "data/external/site"):
        write_archive(project / place)
    with zipfile.ZipFile(project / "mine/archive.zip", "w") as archive:
        for file in (project / "mine/set").rglob("*.jpg"):
            archive.write(file, file.relative_to(project / "mine/set"))
    absolute = f"data.archive={project / 'mine/archive.zip'}"
    run = ("dvc", "exp", "run")
    shell(project, *run, "--name", "folder", *FROM_ARCHIVE, "data.archive=data/archive", "download")
    shell(project, "dvc", "exp", "save", "--name", "saved", "--force")
    shell(project, *run, "--name", "zip", *FROM_ARCHIVE, "data.archive=mine/archive.zip", "download")
    shell(project, *run, "--name", "copied", "--temp", *FROM_ARCHIVE, absolute, "download")
    shell(project, *run, "--name", "queued", "--queue", *FROM_ARCHIVE, absolute, "download")
    shell(project, *run, "--run-all")
    shell(project, "dvc", "exp", "apply", "folder")
    assert {"folder", "saved", "zip", "copied", "queued"} <= set(
        shell(project, "dvc", "exp", "list", "--name-only").stdout.split()
    )
    given = [file for place in ("mine", "data/archive", "data/external") for file in (project / place).rglob("*.*")]
    found = {file.relative_to(project).as_posix() for file in given if file.is_file() and in_git(project, file)}
    assert {path for path in found if not path.endswith((".md", ".gitignore"))} == set()
    assert in_git(project, project / "params.yaml")  # so that what is looked for would be found
    assert (project / "mine/archive.zip").exists()


def test_what_git_would_take_is_refused_before_dvc_adds_it(project) -> None:
    write_archive(project / "mine")
    (project / ".gitignore").write_text("/mlflow.db*\n/mlartifacts/\n/.dermascreen/\n")
    done = shell(project, "dvc", "exp", "run", *FROM_ARCHIVE, "data.archive=mine", "download", check=False)
    assert done.returncode != 0
    assert "download: data.archive: mine lies in this project, and Git does not ignore mine/" in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(in_git(project, file) for file in (project / "mine").rglob("*.jpg"))


@pytest.fixture
def with_site(project: Path) -> Path:
    params = project / "params.yaml"
    [external] = [line for line in params.read_text().splitlines() if line.startswith("  external: ")]
    params.write_text(params.read_text().replace(external, "  external: data/external"))
    shell(project, "git", "commit", "--quiet", "--all", "--message", "Sites of this project")
    make_site(project / "data/external/here")
    return project


def sites(project: Path, name: str) -> list[str]:
    return [*json.loads(dvc.api.read("reports/details/external.json", repo=str(project), rev=name))["sites"]]


def test_a_copy_without_the_sites_is_refused_and_both_ways_out_find_them(with_site) -> None:
    run = ("dvc", "exp", "run", "--temp")
    refused = shell(with_site, *run, "external", check=False)
    assert refused.returncode != 0
    sentence = (
        "is missing in this temporary copy of the project, as Git ignores it; add "
        f"`-S evaluate.external={with_site}/data/external` or `--copy-paths data/external/here` to the command."
    )
    assert "external: evaluate.external: data/external/here/" in refused.stderr
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr
    shell(with_site, *run, "--name", "copied", "--copy-paths", "data/external/here", "external")
    shell(with_site, *run, "--name", "absolute", "-S", f"evaluate.external={with_site}/data/external", "external")
    shell(with_site, "dvc", "exp", "run", "--name", "in-place", "external")
    listed = shell(with_site, "git", "for-each-ref", "--format=%(refname)").stdout.split()
    refs = {ref.rpartition("/")[2]: ref for ref in listed}
    assert [sites(with_site, refs[name]) for name in ("copied", "absolute", "in-place")] == [["here"]] * 3
