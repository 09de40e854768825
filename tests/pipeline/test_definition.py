"""dvc.yaml lists the code that decides what each stage writes, and nothing that would re-run it for nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/dermascreen"
CORE = PACKAGE / "core"
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES = PIPELINE["stages"]


def module_file(name: str) -> Path | None:
    path = ROOT / "src" / Path(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def imports(file: Path, seen: set[Path]) -> set[Path]:
    """All files of this project that `file` imports, inside functions too, and what those import."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for found in filter(None, map(module_file, names)):
            if found not in seen:
                seen.add(found)
                imports(found, seen)
    return seen


def within(file: Path, place: Path) -> bool:
    return file == place or file.is_relative_to(place)


@pytest.mark.parametrize("name", STAGES)
def test_code_dependencies_are_the_rooms_that_a_stage_imports(name: str) -> None:
    script = ROOT / f"stages/{name}.py"
    code = {script, *(file for file in imports(script, set()) if file.name != "__init__.py")}
    decides = {file for file in code if not within(file, CORE)}
    listed = [ROOT / path for path in STAGES[name]["deps"] if path.startswith(("src/", "stages/"))]
    assert {file for file in decides if not any(within(file, place) for place in listed)} == set()
    assert [place for place in listed if not any(within(file, place) for file in decides)] == []
    assert not any(within(place, CORE) for place in listed)


def test_a_rebuilt_message_re_runs_nothing_because_core_decides_no_result() -> None:
    """What no stage depends on may not compute: nothing that computes is imported when all of it is loaded."""
    modules = [
        ".".join(file.relative_to(ROOT / "src").with_suffix("").parts) for file in sorted(CORE.rglob("[!_]*.py"))
    ]
    loaded = (
        f"import importlib, sys; [importlib.import_module(name) for name in {modules}]; "
        "print({'numpy', 'pandas', 'torch', 'mlflow', 'dvc', 'scipy', 'sklearn'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, cwd=ROOT / "src")
    assert found.stdout == "set()\n"


def test_core_imports_no_other_room() -> None:
    for file in CORE.rglob("*.py"):
        assert all(within(found, CORE) or found == PACKAGE / "__init__.py" for found in imports(file, set())), file


def test_packages_hold_no_code() -> None:
    for package in (ROOT / "src").rglob("__init__.py"):
        body = ast.parse(package.read_text()).body
        assert len(body) == 1, package
        assert isinstance(body[0], ast.Expr), package


def test_stages_explain_themselves() -> None:
    data = ["download", "audit", "split", "preprocess"]
    results = ["train", "reference", "evaluate", "threshold", "shortcuts", "external", "explain", "report"]
    assert [*STAGES] == data + results
    for name, stage in STAGES.items():
        assert stage["desc"]
        assert f"reports/details/{name}.json" in stage["outs"]
    with_headline = [name for name, stage in STAGES.items() if "metrics" in stage]
    assert with_headline == ["audit", "train", "evaluate", "threshold", "shortcuts", "explain"]
    assert all(STAGES[name]["metrics"] == [{f"metrics/{name}.json": {"cache": False}}] for name in with_headline)
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) < 300


def test_every_parameter_of_what_the_pipeline_makes_belongs_to_a_stage() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    used = {key.split(".")[0] for stage in STAGES.values() for key in stage["params"]}
    assert used == set(params) - {"registry", "tracking"}
