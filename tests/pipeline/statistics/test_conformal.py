"""Sets of classes hold the true one as often as promised, by groups and by classes."""

import numpy as np
import pytest

from pipeline.statistics import conformal


def drawn(rng, count, groups, classes=3, spread=1.0):
    """Return probabilities float (count, classes), labels and groups, with effects of groups."""
    group = np.arange(count) % groups
    labels = rng.integers(0, classes, groups)[group]
    effects = rng.normal(scale=spread, size=(groups, classes))[group]
    scores = effects + 1.5 * np.eye(classes)[labels] + rng.normal(size=(count, classes))
    values = np.exp(scores)
    return values / values.sum(axis=1, keepdims=True), labels, group


def fit(repeats, labels, groups, coverage):
    """Fit from the probabilities of all classes, float (R, n, K)."""
    of_true = repeats[:, np.arange(len(labels)), labels]
    return conformal.fit(of_true, labels, groups, repeats.shape[2], coverage)


def test_the_threshold_is_the_quantile_of_split_conformal_prediction():
    rng = np.random.default_rng(0)
    probabilities, labels, groups = drawn(rng, 99, 99, classes=2)
    labels[:] = 0
    thresholds = fit(probabilities[None], labels, groups, 0.9)
    rank = int(np.ceil(0.9 * (99 + 1)))  # of scores 1 - p, ascending
    assert thresholds.lowest[0] == np.sort(probabilities[:, 0])[::-1][rank - 1]
    assert thresholds.own.tolist() == [True, False]


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_coverage_is_kept_on_new_groups(coverage):
    rng = np.random.default_rng(1)
    kept = []
    for _ in range(150):
        probabilities, labels, groups = drawn(rng, 400, 80)
        known = groups < 60
        thresholds = fit(probabilities[None, known], labels[known], groups[known], coverage)
        sets = thresholds.sets(probabilities[~known])
        kept.append(sets[np.arange((~known).sum()), labels[~known]].mean())
    assert coverage - 0.01 < np.mean(kept) < coverage + 0.04


def test_a_class_of_few_groups_shares_the_threshold_of_the_others_like_it():
    rng = np.random.default_rng(2)
    probabilities, labels, groups = drawn(rng, 200, 200)
    labels[:] = np.where(np.arange(200) < 150, 0, 1 + np.arange(200) % 2)
    thresholds = fit(probabilities[None], labels, groups, 0.95)
    assert thresholds.own.tolist() == [True, False, False]
    assert thresholds.lowest[1] == thresholds.lowest[2] != thresholds.lowest[0]


def test_too_few_groups_promise_nothing_less_than_all_classes():
    probabilities = np.full((1, 18, 2), 0.5)
    labels, groups = np.zeros(18, int), np.arange(18)
    assert conformal.fewest_groups(0.95) == 19
    thresholds = fit(probabilities, labels, groups, 0.95)
    assert thresholds.says_nothing
    assert thresholds.sets(probabilities[0]).all()
    assert not fit(probabilities, labels, groups, 0.9).says_nothing


def test_the_likeliest_class_is_always_in_the_set():
    thresholds = conformal.Thresholds(0.9, np.array([0.9, 0.9]), np.array([True, True]), 50)
    assert thresholds.sets(np.array([[0.6, 0.4], [0.05, 0.95]])).tolist() == [
        [True, False],
        [False, True],
    ]


def test_repeats_weigh_together_as_one():
    rng = np.random.default_rng(3)
    probabilities, labels, groups = drawn(rng, 100, 50)
    once = fit(probabilities[None], labels, groups, 0.9)
    thrice = fit(np.stack([probabilities] * 3), labels, groups, 0.9)
    assert thrice.lowest.tolist() == once.lowest.tolist()
