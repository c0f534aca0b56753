"""Estimators of our own: scikit-learn's contract, and the solutions that its own ones find."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from pipeline.classifiers import SUITE
from pipeline.classifiers.base import Task, probabilities
from pipeline.classifiers.components import principal_components
from pipeline.classifiers.estimators.dense_head import DenseHead
from pipeline.classifiers.estimators.lda import LinearDiscriminant
from pipeline.classifiers.estimators.linear import LinearSVM, SoftmaxRegression
from pipeline.classifiers.estimators.unit_scale import UnitScale


def mixture(classes, dtype=np.float64, rows=400, features=10):
    """Overlapping classes on features of unlike scales, far from the origin."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, rows)
    x = rng.normal(size=(classes, features))[y] + rng.normal(scale=1.5, size=(rows, features))
    return (x * np.geomspace(0.1, 3, features) + 5).astype(dtype), y


def informative(classes):
    x, y = make_classification(
        400, 20, n_informative=8, n_classes=classes, class_sep=0.7, random_state=0
    )
    return UnitScale().fit_transform(x), y


@parametrize_with_checks([UnitScale(), LinearSVM(), SoftmaxRegression()])
def test_scikit_learns_conventions(estimator, check):
    check(estimator)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("c", [0.01, 1.0])
def test_the_linear_svm_is_that_of_liblinear(classes, c):
    x, y = mixture(classes)
    x = x - x.mean(axis=0)
    scaling = 1e3  # so large that liblinear's penalty on the intercept does not count
    theirs = LinearSVC(C=c, intercept_scaling=scaling, dual=False, tol=1e-10, max_iter=10**6)
    ours = LinearSVM(C=c, tol=1e-9)
    expected = theirs.fit(x, y).decision_function(x)
    assert np.allclose(ours.fit(x, y).decision_function(x), expected, atol=1e-4)
    assert ours.coef_.shape == theirs.coef_.shape


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_linear_svm_finds_the_solution_of_liblinear_on_scaled_data(classes, c):
    x, y = informative(classes)
    # A large scaling makes liblinear's penalty of the intercept vanish.
    known = LinearSVC(C=c, intercept_scaling=100, tol=1e-8, max_iter=100_000, dual=False)
    expected = known.fit(x, y).decision_function(x)
    scores = LinearSVM(C=c, tol=1e-7).fit(x, y).decision_function(x)
    np.testing.assert_allclose(scores, expected, atol=2e-3)


@pytest.mark.parametrize("model", [LinearSVM, SoftmaxRegression])
def test_linear_models_go_on_from_where_they_were(model):
    x, y = informative(4)
    warm = model(C=1.0, warm_start=True).fit(x, y)
    cold = warm.n_iter_
    assert warm.fit(x, y).n_iter_ < cold


@pytest.mark.parametrize("classes", [2, 4])
def test_scores_become_probabilities_in_the_same_order(classes):
    x, y = informative(classes)
    model = LinearSVM().fit(x, y)
    values = probabilities(model, x, classes + 1)
    assert values.shape == (400, classes + 1)
    assert not values[:, classes].any()  # a class that the model has not seen
    assert values.sum(axis=1) == pytest.approx(np.ones(400), abs=1e-5)
    assert (values.argmax(axis=1) == model.predict(x)).all()


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("c", [0.01, 1.0])
def test_the_softmax_regression_is_that_of_scikit_learn(classes, c):
    x, y = mixture(classes)
    theirs = LogisticRegression(C=c, tol=1e-9, max_iter=10**5).fit(x, y)
    ours = SoftmaxRegression(C=c, tol=1e-9).fit(x, y)
    assert np.allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-5)


def rare(classes):
    """The mixture with less and less of each class."""
    x, y = mixture(classes, rows=900)
    kept = np.random.default_rng(1).random(len(y)) < 1 / (1 + 3 * y)
    return x[kept] - x.mean(axis=0), y[kept]


