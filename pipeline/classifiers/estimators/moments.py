"""Models that sums over the rows determine: fitted to rows that are read in blocks, exactly.

Ridge regression, linear discriminant analysis and the nearest centroid need the classes' sizes and
means, and the products of features with each other. scikit-learn's own estimators are returned,
with the attributes that their fit to all rows would have given them.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.utils.class_weight import compute_class_weight

from pipeline.classifiers.blocks import Transformed, of_blocks


@dataclass(frozen=True)
class Moments:
    """Sums over rows of K classes, of which each row counts as much as its class's weight.

    Attributes:
        classes: the K labels.
        counts: the rows of each class, (K,).
        sums: the sum of each class's rows, without weights, float64 (K, D).
        squares: the sum of each feature's squares, float64 (D,); 0 where there are products.
        products: of features with each other, weighted, float64 (D, D); (0, 0) where they were
            not asked for.
    """

    classes: np.ndarray
    counts: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    products: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """The mean of each class, float64 (K, D)."""
        return self.sums / self.counts[:, None]


def moments(x: Transformed, y: np.ndarray, weights: np.ndarray | None = None) -> Moments:
    """Return the sums over all rows, which are kept with the rows for the next setting.

    Args:
        x: n rows.
        y: labels (n,).
        weights: of each class, (K,); None asks for no products.
    """
    key = None if weights is None else tuple(weights.tolist())
    if key not in x.kept:
        x.kept[key] = _moments(x, y, weights)
    return x.kept[key]


def _moments(x: Transformed, y: np.ndarray, weights: np.ndarray | None) -> Moments:
    classes, codes = np.unique(y, return_inverse=True)
    width, count = x.shape[1], len(classes)
    sums, squares = np.zeros((count, width)), np.zeros(width)
    products = np.zeros((0, 0) if weights is None else (width, width))

    def of_block(rows: slice, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        own = codes[rows]
        members = (own == np.arange(count)[:, None]).astype(block.dtype)  # (K, b)
        if weights is None:
            return members @ block, np.einsum("nd,nd->d", block, block)
        weighted = block * np.sqrt(weights)[own, None].astype(block.dtype)
        return members @ block, weighted.T @ weighted

    for block_sums, block_squares in of_blocks(x, of_block):
        sums += block_sums
        if weights is None:
            squares += block_squares
        else:
            products += block_squares
    return Moments(classes, np.bincount(codes), sums, squares, products)


def fit_ridge(model: Any, x: Transformed, y: np.ndarray) -> None:
    """Fit a RidgeClassifier; it regresses on indicators of -1 and 1, by centred features."""
    classes, counts = np.unique(y, return_counts=True)
    weights = compute_class_weight(model.class_weight, classes=classes, y=y)  # (K,)
    found = moments(x, y, weights)
    total = float(weights @ counts)
    mean = weights @ found.sums / total
    own = weights[:, None] * found.sums  # (K, D)
    shares = weights * counts / total
    with_targets = 2 * own - own.sum(axis=0) - total * np.outer(2 * shares - 1, mean)
    targets = 2 * shares - 1
    if len(classes) == 2:
        with_targets, targets = with_targets[1:], targets[1:]
    spread = found.products - total * np.outer(mean, mean)
    spread[np.diag_indices(len(spread))] += model.alpha
    coefficients = cho_solve(cho_factor(spread), with_targets.T).T
    _prepare(model, x, y)
    intercepts = targets - coefficients @ mean
    model.coef_ = coefficients.astype(x.dtype).reshape(model.coef_.shape)  # of two classes (D,)
    model.intercept_ = intercepts.astype(x.dtype).reshape(np.shape(model.intercept_))


def fit_lda(model: Any, x: Transformed, y: np.ndarray) -> None:
    """Fit our LinearDiscriminant: shrunk covariance within classes, priors as it says."""
    classes, counts = np.unique(y, return_counts=True)
    balanced = model.class_weight == "balanced"
    priors = np.full(len(classes), 1 / len(classes)) if balanced else counts / len(y)
    found = moments(x, y, priors / counts)
    means, width = found.means, x.shape[1]
    covariance = found.products - (priors[:, None] * means).T @ means
    variance = np.trace(covariance) / width
    covariance *= 1 - model.shrinkage
    covariance[np.diag_indices(width)] += model.shrinkage * variance
    _prepare(model, x, y)
    coefficients = np.zeros_like(means)
    if variance > 0:
        coefficients = cho_solve(cho_factor(covariance), means.T).T
    intercepts = -0.5 * (means * coefficients).sum(axis=1) + np.log(priors)
    if len(classes) == 2:
        coefficients, intercepts = np.diff(coefficients, axis=0), np.diff(intercepts)
    model.priors_, model.means_ = priors.astype(x.dtype), means.astype(x.dtype)
    model.coef_, model.intercept_ = coefficients.astype(x.dtype), intercepts.astype(x.dtype)


def fit_centroids(model: Any, x: Transformed, y: np.ndarray) -> None:
    """Fit a NearestCentroid by Euclidean distance, with shrunken centroids where it says so."""
    found = moments(x, y)
    means, rows, count = found.means, len(x), len(found.classes)
    within = found.squares - found.counts @ np.square(means)
    deviation = np.sqrt(np.maximum(within, 0) / (rows - count))
    centre = found.sums.sum(axis=0) / rows
    scale = np.sqrt(1 / found.counts - 1 / rows)[:, None] * (deviation + np.median(deviation))
    _prepare(model, x, y)
    model.within_class_std_dev_ = deviation
    model.deviations_ = np.divide(means - centre, scale, out=np.zeros_like(means), where=scale > 0)
    model.centroids_ = means
    if model.shrink_threshold:
        sizes = np.maximum(np.abs(model.deviations_) - model.shrink_threshold, 0)
        model.deviations_ = np.sign(model.deviations_) * sizes
        model.centroids_ = centre + scale * model.deviations_


def _prepare(model: Any, x: Transformed, y: np.ndarray) -> None:
    """Fit a model to two rows of each class, so that it has the attributes of a fitted one."""
    order = np.argsort(y, kind="stable")
    _, starts = np.unique(y[order], return_index=True)
    ends = np.append(starts[1:], len(y)) - 1
    rows = np.unique(order[np.concatenate([starts, ends])])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what so few rows lack
        model.fit(x[rows], y[rows])


FITS = {
    "RidgeClassifier": fit_ridge,
    "LinearDiscriminant": fit_lda,
    "NearestCentroid": fit_centroids,
}
