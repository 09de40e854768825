import pytest

from dermascreen.params import RegistryParams
from dermascreen.serving.registry import gates

METRICS = {
    "shortcuts": {
        "baselines": {
            "frame": {"network_minus_baseline": 0.05, "low": 0.02, "high": 0.08},
            "colour": {"network_minus_baseline": 0.06, "low": 0.01, "high": 0.11},
        }
    },
    "threshold": {"high_recall": {"guaranteed": True, "reached": True, "target_recall": 0.95}},
    "explain": {"believable": {"failed": ["symmetry"]}},
}


def params(**changes) -> RegistryParams:
    return RegistryParams(**{"min_auc_gain": 0.0, "guaranteed_recall": True, "max_failed_checks": 1} | changes)


def test_a_model_that_passes_every_gate() -> None:
    found = gates(METRICS, params())
    assert all(gate.passed for gate in found)
    assert [gate.found for gate in found] == [
        "The network's AUC less that of colour is +0.060, at least +0.010, where more than 0 is asked for.",
        "A sensitivity of 95\N{NO-BREAK SPACE}% is guaranteed.",
        "1 checks of the maps failed (symmetry), of which 1 may.",
    ]


@pytest.mark.parametrize(
    ("gate", "changed", "metrics"),
    [
        (0, {"min_auc_gain": 0.01}, {}),
        (1, {}, {"threshold": {"high_recall": {"guaranteed": False, "reached": True, "target_recall": 0.95}}}),
        (1, {}, {"threshold": {"high_recall": {"guaranteed": True, "reached": False, "target_recall": 0.95}}}),
        (2, {"max_failed_checks": 0}, {}),
    ],
)
def test_each_gate_stops_a_model(gate, changed, metrics) -> None:
    found = gates(METRICS | metrics, params(**changed))
    assert [one.passed for one in found] == [number != gate for number in range(3)]


def test_the_promise_need_not_be_asked_for() -> None:
    broken = {"threshold": {"high_recall": {"guaranteed": False, "reached": False, "target_recall": 0.95}}}
    assert all(gate.passed for gate in gates(METRICS | broken, params(guaranteed_recall=False)))