@pytest.mark.parametrize("weights", ["balanced", {0: 0.3, 1: 4.0}])
@pytest.mark.parametrize("classes", [2, 4])
def test_class_weights_are_those_of_scikit_learn(classes, weights):
    x, y = rare(classes)
    logistic = LogisticRegression(C=0.1, class_weight=weights, tol=1e-9, max_iter=10**5).fit(x, y)
    softmax = SoftmaxRegression(C=0.1, class_weight=weights, tol=1e-9).fit(x, y)
    assert np.allclose(softmax.predict_proba(x), logistic.predict_proba(x), atol=1e-5)
    liblinear = LinearSVC(C=0.1, class_weight=weights, intercept_scaling=1e3, dual=False,
                          tol=1e-10, max_iter=10**6).fit(x, y)  # fmt: skip
    svm = LinearSVM(C=0.1, class_weight=weights, tol=1e-9).fit(x, y)
    assert np.allclose(svm.decision_function(x), liblinear.decision_function(x), atol=1e-3)
    plain = SoftmaxRegression(C=0.1, tol=1e-9).fit(x, y)
    assert not np.allclose(plain.predict_proba(x), softmax.predict_proba(x), atol=0.05)


@pytest.mark.parametrize("model", [LinearSVM, SoftmaxRegression])
def test_linear_models_stay_in_float32_and_agree_with_float64(model):
    x, y = mixture(3)
    single = model(tol=1e-5).fit(x.astype(np.float32), y)
    assert single.coef_.dtype == single.intercept_.dtype == np.float32
    double = model(tol=1e-5).fit(x, y)
    assert np.allclose(single.decision_function(x), double.decision_function(x), atol=1e-2)


def test_more_features_than_the_preconditioner_takes_give_the_same(monkeypatch):
    from pipeline.classifiers.estimators import linear_solver

    x, y = mixture(3)
    expected = LinearSVM(tol=1e-7).fit(x, y).decision_function(x)
    monkeypatch.setattr(linear_solver, "_WIDEST", 5)
    scores = LinearSVM(tol=1e-7).fit(x, y).decision_function(x)
    assert np.allclose(scores, expected, atol=1e-4)


def test_too_few_iterations_are_told():
    x, y = mixture(3)
    with pytest.warns(ConvergenceWarning, match="no convergence in 2 iterations"):
        LinearSVM(max_iter=2, tol=1e-9).fit(x, y)


def test_unit_scale_gives_a_mean_squared_norm_of_one_at_any_scale():
    x = np.random.default_rng(0).normal(3, 2, (500, 30)).astype(np.float32)
    for factor in (1e-3, 1, 1e3):
        scaled = UnitScale().fit_transform(x * np.float32(factor))
        assert scaled.dtype == np.float32
        assert np.square(scaled).sum(axis=1).mean() == pytest.approx(1, rel=1e-4)
        assert np.abs(scaled.mean(axis=0)).max() < 1e-5


def test_unit_scale_makes_no_copy_in_float64():
    import tracemalloc

    x = np.random.default_rng(0).normal(size=(20_000, 100)).astype(np.float32)
    tracemalloc.start()
    UnitScale().fit(x)
    learning = tracemalloc.get_traced_memory()[1]
    UnitScale().fit(x).transform(x)
    both = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert learning < x.nbytes
    assert both < 2 * x.nbytes


def test_unit_scale_leaves_constant_rows_alone():
    assert np.array_equal(UnitScale().fit_transform(np.ones((3, 2))), np.zeros((3, 2)))


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("shrinkage", [0.9, 0.1, 0.001])
@pytest.mark.parametrize("features", [20, 90])  # more than rows, and fewer
def test_the_discriminant_analysis_is_that_of_scikit_learn(classes, shrinkage, features):
    x, y = mixture(classes, rows=60, features=features)
    expected = LinearDiscriminantAnalysis("lsqr", shrinkage=shrinkage).fit(x, y)
    model = LinearDiscriminant(shrinkage).fit(x, y)
    equal = LinearDiscriminantAnalysis(
        "lsqr", shrinkage=shrinkage, priors=np.full(classes, 1 / classes)
    )
    balanced = LinearDiscriminant(shrinkage, "balanced").fit(x, y)
    assert np.allclose(balanced.coef_, equal.fit(x, y).coef_)
    assert np.allclose(balanced.intercept_, equal.intercept_)
    assert np.allclose(model.coef_, expected.coef_, rtol=1e-6, atol=1e-8)
    assert np.allclose(model.predict_proba(x), expected.predict_proba(x), atol=1e-8)
    single = LinearDiscriminant(shrinkage).fit(x.astype(np.float32), y)
    assert np.allclose(single.predict_proba(x), expected.predict_proba(x), atol=0.01)


