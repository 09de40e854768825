"""Bands: what redrawn lesions do to a curve, against the binomial distribution."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from worked_samples import single

from dermascreen.evidence.clusters import Clusters
from dermascreen.evidence.sample import Sample
from dermascreen.report.bands import AT, curve_bands


def test_the_points_are_whole_hundredths() -> None:
    assert [*AT] == [number / 100 for number in range(1, 101)]


def test_a_curve_that_no_draw_can_move_has_a_band_without_width() -> None:
    label, score = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    bands = curve_bands(single(label, score), draws=20, seed=0)
    for band in bands:
        np.testing.assert_array_equal(band.at, AT)
        np.testing.assert_array_equal(band.low, 1)
        np.testing.assert_array_equal(band.high, 1)


def test_one_lesion_of_each_class_gives_the_curve_itself() -> None:
    label, score = np.array([0, 0, 0, 0, 1, 1]), np.array([0.1, 0.3, 0.5, 0.7, 0.6, 0.2])
    roc, precision_recall = curve_bands(Sample(label, score, Clusters.of_lesions(label)), draws=5, seed=0)
    np.testing.assert_array_equal(roc.low, roc.high)
    np.testing.assert_array_equal(roc.low, np.where(AT < 0.25, 0.0, np.where(AT < 0.75, 0.5, 1.0)))
    np.testing.assert_array_equal(precision_recall.low, precision_recall.high)
    np.testing.assert_array_equal(precision_recall.low, np.where(AT <= 0.5, 1 / 2, 2 / 5))


def test_the_width_is_that_of_the_lesions_and_not_of_the_images() -> None:
    """40 lesions of 5 equal images, 30 of which lie above all benign ones: sensitivity is Binomial(40, 0.75) / 40."""
    lesion = np.repeat(np.arange(50), 5)
    label = np.where(lesion < 40, 1, 0)
    score = np.select([lesion < 30, lesion < 40], [0.9, 0.1], 0.5)
    roc, _ = curve_bands(Sample(label, score, Clusters.of_lesions(lesion)), draws=800, seed=0)
    low, high = binom.ppf([0.025, 0.975], 40, 0.75) / 40
    np.testing.assert_allclose(roc.low[:99], low, atol=1 / 40)
    np.testing.assert_allclose(roc.high[:99], high, atol=1 / 40)
    assert high - low > 2 * (binom.ppf(0.975, 200, 0.75) - binom.ppf(0.025, 200, 0.75)) / 200


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(2, 12), st.integers(2, 12))
def test_a_band_is_a_share_with_its_ends_in_order_and_rises_with_what_is_allowed(seed, benign, malignant) -> None:
    rng = np.random.default_rng(seed)
    label = np.repeat([0, 1], [benign, malignant])
    score = rng.integers(0, 5, len(label)) / 4
    roc, precision_recall = curve_bands(single(label, score), draws=10, seed=seed)
    for band in (roc, precision_recall):
        assert ((band.low >= 0) & (band.low <= band.high) & (band.high <= 1)).all()
    assert (np.diff(roc.low) >= 0).all()
    assert (np.diff(roc.high) >= 0).all()
    assert roc.low[-1] == 1
