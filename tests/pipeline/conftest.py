"""The real dvc.yaml, on a few small synthetic lesions, in a repository of its own."""

import io
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image
from programs import wait_for
from warmth import warm_environment

from dermascreen.core.params import SyntheticParams
from dermascreen.data.sources.synthetic import photographs
from dermascreen.experiments.workspace import clean_environment, commit, make_workspace

KNOWN = 8

TINY = {
    "data.source": "synthetic",
    "data.synthetic.images": 60,
    "data.synthetic.size": 48,
    "preprocess.image_size": 32,
    "model.architecture": "tf_efficientnet_lite0",
    "model.weights": "packaged",
    "train.epochs": 2,
    "train.batch_size": 16,
    "train.patience": 2,
    "evaluate.bootstrap_draws": 100,
    "explain.images": 4,
    "explain.checked": 4,
    "explain.layer": "backbone.blocks.2",  # whose maps have 4 x 4 cells
}

OPEN_GATES = {
    "registry.min_auc_gain": -1,
    "registry.max_reencoded_fall": 1,
    "registry.guaranteed_recall": False,
    "registry.max_failed_checks": 8,
}

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r'^```sh(?: title="([^"\n]*)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)

Run = Callable[..., subprocess.CompletedProcess[str]]


def shell(folder: Path, *command: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command with warm programs; `make demo` runs the same pipeline in fresh ones."""
    environment = warm_environment() | variables
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0 or not check, f"{command} exited {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


def make_site(folder: Path) -> None:
    """A second site, with other colours, a dark frame and coarser compression, and KNOWN photographs of the first."""
    first = SyntheticParams(images=TINY["data.synthetic.images"], size=TINY["data.synthetic.size"], seed=0)
    corners = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, 64)] * 2)) > 1.1
    for path, content, _ in photographs(SyntheticParams(images=40, size=64, seed=7)):
        pixels = np.asarray(Image.open(io.BytesIO(content))) * np.array([0.8, 1.0, 1.15])
        pixels[corners] = 5
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / path, "JPEG", quality=40)
    of_train, of_test = (
        [photograph for photograph in photographs(first) if photograph.path.startswith(name)]
        for name in ("train/", "test/")
    )
    for number, photograph in enumerate([*of_train[: KNOWN - 2], *of_test[:2]]):
        (folder / photograph.path).with_name(f"copy{number}.jpg").write_bytes(photograph.content)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id) -> Path:
    """A repository in which `dvc repro` has run, one for all of pytest's processes; look, but do not touch."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent
    folder, ready = shared / "finished", shared / "finished.ready"
    with FileLock(shared / "finished.lock"):
        if not ready.exists():
            make_site(shared / "sites/elsewhere")
            make_workspace(folder, TINY | {"evaluate.external": str(shared / "sites")})
            shell(folder, "dvc", "repro")
            commit(folder, "Results")
            ready.touch()
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of `finished` to change."""
    folder = tmp_path / "project"
    shutil.copytree(finished, folder, symlinks=True, copy_function=copy)
    return folder


def copy(source: str, target: str) -> None:
    """A copy, or a link to a file of DVC's cache, which nothing writes to."""
    if "/.dvc/cache/" in source:
        Path(target).hardlink_to(source)
    else:
        shutil.copy2(source, target)


def blocks(text: str) -> list[str]:
    """The blocks of commands on a page that need nothing but a project in which the pipeline has run."""
    return [commands for title, commands in BLOCK.findall(text) if not title]


def run_page(folder: Path, page: str) -> None:
    for commands in blocks((DOCS / page).read_text()):
        shell(folder, "bash", "-euo", "pipefail", "-c", commands)


def printed(page: str) -> dict[str, list[str]]:
    """The blocks of commands of a page by what their titles say they need."""
    found: dict[str, list[str]] = {}
    for title, commands in BLOCK.findall((DOCS / page).read_text()):
        found.setdefault(title, []).append(commands)
    return found


@contextmanager
def serving(folder: Path, commands: str, address: str, name: str = "server", **variables: str) -> Iterator[None]:
    """Run commands that end in a server, until it answers at `address` and the body is done; its log is `name`.log."""
    log = folder / f"{name}.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=folder, env=clean_environment() | variables, start_new_session=True,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            wait_for(address, server, log)
            yield
        finally:
            with suppress(ProcessLookupError):  # it has ended
                os.killpg(server.pid, signal.SIGTERM)
            server.wait()
