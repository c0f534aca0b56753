"""The influence of an image is the metric's derivative with respect to the image's weight."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from pipeline.statistics import influence, scoring


def draw(classes, seed=0, images=150):
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(images) < 0.6, 0, rng.integers(0, classes, images))
    values = np.round(rng.dirichlet(np.ones(classes), images) + np.eye(classes)[labels] / 2, 1)
    values += 1e-3
    return labels, values / values.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("metric", scoring.RANKING_METRICS)
def test_it_is_the_derivative(metric, classes):
    labels, values = draw(classes)
    step = 1e-5 * np.eye(len(labels))
    above, below = (scoring.score(metric, labels, values, 1 + sign * step) for sign in (1, -1))
    found = influence.influence(metric, labels, values)
    assert found == pytest.approx((above - below) / 2e-5, abs=1e-9)
    assert found.sum() == pytest.approx(0, abs=1e-12)
    assert np.abs(found).max() > 1e-4


def test_several_are_measured_at_once():
    labels, values = draw(3)
    both = influence.measure("macro_f1", labels, [values, values[::-1]])
    predicted = [values.argmax(axis=1), values[::-1].argmax(axis=1)]
    same = influence.measure_labels("macro_f1", labels, predicted, 3)
    assert both.scores == pytest.approx(same.scores)
    assert both.influence == pytest.approx(same.influence)
    assert both.scores[0] == pytest.approx(scoring.score("macro_f1", labels, values))
    losses = influence.measure("log_loss", labels, [values])
    assert losses.goodness[0] == pytest.approx(-reference.log_loss(labels, values))


def test_average_precision_is_of_the_rarest_of_two_and_the_mean_over_more():
    labels, values = draw(2)
    expected = reference.average_precision_score(labels == 1, values[:, 1])
    assert scoring.score("average_precision", labels, values) == pytest.approx(expected)
    labels, values = draw(3)
    expected = reference.average_precision_score(np.eye(3)[labels], values, average="macro")
    assert scoring.score("average_precision", labels, values) == pytest.approx(expected)


def test_the_variance_of_the_roc_auc_is_that_of_delong():
    labels, values = draw(2)
    shares = influence.influence("roc_auc", labels, values)
    # For every positive and negative image by loops: DeLong, DeLong, Clarke-Pearson 1988.
    ones, zeros = values[labels == 1, 1], values[labels == 0, 1]
    wins = (ones[:, None] > zeros) + 0.5 * (ones[:, None] == zeros)
    expected = wins.mean(axis=1).var() / len(ones) + wins.mean(axis=0).var() / len(zeros)
    assert (shares**2).sum() == pytest.approx(expected)


@pytest.mark.parametrize("metric", scoring.RANKING_METRICS)
def test_no_guess_from_frequencies_betters_chance(metric):
    rng = np.random.default_rng(0)
    labels = (rng.random(400) < 0.2).astype(int)
    chance = scoring.chance(metric, labels, 2)
    guesses = []
    for share in (0, 0.1, 0.2, 0.3, 0.5, 1):
        for _ in range(40):
            ones = (rng.random(400) < share).astype(float)
            if metric in ("roc_auc", "average_precision"):
                ones = rng.random(400)
            elif metric == "log_loss":
                ones = np.full(400, share)
            guesses.append(float(scoring.score(metric, labels, np.stack([1 - ones, ones], 1))))
    rates = scoring.goodness(metric, np.array(guesses)).reshape(6, 40).mean(axis=1)
    floor = scoring.goodness(metric, np.array(chance))
    assert rates.max() == pytest.approx(floor, abs=0.02)


def test_chance_of_average_precision_is_the_mean_over_all_orders():
    labels = np.array([0] * 9 + [1] * 3)
    rng = np.random.default_rng(0)
    scores = rng.random((1000, 12))
    values = [reference.average_precision_score(labels, row) for row in scores]
    error = stats.sem(values)
    assert scoring.chance("average_precision", labels, 2) == pytest.approx(
        np.mean(values), abs=4 * error
    )
