"""Linear models of many rows and classes: L-BFGS on products of matrices, preconditioned.

CNN features are far from isotropic, so that plain L-BFGS takes hundreds of passes over the rows.
The Hessian of a penalized linear model is near `penalty + curvature * covariance`; in coordinates
in which this matrix is the identity, some dozens of passes do (J. Nocedal and S. Wright,
"Numerical Optimization", section 5.1, preconditioning; L-BFGS is section 7.2).
"""

import warnings
from collections.abc import Callable

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import gen_batches

# Scores of some rows, and which rows -> their summed loss, and its derivative by the scores.
Loss = Callable[[np.ndarray, slice], tuple[float, np.ndarray]]

_BLOCK_BYTES = 2**22  # of rows at a time: they stay in the cache between their two products
_SAMPLE = 8  # rows a feature from which the covariance is estimated
_WIDEST = 4096  # features, of which a covariance is small and soon factorized


def solve(
    X: np.ndarray,  # noqa: N803 # scikit-learn's names
    loss: Loss,
    curvature: float,
    penalty: float,
    start: tuple[np.ndarray, np.ndarray],
    tol: float,
    max_iter: int,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Minimize the mean of `loss` plus 0.5 penalty ||W||^2 over weights W and intercepts.

    Args:
        X: float32 or float64 (n, D), in C order.
        loss: convex and differentiable in the scores.
        curvature: its second derivative by a score, roughly, averaged over rows.
        penalty: above 0.
        start: weights (K, D) and intercepts (K,).
        tol: it ends when no entry of the gradient, in the coordinates used, is larger.
        max_iter: most iterations; reaching them gives a ConvergenceWarning.

    Returns:
        Weights (K, D) and intercepts (K,) of X's dtype, and how many iterations it took.
    """
    mean = X.mean(axis=0, dtype=np.float64)
    factor = _factor(X, mean, curvature, penalty)  # (D, D), lower: factor factor' ~ Hessian
    weights, intercepts = start
    outputs = len(intercepts)

    def unfold(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        table = flat.reshape(outputs, -1)
        weights = solve_triangular(factor, table[:, :-1].T, lower=True, trans="T").T
        return weights, table[:, -1] - weights @ mean  # the last column: scores at the mean

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, intercepts = unfold(flat)
        total, gradient, sums = _pass(X, loss, weights, intercepts)
        gradient += penalty * weights - np.outer(sums, mean)
        gradient = solve_triangular(factor, gradient.T, lower=True).T
        value = total + 0.5 * penalty * np.square(weights).sum()
        return value, np.column_stack([gradient, sums]).ravel()

    flat = np.column_stack([weights @ factor, intercepts + weights @ mean]).ravel()
    options = {"maxiter": max_iter, "gtol": tol, "ftol": np.finfo(float).eps, "maxls": 50}
    found = minimize(objective, flat, method="L-BFGS-B", jac=True, options=options)
    if found.status == 1:
        message = f"no convergence in {max_iter} iterations; raise max_iter or tol"
        warnings.warn(message, ConvergenceWarning, stacklevel=3)
    weights, intercepts = unfold(found.x)
    return weights.astype(X.dtype, order="C"), intercepts.astype(X.dtype), max(1, found.nit)


def _factor(X, mean, curvature, penalty):  # noqa: N803
    """Return the Cholesky factor of `penalty + curvature * covariance`, float64 (D, D)."""
    features = X.shape[1]
    if features > _WIDEST:
        return np.diag(np.sqrt(penalty + curvature * X.var(axis=0)))
    rows = X[:: max(1, len(X) // (_SAMPLE * features))] - mean.astype(X.dtype)
    hessian = (rows.T @ rows).astype(np.float64) * (curvature / len(rows))
    hessian[np.diag_indices(features)] += penalty
    return cholesky(hessian, lower=True)


def _pass(X, loss, weights, intercepts):  # noqa: N803
    """Return mean loss, its gradient by weights (K, D) and by intercepts (K,)."""
    weights, intercepts = weights.astype(X.dtype), intercepts.astype(X.dtype)
    total, gradient, sums = 0.0, np.zeros(weights.shape), np.zeros(len(weights))
    for rows in gen_batches(len(X), max(1, _BLOCK_BYTES // X[0].nbytes)):
        block = X[rows]
        value, pull = loss(block @ weights.T + intercepts, rows)
        total += value
        gradient += pull.T @ block
        sums += pull.sum(axis=0, dtype=np.float64)
    return total / len(X), gradient / len(X), sums / len(X)
