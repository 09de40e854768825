"""A stage as a run in MLflow, as the stage sees it.

Each execution of a stage is one MLflow run. Tracking reports and never decides: what a run logs is written to a
journal, and another process sends it; whatever goes wrong there is one line on stderr, and the stage continues.

The registry of models, unlike tracking, decides: it calls the store within `answering`, and stops at any error.
"""

import json
import os
import posixpath
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dermascreen.core.errors import ParamsError, StoreError
from dermascreen.core.git import CODE, differ, git, revision
from dermascreen.core.params import NOT_YAML, Params, flat, load, parse
from dermascreen.core.tracking.address import user
from dermascreen.core.tracking.failures import masked
from dermascreen.core.tracking.journal import DATASET, FOLDER, METRICS, OUTPUTS, TAGS, Journal, entries
from dermascreen.core.tracking.page import COMMAND, command
from dermascreen.core.tracking.sending import LATER, TRAIN, WAITS, Answer
from dermascreen.core.tracking.service import Service

if TYPE_CHECKING:
    import pandas as pd

DATA_STAGES = ("download", "audit", "split", "preprocess")
RESULT_STAGES = ("reference", "evaluate", "threshold", "shortcuts", "external", "explain", "report")
WAIT = (TRAIN, RESULT_STAGES[-1])
CHECKPOINTS = "checkpoints"  # the tag of a training that names its folder below .dermascreen/checkpoints
NAMED = 3  # changes in the name of a run
PARAMS = Path("params.yaml")
SHAPES_A_MODEL = ("seed", "data", "audit", "split", "preprocess", "model", "train")  # the sections on a model's row


@contextmanager
def tracked_run(stage: str, params: Params, root: Path, inputs: Mapping[str, str]) -> Iterator["Run"]:
    """Log a stage to the store of the project at `root`; the run ends FINISHED, FAILED or KILLED, as the body does."""
    run = Run(stage, params)
    status = "FAILED"
    try:
        run.open(root, inputs)
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    except SystemExit as end:
        status = "KILLED" if end.code == 143 else "FAILED"  # noqa: PLR2004 - 128 + SIGTERM
        raise
    finally:
        run.close(status)


class Run:
    """One execution of a stage in MLflow; every method is safe to call when there is no journal."""

    def __init__(self, stage: str, params: Params) -> None:
        self._stage = stage
        self._experiment = params.tracking.experiment + ("-data" if stage in DATA_STAGES else "")
        own = SHAPES_A_MODEL if stage == TRAIN else ("data",) if stage == "download" else (stage,)
        self._params = _texts(params, own)
        self._later = {name: _texts(params, (name,)) for name in RESULT_STAGES} if stage == TRAIN else {}
        self._journal: Journal | None = None
        self._service: Service | None = None
        self._root = Path()
        self._revision: str | None = None
        self._said: set[str] = set()

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers by name; with a step, such as the epoch, they become a curve, which can be seen at once."""
        self._attempt(lambda journal: journal.write(METRICS, metrics=dict(metrics), step=step))
        if self._service is not None:
            self._report(self._service.ask())

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Log texts by which runs are found."""
        self._attempt(lambda journal: journal.write(TAGS, tags=dict(tags)))

    def log_dataset(self, frame: "pd.DataFrame", name: str, digest: str, source: Mapping[str, str]) -> None:
        """Log that a table was used, such as the part test.

        Parameters: `digest`, which identifies it, of at most 36 characters; `source`, the files that it comes from,
        by path, and their md5.
        """
        tags = {"mlflow.source.name": ", ".join(source), **{f"md5 of {path}": md5 for path, md5 in source.items()}}
        if self._revision is not None:
            tags["mlflow.source.git.commit"] = self._revision
        if repository := git("remote", "get-url", "origin"):
            tags["mlflow.source.git.repoURL"] = masked(repository)
        size = {"rows": len(frame), "elements": int(frame.size)}
        self._attempt(lambda journal: journal.write(DATASET, name=name, digest=digest, tags=tags, **size))

    def log_artifact(self, path: str | Path) -> None:
        """Copy a file or folder to the run's artifacts."""
        self._attempt(lambda journal: journal.keep(Path(path)))

    def log_outputs(self, hashes: Mapping[str, str]) -> None:
        """Tag the run with what it wrote, and put model and results on one row; a stage's last call, on success."""
        self._attempt(lambda journal: journal.write(OUTPUTS, tags=_names("output.", hashes), later=self._later))

    def open(self, root: Path, inputs: Mapping[str, str]) -> None:
        self._root, self._revision = root, revision()
        tags = {"stage": self._stage, "mlflow.user": user()}
        tags |= {**_names("input.", inputs), **_provenance(self._stage, self._revision)}
        name = self._stage
        if self._stage == TRAIN:
            changes = _changes()
            tags[COMMAND] = command(self._revision, changes)
            named = filter(None, (os.environ.get("DVC_EXP_NAME"), _in_words(changes)))
            name = ": ".join(named) or self._params["model.architecture"]
        try:
            self._journal = Journal(
                root, self._stage,
                experiment=self._experiment,
                name=name,
                tags=tags,
                params=self._params,
                about_a_model=self._stage in RESULT_STAGES,
                inputs=_names("", inputs),
            )  # fmt: skip
        except OSError as error:
            self._say(f"What is logged cannot be kept in {root / FOLDER} ({error.strerror}); this run is not tracked.")
            return
        try:
            self._service = Service(root, self._journal.name)
        except StoreError as error:
            self._wait_for_others(error)

    def close(self, status: str) -> None:
        """End the run, and have it sent.

        A stage that others follow does not wait for a process that is still importing MLflow.
        """
        self._attempt(lambda journal: journal.close(status))
        if self._service is not None:
            try:
                answer = self._service.finish(patient=status != "FINISHED" or self._stage in WAIT)
                if answer is not None:
                    self._report(answer)
                elif any(entry.was_missed() for entry in entries(self._root)):
                    self._say(
                        f"MLflow lacks what earlier runs logged, which waits in {FOLDER}; run `dermascreen sync`."
                    )
            except StoreError as error:
                self._wait_for_others(error)

    def _attempt(self, write: Callable[[Journal], None]) -> None:
        if self._journal is None:
            return
        try:
            write(self._journal)
        except OSError as error:
            self._say(
                f"What is logged cannot all be kept ({error.strerror}: {error.filename or self._journal.folder})."
            )

    def _report(self, answer: Answer | None) -> None:
        if answer is None:
            return
        for sentence in answer.said:
            self._say(sentence)
        if answer.sent:
            self._say(f"MLflow now has {answer.sent} earlier run{'s' * (answer.sent > 1)} too.")

    def _wait_for_others(self, error: StoreError) -> None:
        self._say(f"{str(error).rstrip('.')}, so {WAITS}; {LATER}.")

    def _say(self, sentence: str) -> None:
        """Print a sentence, once."""
        if sentence not in self._said:
            print(f"{self._stage}: {masked(sentence)}", file=sys.stderr)
        self._said.add(sentence)


