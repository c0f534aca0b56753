"""Preconditioned L-BFGS for linear models of many rows and classes, by matrix products.

CNN features are far from isotropic, so plain L-BFGS takes hundreds of passes over the rows. The
Hessian of a penalized linear model is close to `penalty + curvature * covariance`; in coordinates
in which this matrix is the identity, some dozens of passes are enough (J. Nocedal and S. Wright,
"Numerical Optimization", section 5.1 for preconditioning, section 7.2 for L-BFGS).
"""

import warnings
from collections.abc import Callable

import numpy as np
from scipy.linalg import cholesky, eigh, solve_triangular
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from pipeline.classifiers.blocks import are_read, of_blocks

# A function from the scores of some rows, and which rows they are, to the sum of their losses and
# its gradient with respect to the scores.
Loss = Callable[[np.ndarray, slice], tuple[float, np.ndarray]]

_SAMPLE = 8  # rows for each feature, from which the covariance is estimated
_WIDEST = 4096  # features, up to which a covariance is quickly factorized


class Problem:
    """The training rows of a linear model, and what is computed from them for preconditioning.

    With fewer rows than features, the weights lie in the span of the centred rows. They are
    searched for there: the rows' principal coordinates take the place of the features.

    Args:
        X: float32 or float64 (n, D), in C order, or rows that are read in blocks; it must not
            change afterwards.
    """

    def __init__(self, X: np.ndarray) -> None:  # noqa: N803 # scikit-learn's names
        self.X = X
        self._axes, self._rows = None, X  # rows (n, d) and axes (D, d)
        if are_read(X):
            self._mean, self._spread = _moments(X)
            return
        self._mean = X.mean(axis=0, dtype=np.float64)
        if len(X) < X.shape[1]:
            self._axes, self._rows, self._spread = _principal(X, self._mean)
        elif X.shape[1] > _WIDEST:
            self._spread = X.var(axis=0, dtype=np.float64)
        else:
            self._spread = _covariance(X, self._mean)  # (d, d); above only the diagonal, (d,)

    def solve(
        self,
        loss: Loss,
        curvature: float,
        penalty: float,
        start: tuple[np.ndarray, np.ndarray],
        tol: float,
        max_iter: int,
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Minimize the mean of `loss` plus 0.5 penalty ||W||^2 over weights W and intercepts.

        Args:
            loss: a function that is convex and differentiable in the scores.
            curvature: a rough mean over the rows of its second derivative in a score.
            penalty: the weight of the penalty, above 0.
            start: weights (K, D) and intercepts (K,).
            tol: the solver ends when no entry of the gradient, in the preconditioned coordinates,
                is larger.
            max_iter: the largest number of iterations; reaching it gives a ConvergenceWarning.

        Returns:
            Weights (K, D) and intercepts (K,) of X's dtype, and the number of iterations.
        """
        weights, intercepts = start
        centred = intercepts + weights @ self._mean  # scores at the mean
        if self._axes is None:
            mean = self._mean
        else:
            weights, mean = weights @ self._axes, np.zeros(self._axes.shape[1])
        factor = _factor(self._spread, curvature, penalty)
        weights, centred, iterations = _minimize(
            self._rows, mean, loss, factor, penalty, (weights, centred), tol, max_iter
        )
        if self._axes is not None:
            weights = weights @ self._axes.T
        intercepts, dtype = centred - weights @ self._mean, self.X.dtype
        return weights.astype(dtype, order="C"), intercepts.astype(dtype), iterations


def _minimize(X, mean, loss, factor, penalty, start, tol, max_iter):  # noqa: N803
    """Return weights (K, d), scores at the mean (K,), both float64, and the iterations."""
    weights, centred = start
    outputs = len(centred)

    def unfold(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        table = flat.reshape(outputs, -1)  # the last column: scores at the mean
        return _over(factor, table[:, :-1], "T"), table[:, -1]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, centred = unfold(flat)
        total, gradient, sums = _pass(X, loss, weights, centred - weights @ mean)
        gradient += penalty * weights - np.outer(sums, mean)
        value = total + 0.5 * penalty * np.square(weights).sum()
        return value, np.column_stack([_over(factor, gradient, "N"), sums]).ravel()

    scaled = weights @ factor if factor.ndim == 2 else weights * factor
    flat = np.column_stack([scaled, centred]).ravel()
    options = {"maxiter": max_iter, "gtol": tol, "ftol": np.finfo(float).eps, "maxls": 50}
    result = minimize(objective, flat, method="L-BFGS-B", jac=True, options=options)
    if result.status == 1:
        message = f"no convergence in {max_iter} iterations; raise max_iter or tol"
        warnings.warn(message, ConvergenceWarning, stacklevel=4)
    return *unfold(result.x), max(1, result.nit)


def _principal(X, mean):  # noqa: N803
    """Return principal axes (D, d), the rows' coordinates on them (n, d), and variances (d,)."""
    centred = X - mean.astype(X.dtype)
    values, vectors = eigh((centred @ centred.T).astype(np.float64))
    kept = values > values[-1] * len(X) * np.finfo(X.dtype).eps if values[-1] > 0 else [-1]
    lengths = np.sqrt(np.maximum(values[kept], np.finfo(float).tiny))
    axes = (centred.T @ (vectors[:, kept] / lengths).astype(X.dtype)).astype(np.float64)
    return axes, (vectors[:, kept] * lengths).astype(X.dtype), values[kept] / len(X)


def _covariance(X, mean):  # noqa: N803
    """Return the covariance of the features, float64 (D, D), estimated on enough of the rows."""
    rows = X[:: max(1, len(X) // (_SAMPLE * X.shape[1]))] - mean.astype(X.dtype)
    return (rows.T @ rows).astype(np.float64) / len(rows)


def _moments(X):  # noqa: N803
    """Return mean and spread of rows that are read in blocks, as of those in memory."""
    mean = sum(of_blocks(X, lambda _, block: block.sum(axis=0, dtype=np.float64))) / len(X)
    if X.shape[1] > _WIDEST:
        squares = of_blocks(X, lambda _, block: np.square(block - mean).sum(axis=0))
        return mean, sum(squares) / len(X)
    rows = X.subset(np.arange(0, len(X), max(1, len(X) // (_SAMPLE * X.shape[1]))))
    rounded = mean.astype(X.dtype)

    def products(_, block):
        block -= rounded
        return block.T @ block

    return mean, sum(of_blocks(rows, products)).astype(np.float64) / len(rows)


def _factor(spread, curvature, penalty):
    """Return the Cholesky factor of `penalty + curvature * spread`: (d, d), lower, or (d,)."""
    if spread.ndim == 1:
        return np.sqrt(penalty + curvature * spread)
    hessian = curvature * spread
    hessian[np.diag_indices(len(hessian))] += penalty
    return cholesky(hessian, lower=True, overwrite_a=True)


def _over(factor, table, transposed):
    """Solve for the rows of a table (K, d) with the factor, or with its transpose ("T")."""
    if factor.ndim == 1:
        return table / factor
    return solve_triangular(factor, table.T, lower=True, trans=transposed).T


def _pass(X, loss, weights, intercepts):  # noqa: N803
    """Return the mean loss and its gradients in the weights (K, D) and the intercepts (K,)."""
    weights, intercepts = weights.astype(X.dtype), intercepts.astype(X.dtype)
    total, gradient, sums = 0.0, np.zeros(weights.shape), np.zeros(len(weights))

    def of_block(rows, block):
        value, slope = loss(block @ weights.T + intercepts, rows)
        return value, slope.T @ block, slope.sum(axis=0, dtype=np.float64)

    for value, product, column in of_blocks(X, of_block):
        total += value
        gradient += product
        sums += column
    return total / len(X), gradient / len(X), sums / len(X)
