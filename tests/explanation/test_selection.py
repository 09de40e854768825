"""Who is shown: exact choices, and what must hold of every choice."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermascreen.artifacts.results.predictions import Predictions
from dermascreen.explanation.selection import OUTCOMES, draw, outcomes, select, share


def table(**probabilities):
    """Predictions by label, m for malignant and b for benign; paths m0, m1, ... in the order given."""
    rows = [
        (f"{name}{number}", int(name == "m"), probability)
        for name, values in probabilities.items()
        for number, probability in enumerate(values)
    ]
    frame = pd.DataFrame(rows, columns=["path", "label", "probability"])
    return Predictions.of(frame.assign(split="test", lesion=0, logit=0.0, uncalibrated=0.5, low=0.0, high=1.0))


def choose(predictions, count, seed):
    """What `select` chooses where one half and more is called malignant: path, label, probability and outcome."""
    shown = select(predictions, predictions.probability >= 0.5, count, seed)
    chosen = predictions[shown.rows].to_frame()[["path", "label", "probability"]]
    return chosen.assign(outcome=shown.outcomes)


def test_outcomes_are_named_by_what_is_called() -> None:
    called = np.array([True, False, True, False])
    assert outcomes(np.array([1, 1, 0, 0]), called).tolist() == ["tp", "fn", "fp", "tn"]


def test_the_most_confident_of_each_outcome_come_first() -> None:
    chosen = choose(table(m=[0.3, 0.1, 0.8, 0.9], b=[0.7, 0.6, 0.2, 0.05]), 4, seed=0)
    assert chosen.to_numpy().tolist() == [
        ["m1", 1, 0.1, "fn"],
        ["b0", 0, 0.7, "fp"],
        ["m3", 1, 0.9, "tp"],
        ["b3", 0, 0.05, "tn"],
    ]


def test_half_of_an_outcome_is_the_most_confident_and_half_is_drawn() -> None:
    predictions = table(b=[number / 100 for number in range(40)])
    by_seed = [choose(predictions, 8, seed)["path"].tolist() for seed in range(6)]
    assert all(chosen[:4] == ["b0", "b1", "b2", "b3"] for chosen in by_seed)
    assert by_seed[0][4:] == ["b28", "b29", "b38", "b39"]
    assert len({tuple(chosen[4:]) for chosen in by_seed}) == 6


def test_an_odd_share_has_one_more_of_the_most_confident() -> None:
    predictions = table(m=[0.99, 0.98, 0.97] + [0.6] * 30)
    firsts = [choose(predictions, 5, seed)["path"].tolist()[:3] for seed in range(4)]
    assert firsts == [["m0", "m1", "m2"]] * 4


def test_ties_are_broken_by_path() -> None:
    assert choose(table(b=[0.1] * 5), 1, seed=0)["path"].tolist() == ["b0"]


def test_a_draw_is_blind_to_the_order_of_rows() -> None:
    predictions = table(b=[number / 100 for number in range(40)])
    backwards = predictions[::-1]
    first, second = predictions.path[draw(predictions, 5, 1)], backwards.path[draw(backwards, 5, 1)]
    assert first.tolist() == second.tolist()
    assert len(set(first)) == 5
    assert first.tolist() != predictions.path[draw(predictions, 5, 2)].tolist()
    assert sorted(draw(predictions, 50, 1)) == [*range(40)]


@pytest.mark.parametrize(
    ("available", "count", "expected"),
    [
        ((9, 9, 9, 9), 8, (2, 2, 2, 2)),
        ((9, 9, 9, 9), 5, (2, 1, 1, 1)),
        ((9, 9, 9, 9), 2, (1, 1, 0, 0)),
        ((1, 9, 9, 9), 8, (1, 3, 2, 2)),
        ((0, 9, 0, 2), 8, (0, 6, 0, 2)),
        ((1, 0, 2, 0), 8, (1, 0, 2, 0)),
    ],
)
def test_places_are_dealt_evenly_and_misses_are_served_first(available, count, expected) -> None:
    assert tuple(share(dict(zip(OUTCOMES, available, strict=True)), count).values()) == expected


probabilities = st.lists(st.floats(0, 1), max_size=15)


@settings(max_examples=40)
@given(m=probabilities, b=probabilities, count=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_each_choice_is_whole_distinct_and_blind_to_the_order_of_rows(m, b, count, seed) -> None:
    predictions = table(m=m, b=b)
    chosen = choose(predictions, count, seed)
    assert len(chosen) == min(count, len(predictions))
    assert chosen["path"].is_unique
    assert chosen["outcome"].map(OUTCOMES.index).is_monotonic_increasing
    assert chosen.to_numpy().tolist() == choose(predictions[::-1], count, seed).to_numpy().tolist()
