"""What dvc.yaml says about a stage."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermascreen.core.errors import ParamsError
from dermascreen.core.files import fingerprint
from dermascreen.core.hashes import sha256_of
from dermascreen.core.params import load

CODE = ("src/", "stages/")  # where the dependencies begin that are code


def hand_overs(name: str) -> tuple[list[str], list[str]]:
    """The data files that stage `name` reads and writes, as dvc.yaml lists them; code is known by its Git revision.

    Raises ParamsError for a dvc.yaml that DVC would not take either.
    """
    params = load(Path("params.yaml"))
    try:
        definition = _definition(name)
        outputs = [*definition.get("outs", []), *definition.get("metrics", [])]
        writes = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in outputs]
        reads = [_interpolate(path, params) for path in definition.get("deps", [])]
    except (AttributeError, KeyError, TypeError):
        raise ParamsError(f"dvc.yaml has no usable definition of stage {name}; `dvc status` says more.") from None
    return [path for path in reads if not path.startswith(CODE)], writes


def code_fingerprint(name: str) -> str:
    """A hash of the files of Python that stage `name` depends on, as dvc.yaml lists them and their folders."""
    listed = [Path(path) for path in _definition(name).get("deps", []) if path.startswith(CODE)]
    files = {file for path in listed for file in ([path] if path.is_file() else path.rglob("*.py"))}
    return fingerprint({str(file): sha256_of(file) for file in files})


def _definition(name: str) -> dict[str, Any]:
    stages: dict[str, dict[str, Any]] = load(Path("dvc.yaml"))["stages"]
    return stages[name]


def _interpolate(text: str, params: Mapping[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        found: Any = params
        for key in match[1].split("."):
            found = found[key]
        return str(found)

    return re.sub(r"\$\{([\w.]+)\}", value, text)
