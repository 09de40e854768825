"""Predictions for people and programs, written as they come."""

import csv
import io
import json
from collections.abc import Iterable
from typing import Any, Protocol, TextIO

from dermascreen.core.program import encodable, visible
from dermascreen.evidence.operating_points import BENIGN, HIGH_RECALL, MALIGNANT, Band, HighRecall, Point, trials
from dermascreen.report.numbers import percent, share
from dermascreen.serving.bundle import Bundle
from dermascreen.serving.photographs import Failure, Prediction

COLUMNS = (
    "path", "probability", "low", "high", "logit", "operating_point", "decision", "caveat", "warnings", "error",
)  # fmt: skip
NOT_A_DEVICE = "Not a medical device: nothing here is advice about a person's skin."


class Writer(Protocol):
    def __call__(self, predicted: Prediction | Failure) -> None: ...


def record(predicted: Prediction | Failure) -> dict[str, Any]:
    """A prediction under COLUMNS, and `decisions` at every operating point; a failure has only its `error`."""
    if isinstance(predicted, Failure):
        return dict.fromkeys(COLUMNS) | {
            "path": predicted.name, "error": predicted.problem, "warnings": [], "decisions": None,
        }  # fmt: skip
    return {
        "path": predicted.name,
        "probability": predicted.probability,
        "low": predicted.low,
        "high": predicted.high,
        "logit": predicted.logit,
        "operating_point": predicted.point,
        "decision": predicted.decision,
        "caveat": predicted.caveat,
        "warnings": list(predicted.warnings),
        "error": None,
        "decisions": predicted.decisions,
    }


def json_lines(file: TextIO) -> Writer:
    """Write one JSON object per line; file names are written as Python represents them, whatever their bytes are."""

    def write(predicted: Prediction | Failure) -> None:
        file.write(json.dumps(record(predicted), allow_nan=False) + "\n")
        file.flush()

    return write


def csv_rows(file: TextIO) -> Writer:
    """Write CSV with COLUMNS; missing values are empty, and several warnings share one cell.

    Bytes of a name that are not UTF-8 are escaped; everything else in it can be read back.
    """
    file.write(_csv_line(COLUMNS))

    def write(predicted: Prediction | Failure) -> None:
        row = record(predicted)
        row["warnings"] = " ".join(row["warnings"])
        row["path"] = encodable(row["path"])
        file.write(_csv_line(row[column] for column in COLUMNS))
        file.flush()

    return write


def _csv_line(values: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(values)  # with \n alone, it would not quote a carriage return
    return line.getvalue().removesuffix("\r\n") + "\n"


def table_lines(file: TextIO) -> Writer:
    """Write aligned lines for people."""
    layout = "{:<10}  {:>11}  {:<14}  {}\n"
    file.write(layout.format("decision", "probability", "interval", "photograph"))

    def write(predicted: Prediction | Failure) -> None:
        if isinstance(predicted, Failure):
            file.write(layout.format("failed", "", "", visible(f"{predicted.name} {predicted.problem}")))
        else:
            interval = f"{share(predicted.low)} to {share(predicted.high)}"
            file.write(
                layout.format(predicted.decision, share(predicted.probability), interval, visible(predicted.name))
            )
            file.writelines(f"{'':<10}  {'':>11}  ! {warning}\n" for warning in predicted.warnings)
        file.flush()

    return write


def point_in_words(bundle: Bundle, point: str) -> str:
    """What an operating point does, and its guarantees and its caveat, in sentences."""
    chosen, high_recall = bundle.points[point], bundle.points[HIGH_RECALL]
    sentences = []
    if isinstance(chosen, Band):
        sentences.append(
            f"At {point}, a probability from {share(chosen.high)} on is called malignant, below "
            f"{share(chosen.low)} benign, and what lies between is referred."
        )
        sentences += _promise(high_recall, "calls malignant or refers")
        sentences += _promise(chosen, "calls benign or refers")
    else:
        sentences.append(f"At {point}, a probability from {share(chosen.threshold)} on is called malignant.")
        sentences += _promise(chosen, "finds")
    return " ".join(filter(None, [*sentences, bundle.caveat(point)]))


def _promise(point: Point | Band, does: str) -> list[str]:
    """What is guaranteed of a point and of use, in a sentence, if anything is."""
    if isinstance(point, Band):
        kind, target, of_use = BENIGN, percent(point.target_specificity), point.guaranteed
    elif isinstance(point, HighRecall):
        kind, target, of_use = MALIGNANT, percent(point.target_recall), point.guaranteed and point.reached
    else:
        return []
    whose = (
        f"every {kind} lesion of {target} of patients"
        if trials(point)[1] == "patient"
        else f"{target} of {kind} lesions"
    )
    return [f"With {percent(point.confidence)} confidence, this {does} {whose} like those it was chosen on."] * of_use


def maps_in_words(bundle: Bundle) -> str:
    """How far the model's maps can be believed, in two sentences."""
    about = bundle.explanation
    failed = f"{len(about.failed)} of {len(about.checks)} checks of whether they can be believed failed"
    return f"A map is not a lesion's outline. Of this model's maps, {failed}."


def write_all(predicted: Iterable[Prediction | Failure], writer: Writer) -> int:
    """Write predictions as they come; return how many failed."""
    failed = 0
    for one in predicted:
        writer(one)
        failed += isinstance(one, Failure)
    return failed
