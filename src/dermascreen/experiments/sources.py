"""Predictions and parameters of finished runs: of a file, or of a DVC experiment or Git revision of this project."""

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import dvc.api
import yaml
from dvc.exceptions import DvcException, PathMissingError

from dermascreen.artifacts.model.description import WEIGHTS
from dermascreen.artifacts.model.exported import EXPORTED
from dermascreen.artifacts.model.operating_points import OPERATING_POINTS, parse_operating_points, read_operating_points
from dermascreen.artifacts.results.predictions import PREDICTIONS, ImagePredictions
from dermascreen.core.errors import ExperimentError, PredictionsError
from dermascreen.evidence.operating_points import OperatingPoints

LOCK = "dvc.lock"


def is_file(source: str) -> bool:
    """Whether `source` names a table rather than an experiment."""
    return source.endswith(".csv") or Path(source).is_file()


def read_predictions(source: str, split: str) -> ImagePredictions:
    """The images of `split`.

    Parameters: `source`, the path of a predictions.csv, or the name of an experiment, branch, tag or commit.
    Raises a DermascreenError if it is neither, or lacks a column or the number of an image.
    """
    return read_all_predictions(source, split).part(split)


def read_all_predictions(source: str, split: str) -> ImagePredictions:
    """As `read_predictions`, with the images of other splits as well."""
    try:
        return ImagePredictions.parse(Path(source) if is_file(source) else StringIO(_read(source)), [split])
    except OSError as error:
        raise PredictionsError(source, f"cannot be read ({error.strerror})") from None
    except ValueError as problem:
        raise PredictionsError(source, str(problem)) from None


def read_points(source: str) -> OperatingPoints | None:
    """The operating points of the model that made the predictions of `source`; None where none are found.

    Those of a file are next to it, in its project or in its registered bundle. Pooled predictions have none, because
    each fold has its own.
    """
    if not is_file(source):
        return _points_of(source)
    path, name = Path(source), OPERATING_POINTS.name
    places = [path.with_name(name), path.parent / "bundle" / name]
    if path.resolve().parent.name == PREDICTIONS.parent.name:
        project = path.resolve().parents[1]
        lock = project / LOCK
        if not lock.is_file() or _hands_over(_parsed(lock.read_bytes()), PREDICTIONS, "evaluate", "threshold"):
            places.append(project / OPERATING_POINTS)
    if path.name != PREDICTIONS.name:
        return None
    found = next((place for place in places if place.is_file()), None)
    return None if found is None else read_operating_points(found)


def _points_of(name: str) -> OperatingPoints | None:
    """Those of an experiment, unless they were chosen on other predictions, as after `dvc exp run evaluate`."""
    if not _hands_over(_stages(name), PREDICTIONS, "evaluate", "threshold"):
        return None
    try:
        return parse_operating_points(dvc.api.read(str(OPERATING_POINTS), rev=name))
    except (DvcException, FileNotFoundError, ValueError):
        return None


def read_experiment_params(name: str) -> dict[str, Any]:
    """params.yaml of an experiment, branch, tag or commit."""
    try:
        return dict(dvc.api.params_show("params.yaml", rev=name))
    except DvcException as error:
        raise ExperimentError(name, error) from None


def _require_evaluated(name: str) -> None:
    """Raise PredictionsError if an experiment has another model's predictions, as one of `dvc exp run train` has.

    It then has those of the commit that it started from.
    """
    stages = _stages(name)
    if not all(_hands_over(stages, file, "train", "evaluate") for file in (WEIGHTS, EXPORTED)):
        raise PredictionsError(name, "was trained and not evaluated, so its predictions are another model's")


def _stages(name: str) -> dict[str, Any]:
    """What dvc.lock of an experiment says of its stages; nothing where none was run."""
    try:
        return _parsed(dvc.api.read(LOCK, rev=name))
    except (DvcException, FileNotFoundError):
        return {}


def _parsed(lock: str | bytes) -> dict[str, Any]:
    """The stages of a dvc.lock; none of one that is broken."""
    try:
        return dict(yaml.safe_load(lock)["stages"])
    except (yaml.YAMLError, LookupError, TypeError):
        return {}


def _hands_over(stages: Mapping[str, Any], file: Path, maker: str, reader: str) -> bool:
    """Whether a stage last read the file that another one wrote last."""
    made, used = (
        {entry["path"]: entry["md5"] for entry in stages.get(stage, {}).get(kind, [])}.get(str(file))
        for stage, kind in ((maker, "outs"), (reader, "deps"))
    )
    return bool(made == used)


def _read(name: str) -> str:
    try:
        _require_evaluated(name)
        return str(dvc.api.read(str(PREDICTIONS), rev=name))
    except PathMissingError:
        raise PredictionsError(name, "has no predictions, as stage evaluate has not run there") from None
    except (DvcException, FileNotFoundError) as error:
        raise ExperimentError(name, error) from None
