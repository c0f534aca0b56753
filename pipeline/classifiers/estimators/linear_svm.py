"""A linear SVM for many rows and features: all classes at once, by products of matrices."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from pipeline.classifiers.estimators.linear_solver import solve

_CURVATURE = 0.5  # 2, times the share of rows within a margin


class LinearSVM(LinearClassifierMixin, BaseEstimator):
    """One class against the rest, squared hinge loss, L2 penalty: LinearSVC's objective.

    For each class, with y of -1 and 1, it minimizes

        0.5 ||w||^2 + C sum_i max(0, 1 - y_i (w x_i + b))^2

    in the primal (O. Chapelle, "Training a support vector machine in the primal", Neural
    Computation 19, 2007). Unlike liblinear it does not penalize b, keeps float32 data in float32,
    and uses every core.

    Args:
        C: weight of the loss; smaller is more regularized.
        tol: where `linear_solver.solve` ends.
        max_iter: its most iterations.
        warm_start: start from the solution of the fit before.

    Attributes:
        classes_: K labels.
        coef_: (K, D), or (1, D) for two classes; X's dtype.
        intercept_: (K,) or (1,).
        n_iter_: how many iterations it took.
    """

    def __init__(self, C=1.0, *, tol=1e-4, max_iter=1000, warm_start=False):  # noqa: N803
        self.C = C
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def fit(self, X, y):  # noqa: N803
        """Learn from X, float32 or float64 (n, D), and y (n,), labels of at least two classes."""
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], order="C")  # noqa: N806
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"LinearSVM needs at least 2 classes, got 1 class: {classes[0]!r}")
        positive = np.arange(len(classes)) if len(classes) > 2 else np.array([1])
        signs = np.where(codes[:, None] == positive, 1, -1).astype(X.dtype)  # (n, K)

        def squared_hinge(scores, rows):
            short = np.maximum(1 - signs[rows] * scores, 0)  # of the margin
            return float(np.square(short, dtype=np.float64).sum()), -2 * short * signs[rows]

        start = self._start((len(positive), X.shape[1]))
        self.coef_, self.intercept_, self.n_iter_ = solve(
            X, squared_hinge, _CURVATURE, 1 / (self.C * len(X)), start, self.tol, self.max_iter
        )
        self.classes_ = classes
        return self

    def _start(self, shape):
        if self.warm_start and getattr(self, "coef_", np.empty(0)).shape == shape:
            return self.coef_.astype(float), self.intercept_.astype(float)
        return np.zeros(shape), np.zeros(shape[0])
