"""Precision and recall against scikit-learn's numbers."""

import numpy as np
import pytest
from sklearn import metrics as reference

from pipeline.statistics import precision_recall


def draw(ties):
    rng = np.random.default_rng(3)
    positive = rng.random(120) < 0.2
    scores = rng.normal(size=120) + positive
    return positive, np.round(scores, 1) if ties else scores, rng.integers(0, 4, 120).astype(float)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_average_precision_is_that_of_scikit_learn(ties, weighted):
    positive, scores, weights = draw(ties)
    weights = weights if weighted else None
    expected = reference.average_precision_score(positive, scores, sample_weight=weights)
    assert precision_recall.average_precision(positive, scores, weights) == pytest.approx(expected)


def test_a_column_of_weights_is_a_resample():
    positive, scores, weights = draw(ties=True)
    both = np.stack([weights, weights[::-1], positive * 0.0], axis=1)
    values = precision_recall.average_precision(positive, scores, both)
    alone = [precision_recall.average_precision(positive, scores, one) for one in both.T]
    assert values == pytest.approx(alone)
    assert values[2] == 0  # nothing is drawn


def test_the_curve_is_that_of_scikit_learn():
    positive, scores, weights = draw(ties=True)
    weights += 1
    found = precision_recall.curve(positive, scores, weights)
    precision, recall, thresholds = reference.precision_recall_curve(
        positive, scores, sample_weight=weights
    )
    assert found.thresholds == pytest.approx(thresholds[::-1])
    assert found.precision == pytest.approx(precision[:-1][::-1])
    assert found.recall == pytest.approx(recall[:-1][::-1])


def test_the_rarest_class_and_its_recall():
    labels = np.array([0, 0, 0, 2, 2, 3, 3])
    assert precision_recall.rarest(labels) == 3  # of equals the last, and 1 does not occur
    predicted = np.array([0, 0, 0, 2, 2, 3, 0])
    assert precision_recall.rarest_recall(labels, predicted) == 0.5
    weights = np.array([1, 1, 1, 1, 1, 3, 1.0])
    assert precision_recall.rarest_recall(labels, predicted, weights) == 0.75
