"""dvc.yaml lists what each stage imports, and nothing that would run it again for nothing."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
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


@pytest.mark.parametrize("name", STAGES)
def test_code_dependencies_are_the_imports(name: str) -> None:
    script = ROOT / f"stages/{name}.py"
    code = {script, *(file for file in imports(script, set()) if file.name != "__init__.py")}
    listed = {ROOT / path for path in STAGES[name]["deps"] if path.startswith(("src/", "stages/"))}
    templates = {path for path in listed if path.suffix == ".jinja"}
    assert listed - templates == code


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
        assert stage["metrics"] == [{f"metrics/{name}.json": {"cache": False}}]


def test_every_parameter_of_what_the_pipeline_makes_belongs_to_a_stage() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    used = {key.split(".")[0] for stage in STAGES.values() for key in stage["params"]}
    assert used == set(params) - {"registry", "tracking"}
