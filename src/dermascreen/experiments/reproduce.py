"""Make a kept run again: `dermascreen reproduce FOLDER --archive ZIP`.

It says of each output whether it came out equal to the bit, and of each headline number whether it is within its
interval, and on which kinds of machine the two runs were made.
"""

import json
import posixpath
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from dermascreen.core.errors import InputError, MissingInputError, ReproductionError
from dermascreen.core.hashes import content_md5
from dermascreen.core.params import flat
from dermascreen.core.records import Number
from dermascreen.evidence.intervals import Interval
from dermascreen.experiments.kept import LOCK, KeptRun, Lock, read_numbers
from dermascreen.experiments.machine import Machine
from dermascreen.experiments.workspace import PLACES, ROOT, make_workspace, require_workspace, run_pipeline

EQUAL, DIFFERS = "equal to the bit", "differs"
SAME, WITHIN, OUTSIDE, SHOWN = "equal", "within its interval", "outside", "a measurement"
MEASURED = "seconds"  # differs from run to run
ON_ANY_MACHINE = (
    "These differ on any machine: metrics/train.json holds the seconds that training took, reports/report.html and "
    "models/MODEL_CARD.md the Git revision and data.archive."
)


def compare_outputs(kept: Lock, new: Lock) -> pd.DataFrame:
    """A row for each output of the kept run: `stage`, `output` and `result`."""
    rows = [(*output, EQUAL if new.outputs.get(output) == md5 else DIFFERS) for output, md5 in kept.outputs.items()]
    return pd.DataFrame(rows, columns=["stage", "output", "result"])


def compare_numbers(
    kept: Mapping[str, Number], new: Mapping[str, Number], intervals: Mapping[str, Interval]
) -> pd.DataFrame:
    """A row for each headline number of either run: `number`, `kept`, `new`, its `interval` and `result`."""
    rows = [
        {
            "number": name,
            "kept": _shown(kept.get(name)),
            "new": _shown(new.get(name)),
            "interval": f"{intervals[name].low:g} to {intervals[name].high:g}" if name in intervals else "",
            "result": _result(name, kept.get(name), new.get(name), intervals.get(name)),
        }
        for name in [*kept, *(name for name in new if name not in kept)]
    ]
    return pd.DataFrame(rows)


def _result(name: str, kept: Number | None, new: Number | None, interval: Interval | None) -> str:
    if name == MEASURED:
        return SHOWN
    if kept == new:
        return SAME
    if interval is None:
        return DIFFERS
    return WITHIN if new is not None and interval.low <= new <= interval.high else OUTSIDE


def _shown(number: Number | None) -> str:
    return "" if number is None else json.dumps(number)


def reproduce(folder: Path, archive: Path | None, into: Path) -> int:
    """`dermascreen reproduce`: run the pipeline in `into` with the kept parameters, and print what came out equal."""
    kept = KeptRun.read(folder)
    require_archive(folder, kept, archive)
    into = into.resolve()
    require_workspace(into)
    given = {} if archive is None else {"data.archive": str(archive.resolve())}
    make_workspace(into, {**flat(kept.params.model_dump()), **given})
    _require_given(folder, kept, into)
    try:
        run_pipeline(into, "--no-run-cache")  # a cache that projects share must not stand in for the work
    except subprocess.CalledProcessError:
        return 1  # dvc and the stage have said why
    new = Lock.read(into / LOCK)
    outputs = compare_outputs(kept.lock, new)
    numbers = compare_numbers(kept.numbers, read_numbers(into), kept.intervals)
    for table in (outputs, numbers):
        print(f"\n{table.to_string(index=False)}")
    print(f"\n{outputs['result'].eq(EQUAL).sum()} of {len(outputs)} outputs are {EQUAL}. {ON_ANY_MACHINE}")
    print(_about_inputs(kept, new))
    print(f"Kept run:     {kept.machine}\nThis machine: {Machine.here()}")
    outside = numbers.loc[numbers["result"].eq(OUTSIDE), "number"].tolist()
    if outside:
        raise ReproductionError(folder, outside)
    return 0


def _about_inputs(kept: KeptRun, new: Lock) -> str:
    """Whether outputs may differ because of something else than the machine: code, or data besides the archive."""
    others = {path: md5 for path, md5 in kept.lock.inputs.items() if path != _archive_of(kept)}
    differing = [path for path, md5 in others.items() if new.inputs.get(path) != md5]
    if differing:
        return f"Not as in the kept run, which may be why outputs differ: {', '.join(differing)}."
    return "The code and all other inputs are those of the kept run."


def require_archive(folder: Path, kept: KeptRun, archive: Path | None) -> None:
    """Raise InputError unless `archive` is what the kept run was made from; None where that was no archive."""
    name = _archive_of(kept)
    if kept.params.data.source not in ("archive", "table"):
        if archive is not None:
            raise InputError(
                f"{folder} was made with data.source {kept.params.data.source}, which takes no archive; leave "
                "--archive out."
            )
        return
    used = f"{folder} was made from {posixpath.basename(name)} with md5 {kept.lock.inputs.get(name)}"
    if archive is None:
        raise InputError(f"{used}; give that with --archive.")
    if not archive.exists():
        raise MissingInputError(archive)
    if (found := content_md5(archive)) != kept.lock.inputs.get(name):
        raise InputError(f"{used}; {archive} has md5 {found}.")


def _archive_of(kept: KeptRun) -> str:
    """data.archive, as dvc.lock writes it."""
    return posixpath.normpath(kept.params.data.archive)


def _require_given(folder: Path, kept: KeptRun, into: Path) -> None:
    """Raise InputError unless the workspace has what the kept run was given besides the archive.

    What the run had in one of PLACES is copied from this project if it has that. If not, a sentence says so: the folder
    may just have had another note in it.
    """
    given = {
        "data.table.files": kept.params.data.table.files,
        "model.own_weights": kept.params.model.own_weights,
        "evaluate.external": kept.params.evaluate.external,
    }
    for key, path in given.items():
        place = posixpath.normpath(path)
        asked, md5 = f"{folder} was made with {key} {path}", kept.lock.inputs.get(place)
        if place in PLACES:
            if md5 not in (None, content_md5(into / place)):
                if md5 == content_md5(ROOT / place):
                    shutil.copytree(ROOT / place, into / place, dirs_exist_ok=True)
                else:
                    print(
                        f"{asked} with md5 {md5}, and {into / place} has another: if files of yours were there, stop, "
                        "put them in, and run the same command again."
                    )
            continue
        if not (into / path).exists():
            raise InputError(f"{asked}; put that in {into / path} and run the same command again.")
        if md5 is not None and (found := content_md5(into / path)) != md5:
            raise InputError(f"{asked} with md5 {md5}; {into / path} has md5 {found}.")