def _texts(params: Params, sections: tuple[str, ...]) -> dict[str, str]:
    """Parameters by dotted name, written as in params.yaml; those that say how to do what is not done are left out."""
    values = flat(params.model_dump(include=set(sections)))
    unused = [
        *([] if params.data.source == "table" else ["data.table."]),
        *([] if params.split.hold_out.column else ["split.hold_out."]),
    ]
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    return {name: text for name, text in texts.items() if not name.startswith(tuple(unused))}


def _names(prefix: str, hashes: Mapping[str, str]) -> dict[str, str]:
    """Paths as tags, in the characters that MLflow allows."""
    return {re.sub(r"[^\w\-. :/]", "_", prefix + posixpath.normpath(path)): md5 for path, md5 in hashes.items()}


def _changes() -> dict[str, object]:
    """The parameters by dotted name that differ from params.yaml in the Git revision; empty if there is none."""
    committed = git("show", f"HEAD:./{PARAMS}")
    if committed is None:
        return {}
    try:
        before, after = flat(parse(committed)), flat(load(PARAMS))
    except (*NOT_YAML, ParamsError):
        return {}
    return {name: value for name, value in after.items() if name not in before or before[name] != value}


def _in_words(changes: Mapping[str, object]) -> str:
    """What differs, as a run's name: the first few changes, and how many there are besides."""
    shown = ", ".join(f"{name}={value}" for name, value in [*changes.items()][:NAMED])
    more = len(changes) - NAMED
    return textwrap.shorten(shown, 120, placeholder=" ...") + (f" and {more} more" if more > 0 else "")


def _provenance(stage: str, commit: str | None) -> dict[str, str]:
    """Tags for the code: what ran, its Git commit, whether it differs from that, and DVC's experiment."""
    tags = {"mlflow.source.name": f"stages/{stage}.py", "mlflow.source.type": "LOCAL"}
    if commit is not None:
        # Parameters, data and results are recorded by value; only the code is identified by its commit.
        tags |= {"mlflow.source.git.commit": commit, "mlflow.source.git.dirty": str(differ(*CODE)).lower()}
    dvc = {"dvc.exp_name": "DVC_EXP_NAME", "dvc.exp_baseline_rev": "DVC_EXP_BASELINE_REV"}
    return tags | {tag: os.environ[name] for tag, name in dvc.items() if os.environ.get(name)}
