"""All draws at once, against scikit-learn one draw at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from dermascreen.evidence import metrics, resampling
from dermascreen.evidence.resampling import cluster_draws


def drawn(seed: int, levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of 20 lesions with many equal scores, and weights of three draws."""
    rng = np.random.default_rng(seed)
    lesion = np.concatenate([np.arange(20), rng.integers(0, 20, 30)])
    label = lesion % 2
    score = np.clip(rng.normal(0.4 + 0.2 * label, 0.2), 0, 1).round(levels)
    (weights,) = cluster_draws(label, lesion, draws=3, seed=seed)
    return label, score, weights


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_each_draw_is_worth_what_scikit_learn_says(seed: int, levels: int) -> None:
    label, score, weights = drawn(seed, levels)
    for name, expected in (
        ("roc_auc", roc_auc_score), ("average_precision", average_precision_score), ("brier", brier_score_loss),
    ):  # fmt: skip
        found = getattr(resampling, name)(label, score, weights)
        assert found == pytest.approx([expected(label, score, sample_weight=weight) for weight in weights]), name
    repeated = [metrics.partial_roc_auc(np.repeat(label, weight), np.repeat(score, weight)) for weight in weights]
    assert resampling.partial_roc_auc(label, score, weights) == pytest.approx(repeated)


def test_clusters_are_drawn_whole_and_within_their_kind() -> None:
    cluster = np.array([7, 7, 3, 3, 3, 9, 1, 8, 8, 5])
    label = np.array([0, 1, 0, 0, 0, 1, 0, 1, 0, 1])  # 7 and 8 have both labels, 9 and 5 are malignant
    weights = np.concatenate(list(cluster_draws(label, cluster, draws=500, seed=0)))
    assert weights.shape == (500, 10)
    for same in ([0, 1], [2, 3, 4], [7, 8]):
        assert (weights[:, same] == weights[:, same[:1]]).all()
    for kind in ([0, 7], [2, 6], [5, 9]):
        assert (weights[:, kind].sum(axis=1) == 2).all()
        assert np.bincount(weights[:, kind[0]]) / 500 == pytest.approx([0.25, 0.5, 0.25], abs=0.06)


def test_clusters_that_all_have_a_malignant_photograph_are_drawn_too() -> None:
    weights = np.concatenate(list(cluster_draws(np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1]), draws=50, seed=0)))
    assert (weights.sum(axis=1) == 4).all()


def test_blocks_hold_all_draws_and_little_at_a_time(monkeypatch) -> None:
    monkeypatch.setattr(resampling, "BLOCK", 100)
    blocks = list(cluster_draws(np.arange(40) % 2, np.arange(40), draws=5, seed=0))
    assert [block.shape for block in blocks] == [(2, 40), (2, 40), (1, 40)]
