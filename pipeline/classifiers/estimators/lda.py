"""Linear discriminant analysis in time and memory that fit few rows of many features."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.utils import gen_batches

_COLUMNS = 4096  # at a time in float64


class LinearDiscriminant(LinearDiscriminantAnalysis):
    """scikit-learn's `LinearDiscriminantAnalysis` by least squares with a shrunk covariance.

    Where rows are fewer than features, the same solution is found by the products of rows with each
    other: with `Z` the rows less their class's mean, weighted so that `Z.T @ Z` is the covariance
    within classes, `(a I + b Z.T Z)^-1 M` is `(M - Z.T (a / b I + Z Z.T)^-1 Z M) / a` (M. Woodbury,
    "Inverting modified matrices", 1950). The covariance itself, which is stored nowhere then, would
    take features x features values.

    Attributes are those of the base class, without `covariance_`.

    Args:
        shrinkage: the share of the mean variance in the covariance, 0 to 1.
        class_weight: "balanced" takes all classes for equally frequent; None takes them as frequent
            as they are among the rows.
    """

    def __init__(self, shrinkage=0.1, class_weight=None):
        super().__init__(solver="lsqr", shrinkage=shrinkage)
        self.class_weight = class_weight

    def fit(self, X, y):  # noqa: N803
        """Fit to rows (n, D) and their classes (n,); return the estimator."""
        classes = len(np.unique(y))
        self.priors = np.full(classes, 1 / classes) if self.class_weight == "balanced" else None
        return super().fit(X, y)

    def _solve_lstsq(self, X, y, shrinkage, covariance_estimator):  # noqa: N803
        if len(X) >= X.shape[1] or not shrinkage:
            super()._solve_lstsq(X, y, shrinkage, covariance_estimator)
            del self.covariance_  # nothing reads it, and it is most of what a model takes on disk
            return
        codes = np.searchsorted(self.classes_, y)
        counts = np.bincount(codes)
        self.means_ = np.stack([X[codes == code].mean(axis=0) for code in range(len(counts))])
        weights = np.sqrt(self.priors_ / counts)[codes, None]  # (n, 1)
        self.coef_ = _solution(weights * (X - self.means_[codes]), self.means_, shrinkage)
        products = (self.means_ * self.coef_).sum(axis=1)
        self.intercept_ = -0.5 * products + np.log(self.priors_)


def _solution(centred: np.ndarray, means: np.ndarray, shrinkage: float) -> np.ndarray:
    """Return the shrunk covariance's inverse times the means, of their dtype, (K, D).

    Args:
        centred: rows (n, D) whose product `centred.T @ centred` is the covariance.
        means: class means (K, D).
        shrinkage: the share of the mean variance, above 0 to 1.
    """
    rows, features = centred.shape
    gram, products = np.zeros((rows, rows)), np.zeros((rows, len(means)))
    for columns in gen_batches(features, _COLUMNS):
        block = centred[:, columns].astype(np.float64)
        gram += block @ block.T
        products += block @ means[:, columns].T.astype(np.float64)
    added = shrinkage * np.trace(gram) / features  # on the diagonal of the covariance
    if added == 0:  # all rows are equal to their class's mean
        return np.zeros_like(means)
    shrunk = (1 - shrinkage) * gram
    shrunk[np.diag_indices(rows)] += added
    inside = (1 - shrinkage) * cho_solve(cho_factor(shrunk), products)  # (n, K)
    coefficients = np.empty_like(means)
    for columns in gen_batches(features, _COLUMNS):
        block = centred[:, columns].astype(np.float64)
        coefficients[:, columns] = (means[:, columns] - inside.T @ block) / added
    return coefficients
