"""Keep what a run of the pipeline was made from and what came of it: `dermascreen keep FOLDER`.

A kept run is a few small text files, for Git: params.yaml, dvc.lock, the headline numbers in metrics/, their intervals
and the kind of machine. No path of the machine is among them. `dermascreen reproduce` makes the run again.
"""

import json
import posixpath
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, ClassVar, Self

import yaml
from dvc.exceptions import DvcException
from dvc.repo import Repo
from ruamel.yaml import YAML

from dermascreen.artifacts.results.details.evaluation import EvaluateDetails, ShortcutsDetails, ThresholdDetails
from dermascreen.core.errors import BadTableError, InputError, MissingInputError
from dermascreen.core.files import replacing
from dermascreen.core.params import ROLES, Params, read_params
from dermascreen.core.records import Number, Record
from dermascreen.core.stage import METRICS
from dermascreen.evidence.intervals import Interval, main_interval
from dermascreen.evidence.point_reports import MeasuredRates
from dermascreen.experiments.machine import Machine

PARAMS = Path("params.yaml")
LOCK = Path("dvc.lock")
# Parameters that runs kept by earlier versions lack, with the values that do what those versions did.
ADDED = {
    "data.table": {
        "files": "data/tables", "columns": dict.fromkeys(ROLES, "auto"), "malignant": [], "benign": [], "keep": [],
        "max_unmatched": 0.05,
    },
    "split.selection_fraction": 0.0,
    "split.hold_out": {"column": "", "values": []},
    "preprocess.fit": "squash",
    "preprocess.field_of_view": "keep",
    "threshold.groups": [],
    "registry.max_reencoded_fall": 1.0,
}  # fmt: skip
DIGITS = 4  # of the headline numbers
WRITTEN_BY = "give a folder that `dermascreen keep` wrote"


class HeadlineIntervals(Record):
    """The 95 % intervals of those headline numbers that have one, rounded as they are."""

    PATH: ClassVar[Path] = Path("intervals.json")

    intervals: dict[str, Interval]

    @classmethod
    def of(cls, evaluate: EvaluateDetails, threshold: ThresholdDetails, shortcuts: ShortcutsDetails) -> Self:
        """Those of a run. A number of missed cancers has that of the recall, in images."""
        high_recall, default = threshold.high_recall.test, threshold.default.test
        best = shortcuts.baselines[shortcuts.best_baseline]
        found = {
            "auc": main_interval(evaluate.test.intervals.roc_auc),
            "val_auc": main_interval(evaluate.val.intervals.roc_auc),
            "recall": next(iter(high_recall.intervals.recall.values()), None),
            "specificity": next(iter(high_recall.intervals.specificity.values()), None),
            "missed": _missed(high_recall),
            "missed_half": _missed(default),
            "auc_gain": Interval(best.low, best.high),
        }
        return cls(
            intervals={
                name: Interval(round(interval.low, DIGITS), round(interval.high, DIGITS))
                for name, interval in found.items()
                if interval is not None
            }
        )


FILES = (PARAMS, LOCK, HeadlineIntervals.PATH, Machine.PATH)  # of a kept run, besides metrics/


def _missed(rates: MeasuredRates) -> Interval | None:
    recall, images = next(iter(rates.intervals.recall.values()), None), rates.confusion.malignant
    return None if recall is None else Interval(images * (1 - recall.high), images * (1 - recall.low))


@dataclass(frozen=True)
class Lock:
    """The hashes in a dvc.lock."""

    outputs: Mapping[tuple[str, str], str]  # by stage and path, in the order of the file
    inputs: Mapping[str, str]  # by path: code and data that no stage makes

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a dvc.lock; MissingInputError and BadTableError say what is wrong with it."""
        try:
            stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
            outputs = {
                (name, out["path"]): str(out["md5"]) for name, stage in stages.items() for out in stage.get("outs", [])
            }
            read = {dep["path"]: str(dep["md5"]) for stage in stages.values() for dep in stage.get("deps", [])}
        except FileNotFoundError:
            raise MissingInputError(path) from None
        except (yaml.YAMLError, UnicodeDecodeError, LookupError, TypeError, AttributeError):
            raise BadTableError(path, "is not a dvc.lock", WRITTEN_BY) from None
        made = {path for _, path in outputs}
        return cls(outputs, {path: md5 for path, md5 in read.items() if path not in made})


@dataclass(frozen=True)
class KeptRun:
    """What a folder of `dermascreen keep` holds."""

    params: Params
    lock: Lock
    numbers: Mapping[str, Number]  # the headline numbers
    intervals: Mapping[str, Interval]
    machine: Machine

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a kept run; a DermascreenError says what is wrong with it."""
        if not any((folder / name).exists() for name in (*FILES, METRICS)):
            raise InputError(f"{folder} holds no kept run; {WRITTEN_BY}.")
        params, lock = read_params(folder / PARAMS, ADDED), Lock.read(folder / LOCK)
        numbers = read_numbers(folder)
        made = {path for _, path in lock.outputs}
        for file in sorted((folder / METRICS).glob("*.json")):
            if (METRICS / file.name).as_posix() not in made:
                raise BadTableError(folder / LOCK, f"lacks {METRICS / file.name}, so it is not whole", WRITTEN_BY)
        return cls(
            params,
            lock,
            numbers,
            HeadlineIntervals.read(folder / HeadlineIntervals.PATH).intervals,
            Machine.read(folder / Machine.PATH),
        )


