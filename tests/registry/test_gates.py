"""The conditions that a model meets before it is registered."""

import pytest
from gated import gated

from dermascreen.core.params import RegistryParams
from dermascreen.registry.gates import gates


def params(**changes) -> RegistryParams:
    return RegistryParams(
        **{"min_auc_gain": 0.0, "max_reencoded_fall": 0.02, "guaranteed_recall": True, "max_failed_checks": 1} | changes
    )


def test_a_model_that_passes_every_gate() -> None:
    found = gates(*gated(failed=("symmetry",)), "official", params())
    assert all(gate.passed for gate in found)
    assert [gate.found for gate in found] == [
        "The network's AUC less that of colour is +0.060, at least +0.010, where more than 0 is asked for.",
        "With all test files saved again alike its AUC changes by \N{MINUS SIGN}0.010 (\N{MINUS SIGN}0.041 to "
        "+0.021), where it may fall by 0.02, as measured.",
        "A sensitivity of 95\N{NO-BREAK SPACE}% is guaranteed.",
        "1 check of the maps failed (symmetry), where 1 may.",
    ]


@pytest.mark.parametrize(
    ("gate", "changed", "high_recall"),
    [
        (0, {"min_auc_gain": 0.01}, {}),
        (1, {"max_reencoded_fall": 0.009}, {}),
        (2, {}, {"guaranteed": False, "reached": True}),
        (2, {}, {"guaranteed": True, "reached": False}),
        (3, {"max_failed_checks": 0}, {}),
    ],
)
def test_each_gate_stops_a_model(gate, changed, high_recall) -> None:
    found = gates(*gated(failed=("symmetry",), **high_recall), "grouped", params(**changed))
    assert [one.passed for one in found] == [number != gate for number in range(4)]


def test_the_promise_need_not_be_asked_for() -> None:
    broken = gated(failed=("symmetry",), guaranteed=False, reached=False)
    assert all(gate.passed for gate in gates(*broken, "official", params(guaranteed_recall=False)))


def test_a_model_that_was_trained_with_near_duplicates_of_test_is_stopped() -> None:
    [stopped] = [gate for gate in gates(*gated(), "official_with_duplicates", params()) if not gate.passed]
    assert stopped.found == (
        "split.protocol official_with_duplicates leaves near-duplicates of test images in train, to measure what that "
        "is worth and not to be used."
    )
