"""Principal components of a matrix that need not fit in memory."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_VALUES = 2**23  # feature values in memory at a time, 32 MiB
_MORE = 10  # directions beyond those that are returned (oversampling)
_ROUNDS = 5  # passes through the matrix


class Components(NamedTuple):
    """Scores float32 (N, d), the largest variance first, and how other rows get theirs.

    Attributes:
        scores: of the rows that they were learned from.
        share: of the variance, that they hold.
        mean: of the rows, float32 (D,).
        axes: float32 (D, d).
    """

    scores: np.ndarray
    share: float
    mean: np.ndarray
    axes: np.ndarray

    def of(self, x: np.ndarray) -> np.ndarray:
        """Return the scores of other rows, float32 (m, d)."""
        return (x - self.mean) @ self.axes


def blocks(x: np.ndarray) -> Iterator[slice]:
    """Yield consecutive rows of a matrix (N, D), about 32 MiB at a time."""
    rows = max(1, _VALUES // x.shape[1])
    return (slice(start, start + rows) for start in range(0, len(x), rows))


def centre(x: np.ndarray) -> np.ndarray:
    """Return the mean of the rows, float32 (D,)."""
    total = sum(x[rows].sum(axis=0, dtype=np.float64) for rows in blocks(x))
    return (total / len(x)).astype(np.float32)


def principal(x: np.ndarray, count: int, seed: int) -> Components:
    """Return the first principal components by randomized subspace iteration.

    N. Halko, P.-G. Martinsson and J. Tropp, Finding structure with randomness, SIAM Review 53
    (2011), algorithm 4.4. Nothing is scaled: features of large variance weigh more, as they do in
    distances between the features. The number of cores makes no difference.

    Args:
        x: float32 (N, D), finite; may be a memory map.
        count: the number of components; N - 1 and D bound it.
        seed: the seed of the directions that the iteration starts from.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(
        1, "blas"
    ):  # several threads round differently, and t-SNE amplifies that
        return _principal(x, count, seed)


def _principal(x: np.ndarray, count: int, seed: int) -> Components:
    mean, wanted = centre(x), min(count, len(x) - 1, x.shape[1])
    width = min(wanted + _MORE, *x.shape)
    axes = np.random.default_rng(seed).normal(size=(x.shape[1], width)).astype(np.float32)
    for _ in range(_ROUNDS):
        axes = np.linalg.qr(_times_covariance(x, mean, axes))[0].astype(np.float32)
    scores, squares = np.empty((len(x), width), np.float32), 0.0
    for rows in blocks(x):
        centred = x[rows] - mean
        scores[rows] = centred @ axes
        squares += float(np.einsum("nd,nd->", centred, centred, dtype=np.float64))
    scores64 = scores.astype(np.float64)
    variances, turn = np.linalg.eigh(scores64.T @ scores64)
    turn = turn[:, ::-1][:, :wanted]
    turn *= np.where(_skewed_left(scores64 @ turn), -1, 1)
    held = variances[::-1][:wanted].sum()
    share = float(held / squares) if squares else 1.0
    return Components(
        (scores64 @ turn).astype(np.float32), share, mean, (axes @ turn).astype(np.float32)
    )


def _times_covariance(x: np.ndarray, mean: np.ndarray, axes: np.ndarray) -> np.ndarray:
    product = np.zeros(axes.shape, np.float64)
    for rows in blocks(x):
        centred = x[rows] - mean
        product += centred.T @ (centred @ axes)
    return product


def _skewed_left(scores: np.ndarray) -> np.ndarray:
    """Return whether the sign of each component must change, so that it is not left to chance."""
    return (scores**3).sum(axis=0) < 0
