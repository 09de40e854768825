"""What dvc.yaml says about a stage."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


def hand_overs(name: str, pipeline: Path = Path("dvc.yaml")) -> tuple[list[str], list[str]]:
    """The data files that stage `name` reads and writes, as dvc.yaml lists them; code is known by its Git revision."""
    definition = yaml.safe_load(pipeline.read_text(encoding="utf-8"))["stages"][name]
    outputs = [*definition.get("outs", []), *definition.get("metrics", [])]
    writes = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in outputs]
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    reads = [_interpolate(path, params) for path in definition.get("deps", [])]
    return [path for path in reads if not path.startswith(("src/", "stages/"))], writes


def _interpolate(text: str, params: Mapping[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        found: Any = params
        for key in match[1].split("."):
            found = found[key]
        return str(found)

    return re.sub(r"\$\{([\w.]+)\}", value, text)
