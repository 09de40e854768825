"""The parameters that a search may choose from, in the notation of Hydra, which DVC's `-S` has too."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, QuotedString, RangeSweep, Transformer
from hydra.errors import HydraException
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from dermascreen.core.errors import SearchError
from dermascreen.core.params import Params, with_changes

Distribution = CategoricalDistribution | FloatDistribution | IntDistribution

SECTIONS = ("model", "preprocess", "train")  # what may change without another val
DIGITS = 3  # significant ones of a number that is chosen
FORMS = "choice(0, 0.99), range(1, 6), interval(0.0, 0.1) or tag(log, interval(1e-4, 1e-2))"


class Space:
    """What may be chosen for each parameter, by dotted name.

    Parameters: `texts`, such as `train.lr=tag(log, interval(1e-4, 1e-2))`; `base`, the parameters that are changed.
    Raises SearchError if one is not of such a form, and ParamsError if an end or a choice is not a valid value.
    """

    def __init__(self, texts: Sequence[str], base: Params) -> None:
        self.texts = sorted(texts)
        self._distributions: dict[str, Distribution] = {}
        for text in texts:
            name, distribution = _parsed(text, base)
            if name in self._distributions:
                raise SearchError(f"{name} is named twice; give each parameter once.")
            self._distributions[name] = distribution
            for value in _ends(distribution):
                with_changes(base, {name: value})

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Values for a trial, by dotted name; numbers on a continuous scale are rounded."""
        return {name: self._one(trial, name, found) for name, found in self._distributions.items()}

    @staticmethod
    def _one(trial: optuna.Trial, name: str, found: Distribution) -> object:
        if isinstance(found, CategoricalDistribution):
            return json.loads(str(trial.suggest_categorical(name, found.choices)))
        if isinstance(found, IntDistribution):
            return trial.suggest_int(name, found.low, found.high, log=found.log)
        value = trial.suggest_float(name, found.low, found.high, log=found.log)
        coarsest = min(abs(value), found.high - found.low)  # an interval such as 0.999 to 0.9999 is told apart too
        decimals = DIGITS - 1 - math.floor(math.log10(coarsest)) if coarsest > 0 else DIGITS
        return min(max(round(value, decimals), found.low), found.high)


def options(values: Mapping[str, Any]) -> list[str]:
    """Values as options of `dvc exp run`."""
    return [
        part for name, value in values.items() for part in ("-S", f"{name}={json.dumps(value, ensure_ascii=False)}")
    ]


def _parsed(text: str, base: Params) -> tuple[str, Distribution]:
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException:
        raise SearchError(f"{text} is not of the form name={FORMS}.") from None
    name = override.get_key_element()
    if override.is_delete() or override.is_add() or not override.is_sweep_override():
        raise SearchError(f"{text} leaves nothing to choose: write {name}={FORMS}.")
    if name.partition(".")[0] not in SECTIONS:
        raise SearchError(
            f"{name} cannot be searched, as models with other values of it cannot be compared on the same val; "
            f"what can is in the sections {', '.join(SECTIONS)}."
        )
    try:
        return name, _distribution(override, isinstance(_value(base, name), int))
    except (ValueError, TypeError, HydraException) as error:
        raise SearchError(f"{text} cannot be searched ({error}).") from None


def _distribution(override: Override, whole: bool) -> Distribution:
    """What Hydra's sweep allows; `whole`, whether the parameter is a whole number."""
    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        low, high, log = _number(sweep.start), _number(sweep.end), "log" in sweep.tags
        if low >= high:
            raise ValueError("the first end of an interval must be below the second")
        if log and low <= 0:
            raise ValueError("with log, both ends must be above zero")
        if whole and (low, high) != (int(low), int(high)):
            raise ValueError("its ends must be whole numbers")
        return IntDistribution(int(low), int(high), log=log) if whole else FloatDistribution(low, high, log=log)
    if isinstance(sweep, RangeSweep | ChoiceSweep) and "log" in sweep.tags:
        raise ValueError("log is for intervals")
    if isinstance(sweep, RangeSweep):
        numbers = sorted(round(_number(value), 12) for value in sweep.range())
        if not numbers:
            raise ValueError("the range is empty")
        if whole and any(value != int(value) for value in numbers):
            raise ValueError("its values must be whole numbers")
        return CategoricalDistribution([json.dumps(int(value) if whole else value) for value in numbers])
    if isinstance(sweep, ChoiceSweep):
        values = (_plain(value) for value in override.sweep_iterator(Transformer.identity))
        return CategoricalDistribution([json.dumps(value) for value in values])
    raise TypeError("Hydra's glob is not known here")


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value} is not a number")
    return value


def _plain(value: object) -> object:
    if isinstance(value, QuotedString):
        return value.text
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _ends(distribution: Distribution) -> Iterable[object]:
    if isinstance(distribution, CategoricalDistribution):
        return [json.loads(str(choice)) for choice in distribution.choices]
    return [distribution.low, distribution.high]


def _value(base: Params, name: str) -> object:
    found: object = base
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
