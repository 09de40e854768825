import itertools
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression

from dermascreen.evidence.calibration import (
    GRID,
    TEMPERATURES,
    calibrate,
    calibration_report,
    expected_calibration_error,
    fit_temperature,
    interval_at,
    noise_floor,
    probability_intervals,
    with_interval,
)
from dermascreen.evidence.resampling import BLOCK


def sample(n: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 3, n)
    return (rng.random(n) < expit(logit / temperature)).astype(int), logit


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_temperature_is_the_inverse_slope_of_a_logistic_regression_through_the_origin(true) -> None:
    label, logit = sample(400, true)
    slope = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=1000).fit(logit[:, None], label).coef_
    assert fit_temperature(label, logit) == pytest.approx(1 / slope.item(), rel=1e-4)


def test_temperature_is_recovered_from_many_images() -> None:
    assert fit_temperature(*sample(200_000, 1.7)) == pytest.approx(1.7, rel=0.02)


def test_a_val_without_errors_tells_no_temperature_and_one_without_sense_gets_the_greatest() -> None:
    label, logit = np.array([0, 0, 1, 1]), np.array([-2.0, -1, 1, 2])
    assert fit_temperature(label, logit) == 1
    assert fit_temperature(1 - label, logit) == pytest.approx(TEMPERATURES[1], rel=1e-3)


@given(st.floats(0.05, 20), st.lists(st.floats(-30, 30), min_size=2, max_size=20))
def test_calibration_keeps_the_order_and_one_half(temperature: float, logits: list[float]) -> None:
    logit = np.sort(np.array(logits))
    probability = calibrate(logit, temperature)
    assert (np.diff(probability) >= 0).all()
    assert calibrate(np.zeros(1), temperature).item() == 0.5
    assert ((probability >= 0.5) == (logit >= 0)).all() or np.abs(logit).min() < 1e-12


def test_calibration_error_by_hand() -> None:
    # Ten bins of two: |share - mean| is 0.5 - 0.3 in the first, 0 in the others, where label and probability agree.
    probability = np.r_[0.2, 0.4, np.ones(18)]
    label = np.r_[0, 1, np.ones(18, dtype=int)].astype(int)
    assert expected_calibration_error(label, probability) == pytest.approx(0.2 * 2 / 20)
    shuffled = np.random.default_rng(0).permutation(20)
    assert expected_calibration_error(label[shuffled], probability[shuffled]) == pytest.approx(0.02)


def test_noise_floor_of_one_bin_is_the_mean_deviation_of_a_binomial() -> None:
    # 10 bins of 40 images at 0.5 each: 10 |B - 20| / 400, of which the mean is E|B - 20| / 40 with B ~ Bin(40, 1/2).
    count = np.arange(41)
    expected = (binom.pmf(count, 40, 0.5) * np.abs(count - 20)).sum() / 40
    floor = noise_floor(0.5 + np.linspace(0, 1e-9, 400), np.arange(400), seed=0)
    assert floor.mean == pytest.approx(expected, rel=0.03)
    assert floor.high > floor.mean


def test_the_floor_is_the_same_however_many_draws_are_made_at_once(monkeypatch) -> None:
    probability, lesion = np.random.default_rng(0).random(300), np.repeat(np.arange(150), 2)
    floor = noise_floor(probability, lesion, seed=0)
    for block in (1, 300 * 7):
        monkeypatch.setattr("dermascreen.evidence.calibration.BLOCK", block)
        assert noise_floor(probability, lesion, seed=0) == floor


