"""The documentation builds without a warning, and asks no other host for anything when it is read."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOADED = re.compile(
    r"""<(?:script|img|iframe|link(?=[^>]*rel="?(?:stylesheet|preconnect|icon)))[^>]*(?:src|href)="?([^"\s>]+)"""
)
PAGES = sorted(
    page.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for page in (ROOT / "docs").rglob("*.md")
)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_only_what_lies_beside_it(site, page) -> None:
    loaded = LOADED.findall((site / page).read_text())
    assert loaded
    assert [
        address for address in loaded if not (site / page).parent.joinpath(address.partition("?")[0]).exists()
    ] == []


def test_pages_hold_what_they_take_from_elsewhere(site) -> None:
    assert "bootstrap_draws" in (site / "reference/parameters.html").read_text()
    assert "probability_intervals.csv" in (site / "reference/files.html").read_text()
    api = (site / "reference/python.html").read_text()
    assert "The ends of the probability's interval at each of" in api
    assert "safe to call from several threads" in api
