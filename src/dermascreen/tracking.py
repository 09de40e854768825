"""The only module that knows MLflow."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dermascreen.params import Params


class Run:
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None: ...
    def log_outputs(self, hashes: Mapping[str, str]) -> None: ...


@contextmanager
def tracked_run(stage: str, params: Params, root: Path, inputs: Mapping[str, str]) -> Iterator[Run]:
    yield Run()
