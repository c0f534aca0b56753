"""Intervals against scipy's and statistics' textbook numbers, and how often they hold the truth."""

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap, norm

from pipeline.statistics import intervals, metrics, resampling, scoring


def sure(labels, right, classes=2):
    predicted = np.where(right, labels, (labels + 1) % classes)
    return np.eye(classes)[predicted]


def measured(metric, labels, probabilities, groups=None, confidence=0.95):
    units = resampling.units(groups, labels, metric in scoring.CLASS_WISE)
    return intervals.interval(metric, labels, probabilities, units, confidence)


@pytest.mark.parametrize("right, images", [(4, 4), (0, 7), (17, 20), (990, 1000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_accuracy_of_independent_images_is_wilsons(right, images, confidence):
    labels = np.arange(images) % 2
    found = measured("accuracy", labels, sure(labels, np.arange(images) < right), None, confidence)
    expected = binomtest(right, images).proportion_ci(confidence, "wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.value == pytest.approx(right / images)


def test_all_right_is_not_sure_for_few_images_or_few_groups():
    labels = np.array([0, 0, 1, 1])
    found = measured("accuracy", labels, np.eye(2)[labels])
    assert 0.398 <= found.low <= 0.511
    assert found.high == 1  # exactly, whatever rounding says
    many = np.tile(labels, 100)
    grouped = measured("accuracy", many, np.eye(2)[many], np.repeat(np.arange(10), 40))
    assert grouped.low == pytest.approx(binomtest(10, 10).proportion_ci(0.95, "wilson").low)


def test_a_class_of_two_images_is_not_missed():
    labels = np.array([0] * 50 + [1] * 2)
    found = measured("balanced_accuracy", labels, np.eye(2)[labels])
    alone = binomtest(2, 2).proportion_ci(0.95, "wilson").low  # 34 %
    assert found.low < (1 + alone) / 2 + 0.01
    assert found.high == 1


def test_a_rare_class_that_is_never_found_may_be_found_on_new_images():
    labels = np.array([0] * 240 + [1] * 12)
    found = measured("macro_f1", labels, np.tile([0.9, 0.1], (252, 1)))
    alone = binomtest(0, 12).proportion_ci(0.95, "wilson").high
    assert found.value == pytest.approx((480 / 492) / 2)  # F1 of one class, and 0
    assert found.high > found.value + 0.9 * (2 * alone / (1 + alone)) / 2


@pytest.mark.parametrize("metric", scoring.RANKING_METRICS)
def test_a_class_of_one_group_or_a_single_group_says_so(metric):
    labels = np.array([0] * 6 + [1] * 2)
    groups = np.array([0, 1, 2, 3, 4, 5, 6, 6])
    found = measured(metric, labels, sure(labels, np.arange(8) % 3 > 0) * 0.8 + 0.1, groups)
    assert np.isfinite(found.value)
    if metric in scoring.CLASS_WISE:
        assert "one group" in found.reason
        assert np.isnan([found.low, found.high]).all()
    else:
        assert not found.reason
        assert found.low <= found.value <= found.high
    alone = measured(metric, labels, sure(labels, labels == 0) * 0.8 + 0.1, np.zeros(8, int))
    assert "one group" in alone.reason


@pytest.mark.parametrize("metric", scoring.RANKING_METRICS)
def test_with_many_images_it_is_the_plain_bootstrap_interval(metric):
    rng = np.random.default_rng(0)
    labels = (rng.random(1500) < 0.3).astype(int)
    ones = 1 / (1 + np.exp(-rng.normal(2 * labels - 1, 1.2)))
    values = np.stack([1 - ones, ones], axis=1)
    found = measured(metric, labels, values)

    def statistic(rows):
        return float(scoring.score(metric, labels[rows], values[rows]))

    plain = bootstrap(
        (np.arange(1500),), statistic, n_resamples=400, vectorized=False, method="percentile",
        rng=0,
    )  # fmt: skip
    expected = plain.confidence_interval
    width = expected.high - expected.low
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.15 * width)


@pytest.mark.parametrize("metric", scoring.RANKING_METRICS)
def test_repeats_of_cross_validation_are_averaged(metric):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    repeats = rng.dirichlet(np.ones(3), (2, 300)) + np.eye(3)[labels] / 3
    repeats /= repeats.sum(axis=2, keepdims=True)
    both, first = measured(metric, labels, repeats), measured(metric, labels, repeats[0])
    alone = [float(scoring.score(metric, labels, given)) for given in repeats]
    assert both.value == pytest.approx(np.mean(alone))
    assert both.low < both.value < both.high
    same = measured(metric, labels, repeats[[0, 0]])  # nothing new is seen
    assert (same.value, same.low, same.high) == pytest.approx((first.value, first.low, first.high))


def test_groups_widen_it():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 25)
    labels = rng.integers(0, 2, 1000)
    right = rng.normal(size=40)[groups] + rng.normal(size=1000) < 1
    alone = measured("accuracy", labels, sure(labels, right))
    grouped = measured("accuracy", labels, sure(labels, right), groups)
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


@pytest.mark.parametrize("metric", metrics.METRICS)
@pytest.mark.parametrize("per_group, share", [(1, 0.5), (1, 0.1), (25, 0.5)])
def test_it_holds_the_truth_about_as_often_as_it_says(metric, per_group, share):
    recalls, covered = norm.cdf([1.3, 0.5]), 0
    called = share * recalls[1] + (1 - share) * (1 - recalls[0])
    f1 = [
        2 * (1 - share) * recalls[0] / (2 - share - called),
        2 * share * recalls[1] / (share + called),
    ]
    truth = {"accuracy": recalls @ [1 - share, share], "balanced_accuracy": recalls.mean(),
             "macro_f1": np.mean(f1)}[metric]  # fmt: skip
    for seed in range(200):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(200 if per_group == 1 else 40), per_group)
        labels = (rng.random(len(groups)) < share).astype(int)
        common = rng.normal(size=groups.max() + 1)[groups] if per_group > 1 else 0
        own = rng.normal(size=len(groups))
        noise = own if per_group == 1 else 0.6 * common + 0.8 * own
        found = measured(metric, labels, sure(labels, noise < np.array([1.3, 0.5])[labels]), groups)
        covered += found.low <= truth <= found.high
    assert 0.91 <= covered / 200 <= 0.995


def test_any_statistic_of_weights_has_percentiles_of_resampled_groups():
    rng = np.random.default_rng(0)
    values, groups = rng.normal(size=300), np.repeat(np.arange(100), 3)
    units = resampling.units(groups, np.zeros(300, int), stratify=False)
    found = intervals.of_statistics(
        lambda weights: {"mean": values @ weights / weights.sum(axis=0)}, units, 4000, 0.95, 0
    )["mean"]
    means = values.reshape(100, 3).mean(axis=1)
    half = 1.984 * means.std(ddof=1) / 10  # Student's t at 99 degrees of freedom
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.1 * half
    )
    single = resampling.units(np.zeros(300, int), np.zeros(300, int), stratify=False)
    alone = intervals.of_statistics(lambda weights: {"mean": values @ weights}, single, 5, 0.95, 0)
    assert alone["mean"].reason
