"""What MLflow loads: this file as source code, with the bundle and a copy of the package. No pickle is involved.

A request has a row for each photograph: `image`, its file in base64, or `path`, of a file below the folder that
DERMASCREEN_IMAGES names where the model runs. Without it no path is opened, because anyone who can send requests could
read the disk.
"""

import base64
import binascii
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from dermascreen.core.errors import ImageError
from dermascreen.data.photographs.photograph import MAX_BYTES, read_bounded
from dermascreen.evidence.operating_points import REFER
from dermascreen.serving.bundle import Bundle
from dermascreen.serving.photographs import Failure, Photograph, PhotographPredictor, Prediction

ALLOWED = "DERMASCREEN_IMAGES"
COLUMNS = ["probability", "low", "high", "decision", "operating_point", "abstain", "caveat", "warnings", "error"]


class DermascreenModel(PythonModel):
    """Predicts photographs; a row that cannot be predicted has an `error`, and the others are predicted."""

    def load_context(self, context: PythonModelContext) -> None:
        self._predict = PhotographPredictor(Bundle.read(Path(context.artifacts["bundle"])))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow names these three
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """A row for each row of `model_input`, with COLUMNS; unknown values are missing.

        Raises MlflowException, a bad request, if it has no row, or neither column: MLflow then hands over none.
        """
        if model_input.empty or not {"image", "path"} & set(model_input.columns):
            raise MlflowException.invalid_parameter_value("no row has an `image` in base64 or a `path`")
        rows = model_input.reindex(columns=["image", "path"]).astype(object)
        photographs = [
            Photograph(f"row {number}", _reader(number, image, path))
            for number, (image, path) in enumerate(rows.itertuples(index=False))
        ]
        answers = pd.DataFrame([_answer(one) for one in self._predict(photographs)], columns=COLUMNS, dtype=object)
        return answers.where(answers.notna(), None)  # JSON has null, and no NaN


def _answer(predicted: Prediction | Failure) -> dict[str, Any]:
    if isinstance(predicted, Failure):
        return {
            "warnings": "",
            "error": f"{predicted.name} {predicted.problem}",
            "decision": None,
            "operating_point": None,
        }
    return {
        "probability": predicted.probability,
        "low": predicted.low,
        "high": predicted.high,
        "decision": predicted.decision,
        "operating_point": predicted.point,
        "abstain": predicted.decision == REFER,
        "caveat": predicted.caveat,
        "warnings": " ".join(predicted.warnings),
        "error": None,
    }


def _reader(number: int, image: object, path: object) -> Callable[[], bytes]:
    name = f"row {number}"
    if isinstance(image, str):
        return partial(_decode, name, image)
    if isinstance(path, str):
        return partial(_read, name, path)
    return partial(_refuse, name, "has neither an image in base64 nor a path")


def _decode(name: str, text: str) -> bytes:
    if len(text) > MAX_BYTES * 4 // 3 + 4:
        raise ImageError(name, f"is larger than {MAX_BYTES // 2**20} MiB")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ImageError(name, "is not base64") from None


def _read(name: str, path: str) -> bytes:
    folder = os.environ.get(ALLOWED)
    if not folder:
        raise ImageError(name, f"is a path, and no folder is open to requests ({ALLOWED} is not set)")
    try:
        file = Path(folder, path).resolve()
        inside = file.is_relative_to(Path(folder).resolve()) and file.is_file()
    except (ValueError, RuntimeError):  # a name that no file can have, or a circle of links
        inside = False
    if not inside:
        raise ImageError(name, f"is not a file in the folder that {ALLOWED} names")
    with file.open("rb") as opened:
        return read_bounded(opened)


def _refuse(name: str, problem: str) -> bytes:
    raise ImageError(name, problem)


set_model(DermascreenModel())
