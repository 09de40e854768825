"""What every stage shares: its parameters, what it reads and writes, a tracked run, and how a failure ends."""

import gc
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dermascreen.core.definition import code_fingerprint, hand_overs
from dermascreen.core.errors import InputError, MissingInputError
from dermascreen.core.files import fingerprint, remove_remnants, write_json
from dermascreen.core.hashes import content_md5s
from dermascreen.core.params import Params, read_params
from dermascreen.core.program import reported
from dermascreen.core.records import Details, Number
from dermascreen.core.tracking.run import Run, tracked_run
from dermascreen.core.user_data import require_private, require_whole_copy

if TYPE_CHECKING:
    import pandas as pd

METRICS = Path("metrics")  # the headline numbers

STEP_COMPLETED = Path(".dvc/tmp/exps/run/DVCLIVE_STEP_COMPLETED")  # watched by DVC's extension of VS Code

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")  # set by torchrun, Lightning and Slurm


@dataclass(frozen=True)
class Stage:
    """A stage while it runs: its name, all parameters, the md5 of what it reads, and its MLflow run."""

    name: str
    params: Params
    inputs: Mapping[str, str]
    tracking: Run

    leads: bool  # False in all but the first process of a distributed job: they write nothing and are not tracked

    def fingerprint(self, *sections: str) -> str:
        """A hash of these parameter sections, of the content that the stage reads, and of its code."""
        params = self.params.model_dump(include=set(sections))
        return fingerprint([params, self.inputs, code_fingerprint(self.name)])

    def log_dataset(self, frame: "pd.DataFrame", name: str, *paths: Path) -> None:
        """Log that the stage uses a part of the images, such as test: its table, and the inputs that it comes from."""
        source = {str(path): self.inputs[str(path)] for path in paths}
        self.tracking.log_dataset(frame, name, fingerprint(source), source)

    def report(self, details: Details, measured: Mapping[str, Number] | None = None) -> None:
        """Write what was found: all of it to the details, the headline numbers to metrics/<stage>.json, if any are.

        Parameters: `measured`, more headline numbers, which differ from run to run, such as seconds; they are no part
        of the details, so that what is made from those is not made again.
        """
        details.write()
        if headline := details.headline | dict(measured or {}):
            self.show(headline)
        self.tracking.log_metrics(details.row)
        self.tracking.log_artifact(details.PATH)

    def show(self, headline: Mapping[str, Number]) -> None:
        """Write headline numbers, also while the stage goes on."""
        write_json({name: _rounded(number) for name, number in headline.items()}, METRICS / f"{self.name}.json")

    def mark_step(self, step: int) -> None:
        """Tell DVC's extension of VS Code that there is something new to show of a running experiment.

        The file is one that dvclive defines.
        """
        if "DVC_ROOT" in os.environ:
            write_json({"pid": os.getpid(), "step": step}, _dvc_root() / STEP_COMPLETED)

    def clear_step(self) -> None:
        (_dvc_root() / STEP_COMPLETED).unlink(missing_ok=True)


def _rounded(number: Number) -> Number:
    """As many digits as a person compares; the details have them all."""
    return round(number, 4) if isinstance(number, float) else number


def project_root() -> Path:
    """The folder that keeps caches and the MLflow store: the one with dvc.yaml, also from inside an experiment's copy.

    It may lie below DVC's root, and a copy is of all that is below that.
    """
    here, root = Path.cwd(), _dvc_root()
    own = next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), here)
    return root / here.relative_to(own) if "DVC_ROOT" in os.environ else here


def _dvc_root() -> Path:
    """The folder of the DVC repository that runs the stage; that of the original, for an experiment's copy."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


@contextmanager
def stage(name: str) -> Iterator[Stage]:
    """Run a stage's body with parameters and an MLflow run; a user's error ends in one sentence and exit code 1."""
    _begin(name)
    with reported(name):
        _require_no_arguments(name)
        params = read_params()
        reads, writes = hand_overs(name)
        given = {  # by no stage
            params.data.archive: "data.archive",
            params.data.table.files: "data.table.files",
            params.model.own_weights: "model.own_weights",
            params.evaluate.external: "evaluate.external",
        }
        unread = {
            "data.archive": params.data.source not in ("archive", "table"),
            "data.table.files": params.data.source != "table",
            "model.own_weights": not params.model.names_a_file,
        }
        for path in set(reads) & given.keys():
            require_private(given[path], Path(path))
            if not unread.get(given[path]):
                inside = {"model.weights": params.model.weights} if given[path] == "model.own_weights" else {}
                require_whole_copy(given[path], Path(path), project_root(), inside)
        missing = [path for path in reads if not Path(path).exists()]
        for path in missing:
            if path not in given:  # the code that reads those says what is wrong with them
                raise MissingInputError(Path(path))
        inputs = content_md5s([path for path in reads if path not in missing])
        if not leads():
            yield Stage(name, params, inputs, Run(name, params), leads=False)
            return
        for path in writes:
            remove_remnants(Path(path))
        with tracked_run(name, params, project_root(), inputs) as run:
            yield Stage(name, params, inputs, run, leads=True)
            run.log_outputs(content_md5s(writes))


def _require_no_arguments(name: str) -> None:
    """Raise InputError for arguments of the command line, which would have no effect, as `--help` would have none."""
    program, *arguments = sys.argv
    if arguments and Path(program).match(f"stages/{name}.py"):
        raise InputError(f"{arguments[0]}: a stage takes no arguments; its parameters are in params.yaml.")


def leads() -> bool:
    """Whether this process is the only or the first one of a job of several."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def _begin(name: str) -> None:
    """End what `stages/__init__.py` begins, and let SIGTERM end the process as an error does.

    So temporary files are removed, and MLflow records the end.
    """
    if not gc.isenabled():
        gc.freeze()  # what was imported, which stays
        gc.enable()
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def exit_on_sigterm(signum: int, _frame: object) -> None:
        os.write(2, f"{name}: terminated.\n".encode())  # print may be at work
        raise SystemExit(128 + signum)

    signal.signal(signal.SIGTERM, exit_on_sigterm)
