"""Estimators of our own: scikit-learn's contract, and the solutions that its own ones find."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from pipeline.classifiers.base import probabilities
from pipeline.classifiers.estimators.linear_svm import LinearSVM
from pipeline.classifiers.estimators.unit_scale import UnitScale


@parametrize_with_checks([UnitScale(), LinearSVM()])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


def data(classes):
    x, y = make_classification(
        400, 20, n_informative=8, n_classes=classes, class_sep=0.7, random_state=0
    )
    return UnitScale().fit_transform(x), y


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_linear_svm_finds_the_solution_of_liblinear(classes, c):
    x, y = data(classes)
    # A large scaling makes liblinear's penalty of the intercept vanish.
    known = LinearSVC(C=c, intercept_scaling=100, tol=1e-8, max_iter=100_000, dual=False)
    expected = known.fit(x, y).decision_function(x)
    found = LinearSVM(C=c, tol=1e-7).fit(x, y).decision_function(x)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_linear_svm_goes_on_from_where_it_was():
    x, y = data(4)
    model = LinearSVM(C=1.0, warm_start=True).fit(x, y)
    cold = model.n_iter_
    assert model.fit(x, y).n_iter_ < cold


def test_unit_scale_gives_a_mean_squared_norm_of_one_at_any_scale():
    x = np.random.default_rng(0).normal(3, 2, (500, 30)).astype(np.float32)
    for factor in (1e-3, 1, 1e3):
        scaled = UnitScale().fit_transform(x * np.float32(factor))
        assert scaled.dtype == np.float32
        assert np.square(scaled).sum(axis=1).mean() == pytest.approx(1, rel=1e-4)
        assert np.abs(scaled.mean(axis=0)).max() < 1e-5


@pytest.mark.parametrize("classes", [2, 4])
def test_scores_become_probabilities_in_the_same_order(classes):
    x, y = data(classes)
    model = LinearSVM().fit(x, y)
    found = probabilities(model, x, classes + 1)
    assert found.shape == (400, classes + 1)
    assert not found[:, classes].any()  # a class that the model has not seen
    assert found.sum(axis=1) == pytest.approx(np.ones(400), abs=1e-5)
    assert (found.argmax(axis=1) == model.predict(x)).all()
