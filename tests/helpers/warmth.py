"""The environment of warm programs, for tests."""

import atexit
import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import warm

from dermascreen.experiments.workspace import clean_environment


@functools.cache
def _programs() -> str:
    """The folder of this pytest process's warm programs, whose server ends with it."""
    folder = tempfile.mkdtemp(prefix="warm-")
    address = str(Path(folder, "socket"))
    server = subprocess.Popen([sys.executable, warm.__file__, "serve", address], env=clean_environment())
    atexit.register(server.kill)
    while not Path(address).exists():
        assert server.poll() is None
        try:
            server.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    warm.write_programs(folder, address)
    return folder


def warm_environment() -> dict[str, str]:
    """`clean_environment` with warm programs first on the path."""
    environment = clean_environment()
    return environment | {"PATH": f"{_programs()}{os.pathsep}{environment['PATH']}"}
