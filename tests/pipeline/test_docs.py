"""Every block of commands in docs/ runs as it stands in a finished project, unless its title says what it needs."""

import re

import pytest

from dermascreen.core.params import read_params

from .conftest import BLOCK, DOCS, blocks, run_page

PAGES = {page.relative_to(DOCS).as_posix(): page.read_text() for page in DOCS.rglob("*.md")}
ELSEWHERE = {"how-to/sweep.md"}  # test_experiments runs it, and looks at what comes of it


@pytest.mark.parametrize("page", sorted(page for page, text in PAGES.items() if blocks(text) and page not in ELSEWHERE))
def test_commands_run(page, project) -> None:
    run_page(project, page)


def test_what_is_not_run_says_why() -> None:
    titles = {title for text in PAGES.values() for title, _ in BLOCK.findall(text) if title}
    assert titles
    assert {title for title in titles if not title.startswith(("needs ", "in a clone of the repository"))} == set()


def test_every_parameter_named_exists() -> None:
    params = read_params(DOCS.parent / "params.yaml").model_dump()
    named = {key for text in PAGES.values() for key in re.findall(r"-S '?([\w.]+)=", text)}
    assert named
    for key in named:
        section = params
        for name in key.split("."):
            section = section[name]
