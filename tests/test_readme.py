"""The README names what exists, and draws the pipeline that dvc.yaml defines."""

import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
FENCED = r"```\w*\n(.*?)```"
CODE = re.findall(FENCED, README, re.DOTALL) + re.findall(r"`([^`]+)`", re.sub(FENCED, "", README, flags=re.DOTALL))

Edges = set[tuple[str, str]]


def test_it_gives_the_two_commands_and_ci_runs_both() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    assert "run: bash .ci/run\n" in workflow
    assert "run: bash .ci/team\n" in workflow
    for command, where in (
        ("make demo", workflow.replace("- run: ", "\n")),
        ("make test", (ROOT / ".ci/run").read_text()),
    ):
        assert any(command in block.splitlines() for block in CODE)
        assert f"\n{command}\n" in where


def test_every_make_target_is_listed_by_make() -> None:
    listed = re.findall(
        r"^  make ([\w-]+)", subprocess.check_output(["make", "help"], cwd=ROOT, text=True), re.MULTILINE
    )
    assert listed == [
        "help",
        "setup",
        "peers",
        "demo",
        "check",
        "test",
        "team-test",
        "repro",
        "app",
        "docs",
        "ui",
        "lock",
        "format",
        "clean",
    ]
    assert subprocess.check_output(["make"], cwd=ROOT) == subprocess.check_output(["make", "help"], cwd=ROOT)
    assert set(re.findall(r"\bmake ([\w-]+)", "\n".join(CODE))) <= set(listed)


def test_every_parameter_named_exists() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for key in re.findall(r"-S '?([\w.]+)=", README):
        section = params
        for name in key.split("."):
            section = section[name]


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_picture_of_the_pipeline_is_that_of_dvc_yaml() -> None:
    """Its nodes are the stages; every arrow is a hand-over, and every hand-over is an arrow or follows from several."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    [drawn] = re.findall(r"^```mermaid\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    arrows = set(re.findall(r"(\w+)(?:\[[^\]]*\])? *--> *(?=(\w+))", drawn))
    named = set(re.findall(r"^ +(\w+)\[", drawn, re.MULTILINE)) | {name for arrow in arrows for name in arrow}
    assert named == set(stages)
    defined = hand_overs(stages)
    assert arrows <= defined
    assert with_consequences(arrows) == with_consequences(defined)


def hand_overs(stages: dict[str, dict[str, list]]) -> Edges:
    """Each stage that writes what another one reads: the file itself, what holds it or what it holds."""

    def overlap(one: Path, other: Path) -> bool:
        return one.is_relative_to(other) or other.is_relative_to(one)

    writes = {
        name: [
            Path(next(iter(out)) if isinstance(out, dict) else out)
            for out in [*stage.get("outs", []), *stage.get("metrics", [])]
        ]
        for name, stage in stages.items()
    }
    return {
        (source, target)
        for target, stage in stages.items()
        for source, outs in writes.items()
        if any(overlap(out, Path(dep)) for out in outs for dep in stage["deps"])
    }


def with_consequences(edges: Edges) -> Edges:
    """The edges and all that follow from them: where a leads to b and b to c, a leads to c."""
    found = set(edges)
    while further := {(a, d) for a, b in found for c, d in found if b == c} - found:
        found |= further
    return found
