"""Imports run one way: a room imports only those that MAY_IMPORT gives it."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src/dermascreen"
MAY_IMPORT = {  # besides itself and core
    "core": set(),
    "evidence": set(),
    "artifacts": {"evidence"},
    "data": {"artifacts", "evidence"},
    "network": {"artifacts"},
    "training": {"artifacts", "network"},
    "prediction": {"artifacts", "evidence"},
    "explanation": {"artifacts", "evidence", "network"},
    "report": {"artifacts", "evidence", "data"},
    "experiments": {"artifacts", "evidence", "network", "training", "report"},
    "registry": {"artifacts", "report", "experiments"},
    "serving": {
        "artifacts", "evidence", "data", "network", "prediction", "explanation", "report", "registry",
    },
}  # fmt: skip


def rooms_imported(room: Path) -> set[str]:
    found = set()
    for file in room.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dermascreen."):
                found.add(node.module.split(".")[1])
    return found - {room.name, "core"}


def test_every_room_imports_only_what_stands_below_it() -> None:
    rooms = {room.name: room for room in PACKAGE.iterdir() if (room / "__init__.py").exists()}
    assert rooms.keys() == MAY_IMPORT.keys()
    assert {name: rooms_imported(room) for name, room in rooms.items()} == MAY_IMPORT


def test_all_that_is_no_room_is_the_command() -> None:
    assert {file.name for file in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py", "cli.py"}


def test_numbers_and_predictions_are_made_without_torch() -> None:
    for room in ("evidence", "prediction", "artifacts", "core"):
        for file in (PACKAGE / room).rglob("*.py"):
            roots = {name.partition(".")[0] for name in imported_by(file)}
            assert not {"torch", "torchvision", "timm", "lightning", "captum"} & roots, file


def imported_by(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
