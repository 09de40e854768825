"""What is needed to reproduce the results: the code's revision, the parameters, the data, the packages."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from platform import python_version

from dermascreen.core.git import CODE, differ, revision
from dermascreen.core.params import Params, written

PACKAGES = (
    "torch", "torchvision", "timm", "onnxruntime", "lightning", "captum", "numpy", "scipy", "pandas", "scikit-learn",
    "pillow", "opencv-python-headless", "imagehash", "matplotlib", "dvc", "mlflow",
)  # fmt: skip


@dataclass(frozen=True)
class Reproduction:
    """What the page shows of it."""

    revision: str | None  # of Git; none outside a repository
    changed: bool  # whether the code or params.yaml differs from that revision
    params: Params
    inputs: Mapping[str, str]  # md5 of each file that the report was made from, as in dvc.lock
    packages: Mapping[str, str]  # version by name

    @property
    def yaml(self) -> str:
        """The parameters as in params.yaml, without the tracking and the registry's gates, which change no result."""
        shown = self.params.model_dump(exclude={"tracking", "registry"})
        return written(shown)


def reproduction(params: Params, inputs: Mapping[str, str]) -> Reproduction:
    """Ask Git and the installed packages for the rest."""
    commit = revision()
    if commit is None:
        print("report: Git cannot tell the code's revision.", file=sys.stderr)
    changed = commit is not None and differ(*CODE, "params.yaml")
    packages = {"python": python_version(), **{name: version(name) for name in PACKAGES}}
    return Reproduction(commit, changed, params, inputs, packages)
