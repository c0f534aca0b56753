"""Metrics against scikit-learn's, by hand, and with weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from features.errors import UsageError
from pipeline.statistics import metrics, scoring


def draw(seed=0, images=200, classes=4, ties=False):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images).astype(np.int32)
    values = rng.dirichlet(np.ones(classes), images) + 0.3 * np.eye(classes)[labels]
    values = np.round(values, 1) + 1e-3 if ties else values
    return labels, values / values.sum(axis=1, keepdims=True)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(5, 60), st.booleans())
def test_scores_are_those_of_scikit_learn(seed, images, ties):
    labels, values = draw(seed, images, ties=ties)
    predicted = values.argmax(axis=1)
    present = np.unique(np.concatenate([labels, predicted]))
    recalls = reference.recall_score(labels, predicted, labels=np.unique(labels), average="macro")
    f1 = reference.f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    assert scoring.score("accuracy", labels, values) == pytest.approx(
        reference.accuracy_score(labels, predicted)
    )
    assert scoring.score("balanced_accuracy", labels, values) == pytest.approx(recalls)
    assert scoring.score("macro_f1", labels, values) == pytest.approx(f1)
    for name, value in metrics.of_labels(labels, predicted, 4).items():
        assert value == pytest.approx(scoring.score(name, labels, values))


@pytest.mark.parametrize("ties", [False, True])
def test_probabilities_are_judged_as_by_scikit_learn(ties):
    labels, values = draw(ties=ties)
    assert metrics.log_loss(labels, values) == pytest.approx(reference.log_loss(labels, values))
    assert metrics.roc_auc(labels, values) == pytest.approx(
        reference.roc_auc_score(labels, values, multi_class="ovr", average="macro")
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.booleans())
def test_weights_count_images_as_if_they_were_repeated(seed, ties):
    labels, values = draw(seed, 40, 3, ties)
    weights = np.random.default_rng(seed).integers(0, 3, (40, 5)).astype(float)
    weights[0] += 1
    predicted = values.argmax(axis=1)
    of_labels = metrics.of_labels(labels, predicted, 3, weights)
    for column, counts in enumerate(weights.T.astype(int)):
        repeated = np.repeat(np.arange(40), counts)
        there, given = labels[repeated], values[repeated]
        for measure in (metrics.log_loss, metrics.roc_auc, metrics.calibration_error):
            assert measure(labels, values, weights)[column] == pytest.approx(measure(there, given))
        for name in metrics.METRICS:
            assert of_labels[name][column] == pytest.approx(scoring.score(name, there, given))


def test_a_class_that_is_missing_counts_for_nothing():
    labels, values = draw(classes=3)
    padded = np.pad(values, ((0, 0), (0, 1)))
    assert metrics.roc_auc(labels, padded) == pytest.approx(metrics.roc_auc(labels, values))
    assert scoring.score("balanced_accuracy", labels, padded) == pytest.approx(
        scoring.score("balanced_accuracy", labels, values)
    )
    assert metrics.roc_auc(np.zeros(200, int), values) == 0.5


def test_a_probability_of_zero_that_came_true_costs_much_but_not_all():
    assert metrics.log_loss(np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx(27.63, abs=0.01)


def test_calibration_error_by_hand():
    # Two images at 0.7, of which one is right; two at 0.9, both right.
    values = np.array([[0.7, 0.3], [0.7, 0.3], [0.9, 0.1], [0.1, 0.9]])
    labels = np.array([0, 1, 0, 1])
    assert metrics.calibration_error(labels, values) == pytest.approx((0.4 + 0.2) / 4)


def test_reliability_is_what_the_calibration_error_sums_up():
    values = np.array([[0.7, 0.3], [0.7, 0.3], [0.9, 0.1], [0.1, 0.9]])
    found = metrics.reliability(np.array([0, 1, 0, 1]), values)
    there = found.images > 0
    assert found.images[there].tolist() == [2, 2]
    assert found.sureness[there] == pytest.approx([0.7, 0.9])
    assert found.accuracy[there].tolist() == [0.5, 1]
    labels, values = draw()
    found = metrics.reliability(labels, values)
    distances = np.abs(found.sureness - found.accuracy) * found.images / found.images.sum()
    assert distances.sum() == pytest.approx(metrics.calibration_error(labels, values))


def test_confusion_and_the_most_confused():
    labels, values = draw()
    predicted = values.argmax(axis=1)
    matrix = metrics.confusion(labels, predicted, 4)
    assert (matrix == reference.confusion_matrix(labels, predicted)).all()
    assert metrics.confused_pairs(np.array([[5, 2, 0], [7, 1, 0], [0, 3, 9]]), 2) == [
        (1, 0, 7),
        (2, 1, 3),
    ]
    assert metrics.confused_pairs(np.eye(3, dtype=int), 5) == []


def test_an_unknown_metric_is_told():
    with pytest.raises(UsageError, match="did you mean accuracy"):
        scoring.score("acuracy", *draw())