def test_principal_components_by_rows_are_those_of_the_covariance():
    x, _ = mixture(3, rows=30, features=50)
    by_rows = principal_components(Task(30, 50, 3, 0), 8).fit(x)
    expected = PCA(8, svd_solver="covariance_eigh").fit(x)
    assert np.allclose(by_rows.explained_variance_, expected.explained_variance_)
    cosines = np.abs((by_rows.components_ * expected.components_).sum(axis=1))
    assert np.allclose(cosines, 1)


FEW_OF_MANY = [
    classifier
    for member in SUITE
    for classifier in (member, *member.fallbacks)
    if classifier.name not in ("dense-head", "random-forest", "extra-trees")
]


@pytest.mark.parametrize("classifier", FEW_OF_MANY, ids=lambda classifier: classifier.name)
def test_few_rows_of_many_features_need_no_square_of_the_features(classifier):
    import tracemalloc

    features = 6000
    x, y = mixture(3, np.float32, rows=30, features=features)
    model = classifier.build(Task(30, features, 3, 0)).set_params(**classifier.default)
    model[-1].set_params(n_neighbors=3) if "knn" in classifier.name else None
    tracemalloc.start()
    probabilities(model.fit(x, y), x, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < features * features  # bytes: a quarter of such a matrix in float32


# All checks but one pass, in a minute and a half: sample order changes float32 by 1e-8. These take
# few fits, each of which compiles a network.
QUICK = {
    "check_estimator_cloneable",
    "check_no_attributes_set_in_init",
    "check_get_params_invariance",
    "check_set_params",
    "check_parameters_default_constructible",
    "check_estimators_unfitted",
    "check_estimators_nan_inf",
    "check_classifiers_one_label",
    "check_n_features_in_after_fitting",
}


def quick_checks():
    model = DenseHead((16,), epochs=3, random_state=0)
    checks = estimator_checks_generator(model)
    return [(instance, check) for instance, check in checks if check.func.__name__ in QUICK]


@pytest.mark.parametrize("estimator, check", quick_checks())
def test_the_dense_head_keeps_to_scikit_learns_contract(estimator, check):
    check(estimator)


def head(**options):
    settings = {"hidden": (32,), "batch_size": 32, "learning_rate": 0.01, "random_state": 0}
    return DenseHead(**(settings | options))


def test_the_dense_head_restores_the_best_epoch():
    x, y = mixture(3, np.float32)
    y = np.random.default_rng(1).permutation(y)  # what it learns of these does not hold elsewhere
    stopped = head(epochs=30, patience=3).fit(x, y)
    assert stopped.n_iter_ < 30
    best = head(epochs=stopped.n_iter_ - 3, patience=3).fit(x, y)
    assert np.array_equal(stopped.predict_proba(x), best.predict_proba(x))


def test_the_dense_head_scales_inside():
    x, y = mixture(3, np.float32)
    small, large = (head(epochs=5).fit(v, y).predict_proba(v) for v in (x, x * 100 + 1000))
    assert np.allclose(small, large, atol=0.01)
    assert small.dtype == np.float32


def test_the_dense_head_learns_from_very_few_rows():
    x, y = np.eye(3, dtype=np.float32), np.array([0, 1, 1])
    assert head(epochs=2).fit(x, y).predict_proba(x).shape == (3, 2)


def test_class_weights_let_a_dense_head_find_the_rare_class():
    x, y = mixture(2, np.float32, rows=600)
    kept = (y == 0) | (np.arange(600) % 10 == 0)
    weights = (None, "balanced")
    found = [
        (head(epochs=15, class_weight=weight).fit(x[kept], y[kept]).predict(x)[y == 1] == 1).mean()
        for weight in weights
    ]
    assert found[1] > found[0] + 0.1


def test_a_clone_of_a_dense_head_has_all_its_parameters():
    from sklearn.base import clone

    model = head(hidden=(8, 4), dropout=0.25, patience=7)
    assert clone(model).get_params() == model.get_params()
