"""Judgements as people and programs read them, written as they come."""

import csv
import io
import json
from collections.abc import Iterable
from typing import Any, Protocol, TextIO

from dermascreen.errors import encodable, visible
from dermascreen.report.wording import percent, share
from dermascreen.serving.bundle import BAND, Bundle
from dermascreen.serving.judge import Failure, Judgement

COLUMNS = (
    "path", "probability", "low", "high", "logit", "operating_point", "decision", "caveat", "warnings", "error",
)  # fmt: skip
NOT_A_DEVICE = "Not a medical device: nothing here is advice about a person's skin."


class Writer(Protocol):
    def __call__(self, judged: Judgement | Failure) -> None: ...


def record(judged: Judgement | Failure) -> dict[str, Any]:
    """A judgement under COLUMNS, and `decisions` at every operating point; a failure has its `error` alone."""
    if isinstance(judged, Failure):
        return dict.fromkeys(COLUMNS) | {
            "path": judged.name, "error": judged.problem, "warnings": [], "decisions": None,
        }  # fmt: skip
    return {
        "path": judged.name,
        "probability": judged.probability,
        "low": judged.low,
        "high": judged.high,
        "logit": judged.logit,
        "operating_point": judged.point,
        "decision": judged.decision,
        "caveat": judged.caveat,
        "warnings": list(judged.warnings),
        "error": None,
        "decisions": judged.decisions,
    }


def json_lines(file: TextIO) -> Writer:
    """Write a JSON object a line; a name comes back from it as Python has it, whatever its bytes are."""

    def write(judged: Judgement | Failure) -> None:
        file.write(json.dumps(record(judged), allow_nan=False) + "\n")
        file.flush()

    return write


def csv_rows(file: TextIO) -> Writer:
    """Write CSV with COLUMNS; what is missing is empty, and several warnings stand in one cell.

    Bytes of a name that are not UTF-8 are escaped; what else it holds comes back.
    """
    file.write(_csv_line(COLUMNS))

    def write(judged: Judgement | Failure) -> None:
        row = record(judged)
        row["warnings"] = " ".join(row["warnings"])
        row["path"] = encodable(row["path"])
        file.write(_csv_line(row[column] for column in COLUMNS))
        file.flush()

    return write


def _csv_line(values: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(values)  # with \n alone it would not quote a carriage return
    return line.getvalue().removesuffix("\r\n") + "\n"


def table_lines(file: TextIO) -> Writer:
    """Write aligned lines for people."""
    layout = "{:<10}  {:>11}  {:<14}  {}\n"
    file.write(layout.format("decision", "probability", "interval", "photograph"))

    def write(judged: Judgement | Failure) -> None:
        if isinstance(judged, Failure):
            file.write(layout.format("failed", "", "", visible(f"{judged.name} {judged.problem}")))
        else:
            interval = f"{share(judged.low)} to {share(judged.high)}"
            file.write(layout.format(judged.decision, share(judged.probability), interval, visible(judged.name)))
            file.writelines(f"{'':<10}  {'':>11}  ! {warning}\n" for warning in judged.warnings)
        file.flush()

    return write


def point_in_words(bundle: Bundle, point: str) -> str:
    """What an operating point does, and what is promised of it or must be said against it, in sentences."""
    chosen, said = bundle.points[point], bundle.caveat(point)
    if point == BAND:
        text = (
            f"At {point}, a probability from {share(chosen['high'])} on is called malignant, below "
            f"{share(chosen['low'])} benign, and what lies between is referred."
        )
    else:
        text = f"At {point}, a probability from {share(chosen['threshold'])} on is called malignant."
    if said is None and point != BAND and chosen.get("guaranteed"):
        said = (
            f"With {percent(chosen['confidence'])} confidence that finds {percent(chosen['target_recall'])} of the "
            "malignant lesions like those it was chosen on."
        )
    return f"{text} {said}" if said else text


def maps_in_words(bundle: Bundle) -> str:
    """How far the model's maps can be believed, in a sentence."""
    failed = f"{bundle.failed_checks} of {bundle.checks} checks of whether they can be believed failed"
    return f"A map is not a lesion's outline. Of this model's maps, {failed}."


def write_all(judged: Iterable[Judgement | Failure], writer: Writer) -> int:
    """Write judgements as they come; return how many failed."""
    failed = 0
    for one in judged:
        writer(one)
        failed += isinstance(one, Failure)
    return failed
