"""What Git knows of the project's code."""

import subprocess

CODE = ("src", "stages", "dvc.yaml", "requirements.lock")  # what results are made by, besides parameters and data


def git(*arguments: str) -> str | None:
    """What Git prints, without the space around it; None outside of a repository, or where Git does not answer."""
    try:
        return subprocess.run(
            ["git", *arguments], capture_output=True, encoding="utf-8", errors="replace", check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def revision() -> str | None:
    """The commit that is checked out; None outside of a repository."""
    return git("rev-parse", "HEAD")


def differ(*paths: str) -> bool:
    """Whether files there differ from that commit, or Git cannot tell."""
    return git("status", "--porcelain", "--", *paths) != ""
