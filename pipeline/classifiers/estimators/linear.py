"""Linear models for many rows and features, which fit all classes at once by matrix products."""

from abc import abstractmethod

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from pipeline.classifiers.blocks import are_read
from pipeline.classifiers.estimators.linear_solver import Loss, Problem

_PROBLEM = "_problem"
_HELD = 2**24  # signs of rows by class that are computed once for all passes, 128 MiB with factors


class _Linear(LinearClassifierMixin, BaseEstimator):
    """The base of the models: the objective 0.5 ||W||^2 + C sum of losses, and its solution.

    Args:
        C: the weight of the loss; smaller is more regularized.
        tol: the tolerance of `linear_solver.Problem.solve`.
        max_iter: the largest number of its iterations.
        warm_start: whether to start from the solution of the fit before, and to reuse what was
            computed from X if it is the very same array, which must not have changed.
        class_weight: the weight of each class's losses, as scikit-learn's models take it: None,
            "balanced", or a dictionary by label.

    Attributes:
        classes_: the K labels.
        coef_: (K, D), or (1, D) for two classes; of X's dtype.
        intercept_: (K,) or (1,), not penalized; of X's dtype.
        n_iter_: the number of iterations.
    """

    _curvature: float  # of the loss, an argument of `solve`
    class_weight = None  # of models that were stored without it

    def __init__(
        self,
        C=1.0,  # noqa: N803
        *,
        tol=1e-3,
        max_iter=1000,
        warm_start=False,
        class_weight=None,
    ):
        self.C = C
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.class_weight = class_weight

    @abstractmethod
    def _loss(self, codes: np.ndarray, weights: np.ndarray) -> Loss:
        """Return the loss of scores (m, K), or (m, 1) for two classes.

        Args:
            codes: the classes of all rows, (n,), 0 to K - 1.
            weights: the weight of each class, (K,), of the scores' dtype.
        """

    def fit(self, X, y):  # noqa: N803
        """Fit to X and y (n,), labels of at least two classes.

        Args:
            X: float32 or float64 (n, D), or as many rows that are read in blocks.
            y: (n,).
        """
        if are_read(X):
            self.n_features_in_ = X.shape[1]
        else:
            X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], order="C")  # noqa: N806
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"expected at least 2 classes, got 1 class: {classes[0]!r}")
        start = self._start((len(classes) if len(classes) > 2 else 1, X.shape[1]))
        weights = compute_class_weight(self.class_weight, classes=classes, y=y).astype(X.dtype)
        loss, penalty = self._loss(codes, weights), 1 / (self.C * len(X))
        self.coef_, self.intercept_, self.n_iter_ = self._problem_of(X).solve(
            loss, self._curvature, penalty, start, self.tol, self.max_iter
        )
        self.classes_ = classes
        return self

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != _PROBLEM}

    def _problem_of(self, X):  # noqa: N803
        """Return the problem of these rows, which is kept for all settings of a path."""
        problem = getattr(self, _PROBLEM, None)
        if problem is None or problem.X is not X:
            problem = Problem(X)
        if self.warm_start:
            setattr(self, _PROBLEM, problem)
        return problem

    def _start(self, shape):
        if self.warm_start and getattr(self, "coef_", np.empty(0)).shape == shape:
            return self.coef_.astype(float), self.intercept_.astype(float)
        return np.zeros(shape), np.zeros(shape[0])


class LinearSVM(_Linear):
    """One class against the rest, squared hinge loss, L2 penalty: the objective of LinearSVC.

    For y of -1 or 1, the loss of a row is max(0, 1 - y (w x + b))^2. It is minimized in the primal
    (O. Chapelle, "Training a support vector machine in the primal", Neural Computation 19, 2007).
    Unlike liblinear this does not penalize b, keeps float32 data in float32, and uses all cores.
    As in liblinear, the weight of a class is that of its rows in its own problem against the rest,
    where the rest have weight 1; with two classes both have their own.
    Parameters and attributes are those of `_Linear`.
    """

    _curvature = 2.0

    def _loss(self, codes, weights):
        classes = len(weights)
        positive = np.arange(classes) if classes > 2 else np.array([1])
        rest = np.ones(1, weights.dtype) if classes > 2 else weights[:1]

        def signs_and_factors(rows):
            own = codes[rows, None] == positive  # (m, K)
            signs = np.where(own, 1, -1).astype(weights.dtype)
            return signs, np.where(own, weights[codes[rows]][:, None], rest)

        held = None  # of all rows, where they are no more than some blocks of rows
        if len(codes) * classes <= _HELD:
            held = signs_and_factors(slice(None))

        def squared_hinge(scores, rows):
            signs, factors = (held[0][rows], held[1][rows]) if held else signs_and_factors(rows)
            slack = np.maximum(1 - signs * scores, 0)
            weighted = factors * slack
            total = float(np.multiply(weighted, slack, dtype=np.float64).sum())
            return total, -2 * weighted * signs

        return squared_hinge


class SoftmaxRegression(_Linear):
    """Multinomial logistic regression, L2 penalty: the objective of LogisticRegression.

    The solution is scikit-learn's; the preconditioned solver is faster where there are many rows
    and features. Parameters and attributes are those of `_Linear`.
    """

    _curvature = 0.1

    def _loss(self, codes, weights):
        factors, classes = weights[codes], len(weights)

        def cross_entropy(scores, rows):
            logs, truth = log_softmax(_columns(scores), axis=1), codes[rows]
            true = np.arange(len(truth)), truth
            total = -float((factors[rows] * logs[true]).sum(dtype=np.float64))
            gradient = np.exp(logs)
            gradient[true] -= 1
            gradient *= factors[rows, None]
            return total, gradient[:, 1:] if classes == 2 else gradient

        return cross_entropy

    def predict_proba(self, X):  # noqa: N803
        """Return probabilities (n, K) in the order of `classes_`."""
        scores = self.decision_function(X)
        return softmax(_columns(scores if scores.ndim == 2 else scores[:, None]), axis=1)


def _columns(scores: np.ndarray) -> np.ndarray:
    """Return a score for each class; the first of two classes gets 0."""
    return scores if scores.shape[1] > 1 else np.hstack([np.zeros_like(scores), scores])
