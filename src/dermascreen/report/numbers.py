"""Numbers as a person reads them."""

import re
from typing import Protocol

from dermascreen.artifacts.dataset.details import ColumnCounts
from dermascreen.evidence.intervals import (
    BOX,
    CLOPPER_PEARSON,
    CLUSTER_BOOTSTRAP,
    DELONG,
    HOEFFDING,
    WILSON,
    Difference,
    Interval,
    Intervals,
    main_interval,
)
from dermascreen.evidence.metrics import Confusion
from dermascreen.evidence.subgroups import NORMAL

METHODS = {
    DELONG: "DeLong",
    HOEFFDING: "Hoeffding\u2019s bound",
    CLUSTER_BOOTSTRAP: "cluster bootstrap",
    CLOPPER_PEARSON: "exact binomial",
    BOX: "exact binomial, of both rates",
    WILSON: "Wilson",
    NORMAL: "normal",
}
UNDEFINED = {  # why a rate is undefined
    "recall": "no malignant image",
    "specificity": "no benign image",
    "precision": "none called malignant",
    "ppv": "none called malignant",
    "npv": "none called benign",
    "f1": "no malignant image, and none called so",
    "error": "none decided",
    "missed_per_1000": "no malignant image",
    "false_alarms_per_1000": "no benign image",
}
TOO_FEW = "too few for a range"
FEW_VALUES = 6  # of a column that are named


class Ranged(Protocol):
    """What has two ends: an interval, or a difference with its interval."""

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


class Measured(Protocol):
    """Measures, with their intervals under the same names."""

    @property
    def intervals(self) -> object: ...


def share(value: float) -> str:
    """A number between 0 and 1 with three decimals; 0.000 and 1.000 only for exactly 0 and 1."""
    if 0 < value < 0.0005:  # noqa: PLR2004
        return "<0.001"
    if 0.9995 <= value < 1:  # noqa: PLR2004
        return ">0.999"
    return f"{value:.3f}"


def percent(value: float) -> str:
    """A share in percent with one decimal, which is left out where it is 0; 0 and 100 % only for exactly 0 and 1."""
    text = f"{value:.1%}"
    if text == "0.0%" and value > 0:
        return "<0.1\N{NO-BREAK SPACE}%"
    return (
        ">99.9\N{NO-BREAK SPACE}%"
        if text == "100.0%" and value < 1
        else text.removesuffix("%").removesuffix(".0") + "\N{NO-BREAK SPACE}%"
    )


def signed(value: float) -> str:
    """A difference with its sign and three decimals; what rounds to 0 has no sign."""
    text = f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")
    return text if any(digit in "123456789" for digit in text) else "0.000"


def amount(value: float) -> str:
    """A count that need not be whole, such as one per 1,000, with one decimal."""
    return f"{value:.1f}"


def p_value(value: float | None) -> str:
    """A p-value with three decimals, never 0.000; there is none where too few are ranked differently."""
    if value is None:
        return "too few"
    return "<0.001" if value < 0.0005 else f"{value:.3f}"  # noqa: PLR2004


def span(interval: Ranged, style: str = "share") -> str:
    """The ends of an interval in one of STYLES: 0.914 to 0.952."""
    return f"{STYLES[style](interval.low)} to {STYLES[style](interval.high)}"


def rate(rates: object, measure: str, style: str = "share") -> str:
    """A measure of `rates`, by the name of its field, in one of STYLES; or why it is undefined."""
    value: float | None = getattr(rates, measure)
    return UNDEFINED[measure] if value is None else STYLES[style](value)


def ranges(rates: Measured, measure: str, style: str = "share") -> list[tuple[str, str]]:
    """The intervals of a measure; with each the name of its method, if there are several or it is not the usual one."""
    intervals: Intervals = getattr(rates.intervals, measure)
    if not intervals:
        return [] if getattr(rates, measure) is None else [(TOO_FEW, "")]
    named = len(intervals) > 1 or not {DELONG, HOEFFDING, WILSON}.isdisjoint(intervals)
    return [(span(interval, style), METHODS[method] if named else "") for method, interval in intervals.items()]


def missed(counts: Confusion) -> str:
    """Missed cancers, of all malignant images: 3 of 80."""
    return f"{counts.fn} of {counts.malignant}"


def alarms(counts: Confusion) -> str:
    """False alarms, of all benign images."""
    return f"{counts.fp} of {counts.benign}"


def missed_range(rates: Measured) -> str:
    """1 minus the interval of the recall: that of the share of malignant images that is missed."""
    return span(_complement(rates, "recall"), "percent")


def alarms_range(rates: Measured) -> str:
    """1 minus the interval of the specificity."""
    return span(_complement(rates, "specificity"), "percent")


def most_missed(rates: Measured) -> str:
    """The upper end of `missed_range`: 14.2 % for 0 of 24 images of as many lesions."""
    return percent(_complement(rates, "recall").high)


def _complement(rates: Measured, measure: str) -> Interval:
    """1 minus the interval of a rate; 0 to 1 where the rate is undefined."""
    intervals: Intervals = getattr(rates.intervals, measure)
    low, high = main_interval(intervals) if intervals else (0.0, 1.0)
    return Interval(1 - high, 1 - low)


def by(difference: Difference, more: str = "higher", less: str = "lower") -> str:
    """A difference in words, whatever its sign: higher by 0.035 (0.015 to 0.055)."""
    value, low, high = difference.value, difference.low, difference.high
    if value is None:
        return "not defined"
    words = f"{more if value > 0 else less} by {abs(value):.3f}"
    if value == low == high == 0:
        return "exactly the same"
    if f"{abs(value):.3f}" == "0.000":
        words = "the same to three decimals"
    if low is None or high is None:
        return f"{words} ({TOO_FEW})"
    if low >= 0:
        return f"{words} ({low:.3f} to {high:.3f})"
    if high <= 0:
        return f"{words} ({-high:.3f} to {-low:.3f})"
    return f"{words} (from {-low:.3f} {less} to {high:.3f} {more})"


def counted(number: int, one: str, many: str) -> str:
    """A number and the words that fit it: 1 lesion has, 2 lesions have."""
    return f"{number} {one if number == 1 else many}"


def column_of(counts: ColumnCounts, split: str) -> str:
    """What a column of the metadata says of a split: how many photographs have each value, or the range of numbers."""
    values = [f"{value} {count}" for value, count in counts.values.get(split, {}).items()]
    if split in counts.ranges and (len(values) > FEW_VALUES or not values):
        low, high = counts.ranges[split]
        return f"{low:g} to {high:g}"
    if not values:
        return f"one of {counts.distinct} values" if counts.known and not (counts.values or counts.ranges) else ""
    return ", ".join(values[:FEW_VALUES] + ([f"{len(values) - FEW_VALUES} more"] if len(values) > FEW_VALUES else []))


def literal(text: object) -> str:
    """Text as Markdown shows it literally, also in a table."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(str(text).split()))


STYLES = {"share": share, "percent": percent, "signed": signed, "amount": amount}
