"""What the README says is there is there."""

import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
FENCED = r"```\w*\n(.*?)```"
CODE = re.findall(FENCED, README, re.DOTALL) + re.findall(r"`([^`]+)`", re.sub(FENCED, "", README, flags=re.DOTALL))


def test_it_opens_with_the_two_commands_and_ci_runs_the_second() -> None:
    assert README.startswith("# dermascreen\n\n```\nmake demo\nmake test\n```\n")
    assert "\nmake test\n" in (ROOT / ".ci/run").read_text()


def test_every_make_target_is_listed_by_make() -> None:
    listed = re.findall(r"^  make (\w+)", subprocess.check_output(["make", "help"], cwd=ROOT, text=True), re.MULTILINE)
    assert listed == [
        "help",
        "setup",
        "peers",
        "demo",
        "check",
        "test",
        "repro",
        "app",
        "docs",
        "ui",
        "lock",
        "format",
        "clean",
    ]
    assert subprocess.check_output(["make"], cwd=ROOT) == subprocess.check_output(["make", "help"], cwd=ROOT)
    assert set(re.findall(r"\bmake (\w+)", "\n".join(CODE))) <= set(listed)


def test_every_parameter_named_exists() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    keys = re.findall(r"-S '?([\w.]+)=", README)
    assert len(keys) >= 4
    for key in keys:
        section = params
        for name in key.split("."):
            section = section[name]


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
