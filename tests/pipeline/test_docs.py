"""Every block of commands in docs/ runs as it stands in a finished project, unless its title says what it needs."""

import os
import re
import sys
from pathlib import Path

import pytest

from dermascreen.params import read_params

from .conftest import shell

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r'^```sh(?: title="(.*)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
PAGES = {page.relative_to(ROOT / "docs").as_posix(): page.read_text() for page in (ROOT / "docs").rglob("*.md")}
RUN = {page: [code for title, code in BLOCK.findall(text) if not title] for page, text in PAGES.items()}


@pytest.mark.parametrize("page", [page for page, blocks in RUN.items() if blocks])
def test_commands_run(page, project) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for block in RUN[page]:
        shell(project, "bash", "-euo", "pipefail", "-c", block, PATH=path)


def test_what_is_not_run_says_why() -> None:
    titles = {title for text in PAGES.values() for title, _ in BLOCK.findall(text) if title}
    assert titles
    assert {title for title in titles if not title.startswith(("needs ", "in a clone of the repository"))} == set()


def test_every_parameter_named_exists() -> None:
    params = read_params(ROOT / "params.yaml").model_dump()
    named = {key for text in PAGES.values() for key in re.findall(r"-S '?([\w.]+)=", text)}
    assert named
    for key in named:
        section = params
        for name in key.split("."):
            section = section[name]
