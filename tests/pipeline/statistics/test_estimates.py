"""Every metric of a candidate with its interval, against single calls and scipy."""

import numpy as np
import pytest
from scipy.stats import binomtest

from pipeline.statistics import intervals, metrics, resampling, scoring
from pipeline.statistics.estimates import estimates, unequal


def draw(images=120, seed=1):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, images)
    values = rng.dirichlet(np.ones(3), (2, images)) + 0.4 * np.eye(3)[labels]
    return labels, values / values.sum(axis=2, keepdims=True)


def test_each_metric_is_the_mean_over_repeats_with_its_interval():
    labels, values = draw()
    kept = np.arange(120) % 10 > 0
    found = estimates(labels, values, values, kept, np.arange(120), 60, 0.9, 5)
    for metric in scoring.RANKING_METRICS:
        mean = np.mean([scoring.score(metric, labels, repeat) for repeat in values])
        assert found[metric].value == pytest.approx(mean)
        units = resampling.units(None, labels, metric in scoring.CLASS_WISE)
        assert found[metric] == intervals.interval(metric, labels, values, units, 0.9)
    errors = [metrics.calibration_error(labels, repeat) for repeat in values]
    assert found["calibration_error"].value == pytest.approx(np.mean(errors))
    right = (values.argmax(axis=2) == labels)[:, kept].mean()
    assert found["accuracy_without_twins"].value == pytest.approx(right)
    assert found["calibrated_log_loss"] == found["log_loss"]
    assert "rarest_recall" not in found


def test_images_of_one_group_are_not_independent():
    labels, values = draw(200)
    groups = np.arange(200) // 20
    wrong = groups % 3 == 0  # whole groups are mistaken
    values[:, wrong] = np.roll(values[:, wrong], 1, axis=2)
    alone, grouped = (
        estimates(labels, values[:1], values[:1], labels >= 0, given, 60, 0.95, 0)
        for given in (np.arange(200), groups)
    )
    for metric in ("accuracy", "log_loss", "calibration_error"):
        a, b = alone[metric], grouped[metric]
        assert a.value == b.value
        assert b.high - b.low > 1.5 * (a.high - a.low)


def test_few_images_that_are_all_right_are_no_certainty():
    labels = np.array([0, 1, 0, 1])
    sure = 0.8 * np.eye(2)[labels][None] + 0.1
    accuracy = estimates(labels, sure, sure, labels >= 0, np.arange(4), 50, 0.95, 0)["accuracy"]
    exact = binomtest(4, 4).proportion_ci(0.95, "wilson")
    assert (accuracy.low, accuracy.high) == pytest.approx((exact.low, 1.0), abs=1e-6)


def test_where_chance_cannot_be_seen_there_is_a_reason_and_no_number():
    labels = np.repeat([0, 1], [10, 1])
    sure = np.tile([0.9, 0.1], (1, 11, 1))
    found = estimates(labels, sure, sure, labels >= 0, np.arange(11), 50, 0.95, 0)
    assert np.isnan(found["balanced_accuracy"].low)
    assert "one group" in found["balanced_accuracy"].reason
    assert found["accuracy"].reason == ""


def test_the_rarest_class_is_looked_at_where_classes_differ_in_size():
    labels = np.repeat([0, 1], [40, 10])
    predicted = np.where(np.arange(50) < 44, 0, 1)
    values = 0.8 * np.eye(2)[predicted][None] + 0.1
    found = estimates(labels, values, values, labels >= 0, np.arange(50), 50, 0.95, 0)
    assert found["rarest_recall"].value == pytest.approx(0.6)
    exact = binomtest(6, 10).proportion_ci(0.95, "wilson")
    rarest = found["rarest_recall"]
    assert (rarest.low, rarest.high) == pytest.approx((exact.low, exact.high), abs=1e-6)
    assert not unequal(np.repeat([0, 1], [30, 10]))