def read_numbers(folder: Path) -> dict[str, Number]:
    """The headline numbers in `folder`/metrics, by name."""
    found: dict[str, Number] = {}
    files = sorted((folder / METRICS).glob("*.json"))
    if not files:
        raise MissingInputError(folder / METRICS)
    for file in files:
        try:
            found |= json.loads(file.read_bytes())
        except (ValueError, TypeError):
            raise BadTableError(file, "does not hold a JSON object") from None
    return found


def keep(folder: Path) -> int:
    """`dermascreen keep`: keep the run of the project in the current folder in `folder`."""
    _require_own(folder)
    _require_finished()
    details = (EvaluateDetails.read(), ThresholdDetails.read(), ShortcutsDetails.read())
    params = read_params()
    given = [params.data.archive, params.data.table.files, params.model.own_weights, params.evaluate.external]
    _require_names_apart(given)
    with replacing(folder) as made:
        (made / METRICS).mkdir(parents=True)
        for name in (PARAMS, LOCK):
            _copy_without_places(name, made / name, given)
        outputs = {path for _, path in Lock.read(Path(LOCK)).outputs}
        for file in METRICS.glob("*.json"):
            if file.as_posix() in outputs:  # and not of an earlier version of the pipeline
                shutil.copyfile(file, made / file)
        HeadlineIntervals.of(*details).write(made / HeadlineIntervals.PATH)
        Machine.here().write(made / Machine.PATH)
    print(f"Kept in {folder}, as made on this machine: {Machine.here()}.")
    return 0


def _require_own(folder: Path) -> None:
    """Raise InputError unless `folder` is absent, empty or a kept run."""
    if not folder.exists():
        return
    found = {path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()} if folder.is_dir() else None
    others = found and {path for path in found - {*FILES} if path.parent != METRICS or path.suffix != ".json"}
    if found is None or others or (found and Machine.PATH not in found):
        raise InputError(f"{folder} is neither empty nor a run that was kept; name another folder.")


def _require_names_apart(given: list[str]) -> None:
    """Raise InputError if two paths that lead out of the project end with the same name, which alone is kept."""
    by_name: dict[str, str] = {}
    for path in map(posixpath.normpath, filter(_leads_out, given)):
        if (other := by_name.setdefault(PurePath(path).name, path)) != path:
            raise InputError(f"{other} and {path} have one name, and only names are kept; rename one of them.")


def _require_finished() -> None:
    """Raise InputError unless every stage of the pipeline has run with what is here now."""
    if not LOCK.is_file():
        raise InputError(f"{LOCK} does not exist; `dvc repro` in the folder that holds dvc.yaml writes it.")
    try:
        with closing(Repo()) as repo:
            changed = repo.status()
    except DvcException as error:
        raise InputError(f"`dvc status` fails ({error}).") from None
    if changed:
        raise InputError(f"Stage {next(iter(changed))} is not up to date; run `dvc repro` first.")


def _copy_without_places(source: Path, target: Path, given: list[str]) -> None:
    """Copy a YAML file with its comments, and the name in place of each path that leads out of the project.

    Parameters: `given`, what the user has pointed the pipeline to; a path below one of these keeps what follows its
    name, so that both still fit.
    """
    parser = YAML()
    parser.width = 2**16  # as DVC writes it: no line is broken
    content = parser.load(source)
    places = [found for found in _texts(content) if _leads_out(found[2])]
    if not places:
        shutil.copyfile(source, target)
        return
    for place, key, text in places:
        above = next((path for path in given if PurePath(text).is_relative_to(path)), text)
        place[key] = (PurePath(PurePath(above).name) / PurePath(text).relative_to(above)).as_posix()
    with target.open("w", encoding="utf-8") as file:
        parser.dump(content, file)


def _texts(content: Any) -> Iterator[tuple[Any, Any, str]]:  # noqa: ANN401 - YAML holds anything
    """Each text among the values of nested mappings and sequences, with what holds it and under which key."""
    for key, value in [*(content.items() if isinstance(content, dict) else enumerate(content))]:
        if isinstance(value, str):
            yield content, key, value
        elif isinstance(value, dict | list):
            yield from _texts(value)


def _leads_out(text: str) -> bool:
    return posixpath.normpath(text).startswith(("/", "../", "~"))
