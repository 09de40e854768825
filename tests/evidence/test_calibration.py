import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression

from dermascreen.evidence.calibration import (
    TEMPERATURES,
    calibrate,
    calibration_report,
    expected_calibration_error,
    fit_temperature,
    noise_floor,
)


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


def test_a_val_without_errors_gets_the_least_temperature_and_one_without_sense_the_greatest() -> None:
    label, logit = np.array([0, 0, 1, 1]), np.array([-2.0, -1, 1, 2])
    assert fit_temperature(label, logit) == pytest.approx(TEMPERATURES[0], rel=1e-3)
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
    floor = noise_floor(np.full(400, 0.5), seed=0)
    assert floor.mean == pytest.approx(expected, rel=0.03)
    assert floor.high > floor.mean


def test_floor_falls_with_the_number_of_images_and_a_miscalibrated_model_lies_above_it() -> None:
    label, logit = sample(2000, 3.0)
    before, after = (calibration_report(label, calibrate(logit, t), 0) for t in (1.0, fit_temperature(label, logit)))
    assert before["ece"] > before["ece_floor_high"]
    assert after["ece"] < after["ece_floor_high"]
    assert after["log_loss"] < before["log_loss"]
    few = noise_floor(calibrate(logit[:100], 3.0), seed=0)
    assert few.mean > 2 * after["ece_floor"]
