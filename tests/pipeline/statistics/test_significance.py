"""McNemar, Holm and the bootstrap against scipy, hand values and plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from pipeline.statistics import bootstrap, metrics, significance


def test_mcnemar_is_the_exact_binomial_test():
    correct = np.random.default_rng(0).random((4, 80)) < [[0.5], [0.6], [0.8], [0.8]]
    found = significance.mcnemar(correct)
    for a, one in enumerate(correct):
        for b, other in enumerate(correct):
            only, others = int((one & ~other).sum()), int((~one & other).sum())
            expected = binomtest(only, only + others).pvalue if only + others else 1.0
            assert found[a, b] == pytest.approx(expected)


def test_holm_by_hand():
    found = significance.holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert found == pytest.approx([0.03, 0.06, 0.06, 0.02])


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_keeps_the_order_and_is_between_raw_and_bonferroni(values):
    p = np.array(values)
    found = significance.holm(p)
    assert (found >= p).all()
    assert (found <= np.minimum(1, p * len(p) + 1e-12)).all()
    assert (np.diff(found[np.argsort(p, kind="stable")]) >= 0).all()


def test_pairwise_is_symmetric_and_one_candidate_has_no_rival():
    correct = np.random.default_rng(0).random((3, 400)) < [[0.5], [0.9], [0.91]]
    found = significance.pairwise(correct)
    assert (found == found.T).all()
    assert (np.diag(found) == 1).all()
    assert found[0, 1] < significance.LEVEL < found[1, 2]
    assert significance.pairwise(correct[:1]).tolist() == [[1.0]]


def test_resamples_draw_every_image_anew(monkeypatch):
    whole = np.concatenate([*bootstrap.draw(50, 40, 3)], axis=1)
    assert whole.shape == (50, 40)
    assert (whole.sum(axis=0) == 50).all()
    assert whole.max() > 1
    monkeypatch.setattr(bootstrap, "BLOCK_BYTES", 8 * 50 * 7)
    assert (np.concatenate([*bootstrap.draw(50, 40, 3)], axis=1) == whole).all()


def test_intervals_are_percentiles_of_a_plain_bootstrap():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 120)
    values = rng.dirichlet(np.ones(3), 120) + 0.4 * np.eye(3)[labels]
    values /= values.sum(axis=1, keepdims=True)
    kept = np.arange(120) % 10 > 0
    found = bootstrap.estimates(labels, values, values, kept, 60, 0.9, 5)
    repeated = [np.repeat(np.arange(120), column.astype(int))
                for weights in bootstrap.draw(120, 60, 5) for column in weights.T]  # fmt: skip
    plain = {
        "accuracy": lambda at: metrics.score("accuracy", labels[at], values[at]),
        "macro_f1": lambda at: metrics.score("macro_f1", labels[at], values[at]),
        "roc_auc": lambda at: metrics.roc_auc(labels[at], values[at]),
        "calibration_error": lambda at: metrics.calibration_error(labels[at], values[at]),
        "calibrated_log_loss": lambda at: metrics.log_loss(labels[at], values[at]),
        "accuracy_without_twins": lambda at: metrics.score(
            "accuracy", labels[at[kept[at]]], values[at[kept[at]]]
        ),
    }
    for name, measure in plain.items():
        low, high = np.quantile([measure(at) for at in repeated], (0.05, 0.95))
        estimate = found[name]
        assert estimate.value == pytest.approx(measure(np.arange(120)))
        assert (estimate.low, estimate.high) == pytest.approx((low, high))


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(100):
        labels = (np.random.default_rng(seed).random(200) < 0.7).astype(int)
        sure = np.tile([0.1, 0.9], (200, 1))
        found = bootstrap.estimates(labels, sure, sure, labels >= 0, 200, 0.9, seed)["accuracy"]
        covered += found.low <= 0.7 <= found.high
    assert 80 <= covered <= 98


def test_with_many_classes_only_the_ranking_gets_fewer_resamples(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        bootstrap, "draw", lambda n, count, seed: drawn.append(count) or [np.ones((n, 1))]
    )
    monkeypatch.setattr(bootstrap, "RANKED", 20 * 2 * 150)
    values = np.full((20, 2), 0.5)
    labels = np.arange(20) % 2
    bootstrap.estimates(labels, values, values, labels >= 0, 1000, 0.9, 0)
    assert drawn == [1000, 150]