def test_the_floor_of_many_images_takes_no_more_memory_than_a_block() -> None:
    probability = np.random.default_rng(0).random(20_000)
    tracemalloc.start()
    try:
        noise_floor(probability, np.arange(20_000), seed=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 8 * BLOCK  # a few arrays of double precision


def test_floor_falls_with_the_number_of_images_and_a_miscalibrated_model_lies_above_it() -> None:
    label, logit = sample(2000, 3.0)
    before, after = (
        calibration_report(label, calibrate(logit, t), np.arange(2000), 0) for t in (1.0, fit_temperature(label, logit))
    )
    assert before.ece > before.ece_floor_high
    assert after.ece < after.ece_floor_high
    assert after.log_loss < before.log_loss
    few = noise_floor(calibrate(logit[:100], 3.0), np.arange(100), seed=0)
    assert few.mean > 2 * after.ece_floor


def test_a_perfectly_calibrated_model_rarely_lies_above_its_floor_also_where_lesions_have_five_photographs() -> None:
    rng, lesion = np.random.default_rng(0), np.repeat(np.arange(80), 5)
    above = {"lesions": 0, "images": 0}
    for _ in range(100):
        label = rng.integers(0, 2, 80)[lesion]
        score = 2 * label + rng.normal(size=80)[lesion] + 0.3 * rng.normal(size=400)
        probability = expit(2 * (score - 1) / 1.09)  # that of malignant at this score
        error = expected_calibration_error(label, probability)
        above["lesions"] += error > noise_floor(probability, lesion, 0).high
        above["images"] += error > noise_floor(probability, np.arange(400), 0).high
    assert above["lesions"] <= 15
    assert above["images"] >= 60  # which is why


def test_images_of_equal_probability_may_stand_in_any_order() -> None:
    label = np.repeat([0, 1], 30)
    assert expected_calibration_error(label, np.full(60, 0.5)) == pytest.approx(0)
    probability = np.repeat([0.25, 0.75, 0.25, 0.75], [20, 10, 10, 20])
    gaps = {0.25: 10 / 30 - 0.25, 0.75: 20 / 30 - 0.75}
    assert expected_calibration_error(label, probability) == pytest.approx(np.mean([abs(one) for one in gaps.values()]))


@pytest.mark.parametrize(
    ("label", "logit", "low", "high"),
    [
        ([0, 0, 1, 1], 2.5, 0, 1),  # between the classes, either label fits
        ([0, 0, 1, 1], 3, 1 / 2, 1),
        ([0, 1, 0, 1], 2, 1 / 3, 2 / 3),  # a malignant image and the added one, pooled with the benign one above
    ],
)
def test_an_interval_worked_out_by_hand(label, logit, low, high) -> None:
    known = probability_intervals(np.array(label), np.array([1.0, 2, 3, 4]))
    table = known if logit in known["logit"].to_numpy() else direct(np.array(label), np.array([1.0, 2, 3, 4]), [logit])
    row = table[table["logit"].eq(logit)].iloc[0]
    assert (row["low"], row["high"]) == pytest.approx((low, high))


def direct(label, logit, values) -> pd.DataFrame:
    """Venn-Abers at each value, by pooling neighbours that are out of order until none is."""
    rows = []
    for value in values:
        ends = []
        for added in (0, 1):
            pairs = sorted(zip([*logit, value], [*label, added], strict=True))
            blocks: list[list[float]] = []  # logits' end, sum of labels, count
            for place, one in pairs:
                if blocks and blocks[-1][0] == place:
                    blocks[-1][1:] = [blocks[-1][1] + one, blocks[-1][2] + 1]
                else:
                    blocks.append([place, one, 1])
            while any(a[1] / a[2] > b[1] / b[2] for a, b in itertools.pairwise(blocks)):
                at = next(n for n, (a, b) in enumerate(itertools.pairwise(blocks)) if a[1] / a[2] > b[1] / b[2])
                first, second = blocks[at : at + 2]
                blocks[at : at + 2] = [[second[0], first[1] + second[1], first[2] + second[2]]]
            ends.append(next(total / count for end, total, count in blocks if value <= end))
        rows.append((value, *ends))
    return pd.DataFrame(rows, columns=["logit", "low", "high"])


def test_intervals_are_those_of_the_definition() -> None:
    label, logit = sample(120, 1.5)
    table = probability_intervals(label, logit)
    pd.testing.assert_frame_equal(table, direct(label, logit, table["logit"]), check_exact=False, rtol=1e-6)
    assert table["logit"].tolist() == sorted(logit)


def test_between_the_logits_that_are_kept_an_interval_holds_the_exact_one() -> None:
    label, logit = sample(600, 1.5)
    table = probability_intervals(label, logit)
    assert len(table) == GRID
    values = np.array([-99.0, *np.linspace(-6, 6, 41), 99.0])
    low, high = interval_at(values, table)
    exact = direct(label, logit, values)
    assert (low <= exact["low"] + 1e-9).all()
    assert (high >= exact["high"] - 1e-9).all()
    assert (low[0], high[-1]) == (0, 1)
    assert (high - low)[1:-1].mean() < 0.1
    assert (np.diff(low) >= 0).all()
    assert (np.diff(high) >= 0).all()
    at_grid = interval_at(table["logit"].to_numpy(), table)
    np.testing.assert_array_equal(at_grid, table[["low", "high"]].to_numpy().T)


def test_an_interval_is_widened_to_hold_its_probability() -> None:
    table = pd.DataFrame({"logit": [-1.0, 0.0, 1.0], "low": [0.0, 0.6, 0.7], "high": [0.1, 0.7, 0.9]})
    probability, low, high = with_interval(np.array([-1.0, 0.0, 1.0]), 1.0, table)
    assert probability == pytest.approx(expit([-1, 0, 1]))
    assert low == pytest.approx([0, 0.5, 0.7])
    assert high == pytest.approx([expit(-1), 0.7, 0.9])
