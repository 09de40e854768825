"""Programs that tests drive: where one is missing, a test is skipped on a developer's machine, and fails in CI."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

PATIENCE = 600.0  # seconds for a server to answer on a machine that is busy


def find_program(*names: str) -> str:
    """The first of `names` that is installed; else the test that asks is skipped, or fails where CI is set."""
    for name in names:
        if path := shutil.which(name):
            return path
    missing = f"none of {', '.join(names)} is installed"
    if os.environ.get("CI"):
        pytest.fail(f"{missing}, and the scripts in .ci install what the tests need")
    pytest.skip(missing)


def free_port() -> str:
    """A port of this machine at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


def wait_for(address: str, server: subprocess.Popen[str] | subprocess.Popen[bytes], log: Path) -> None:
    """Wait until `address` answers, an HTTP address or ssh://host:port; fail with what `server` logged if it ends."""
    deadline = time.monotonic() + PATIENCE
    while not _answers(address):
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, f"{address} does not answer:\n{log.read_text()}"
        time.sleep(0.2)


def _answers(address: str) -> bool:
    try:
        if address.startswith("ssh://"):
            host, port = address.removeprefix("ssh://").split(":")
            with socket.create_connection((host, int(port)), timeout=5) as connection:
                return connection.recv(4) == b"SSH-"
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
