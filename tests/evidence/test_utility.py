import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermascreen.evidence.utility import decision_curve

LABEL = np.array([0, 0, 0, 0, 1, 1, 1, 1])
PROBABILITY = np.array([0.1, 0.2, 0.5, 0.8, 0.4, 0.6, 0.7, 0.9])


def test_worked_by_hand() -> None:
    table = decision_curve(LABEL, PROBABILITY).set_index("threshold")
    assert list(table.columns) == ["model", "treat_all", "treat_none"]
    assert table.index.tolist() == pytest.approx([step / 100 for step in range(51)])
    assert table.loc[0.0].tolist() == [0.5, 0.5, 0]  # a false alarm costs nothing
    # At 0.2, where one missed cancer weighs 4 false alarms: 4 found, 3 false alarms. At 0.5: 3 found, 2 false alarms.
    assert table.loc[0.2].tolist() == pytest.approx([4 / 8 - 3 / 8 / 4, 1 / 2 - 1 / 2 / 4, 0])
    assert table.loc[0.5].tolist() == pytest.approx([3 / 8 - 2 / 8, 0, 0])


def test_a_rare_cancer() -> None:
    # 1 in 10 is malignant, and the model alone finds it at 0.3: 0.1; treating all costs 9 in 10 at odds 3 to 7.
    table = decision_curve(np.repeat([0, 1], [9, 1]), np.repeat([0.05, 0.6], [9, 1])).set_index("threshold")
    assert table.loc[0.3].tolist() == pytest.approx([0.1, 0.1 - 0.9 * 3 / 7, 0])


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_bounds(cases) -> None:
    label, probability = np.array([y for y, _ in cases]), np.array([p for _, p in cases])
    table = decision_curve(label, probability)
    assert (table["model"] <= label.mean() + 1e-12).all()
    everyone = table["threshold"] <= probability.min()
    assert table.loc[everyone, "model"].to_numpy() == pytest.approx(table.loc[everyone, "treat_all"].to_numpy())
    perfect = decision_curve(label, label.astype(float))
    assert perfect["model"].iloc[1:].to_numpy() == pytest.approx(label.mean())


@pytest.mark.parametrize(("malignant", "benign"), [(20, 360), (7, 13), (300, 360), (1, 2)])
def test_to_call_all_malignant_is_to_treat_all(malignant, benign) -> None:
    label = np.repeat([1, 0], [malignant, benign])
    curve = decision_curve(label, np.full(len(label), 0.2))
    called = curve["threshold"] <= 0.2
    assert curve.loc[called, "model"].tolist() == curve.loc[called, "treat_all"].tolist()
    assert (curve.loc[~called, "model"] == 0).all()
