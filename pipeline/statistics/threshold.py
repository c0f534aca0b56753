"""The decision threshold between two classes, chosen for a metric on validation."""

from dataclasses import dataclass

import numpy as np

from pipeline.statistics import metrics
from pipeline.statistics.metrics import Counts

USUAL = 0.5  # where the more probable class is predicted
# Of 200 images, ten of them positive, balanced accuracy comes out 7 points too high on the images
# that chose the threshold, 1.4 too low by two halves, which choose badly, and 0.3 by five folds.
FOLDS = 5


@dataclass(frozen=True)
class Threshold:
    """A decision threshold.

    Attributes:
        value: class 1 is predicted where its probability is at least this, 0 to 1.
        score: the metric at it, on the images that it was chosen on: too good a promise for
            new images, unless it is the usual one.
        usual: the metric at 0.5 on the same images.
    """

    value: float
    score: float
    usual: float


def choose(metric: str, labels: np.ndarray, probabilities: np.ndarray) -> Threshold:
    """Return the threshold with the best score; of equals the one nearest to 0.5.

    A threshold lies half-way between two probabilities that occur, so that the next image does not
    fall on it, or at 0.5 where that is as good.

    Args:
        metric: one of `metrics.METRICS`.
        labels: int (n,), 0 or 1.
        probabilities: float (n,), of class 1.
    """
    candidates = _candidates(probabilities)
    scores = _scores(metric, labels, probabilities, candidates)
    usual = float(scores[candidates == USUAL][0])
    best = candidates[scores >= scores.max() - _EQUAL]
    value = float(best[np.abs(best - USUAL).argmin()])
    return Threshold(value, float(scores.max()), usual)


def cross_fitted(
    metric: str, labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, seed: int
) -> np.ndarray:
    """Return classes predicted by thresholds of other images, int64 (R, n).

    Each fold of the groups gets the threshold of the other folds, so that what is measured on these
    predictions is not better than a chosen threshold will be on new images.

    Args:
        metric: one of `metrics.METRICS`.
        labels: int (n,), 0 or 1.
        probabilities: float (R, n), of class 1, in R repeats of cross-validation.
        groups: int (n,), at least two.
        seed: of the folds.
    """
    folds = _folds(labels, groups, seed)
    predicted = np.empty(probabilities.shape, np.int64)
    for fold in np.unique(folds):
        own = folds == fold
        others = np.tile(labels[~own], len(probabilities)), probabilities[:, ~own].ravel()
        predicted[:, own] = apply(probabilities[:, own], choose(metric, *others).value)
    return predicted


def apply(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Return the predicted classes, int64, 0 or 1, of probabilities of class 1."""
    return (probabilities >= threshold).astype(np.int64)


_EQUAL = 1e-12  # scores this near to each other differ by rounding alone


def _folds(labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Return a fold for each image, int64 (n,): groups whole, those with class 1 spread evenly."""
    names, numbers = np.unique(groups, return_inverse=True)
    ones = np.bincount(numbers, labels, len(names)) > 0
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(ones[order], kind="stable")]
    folds = np.empty(len(names), np.int64)
    folds[order] = np.arange(len(names)) % FOLDS
    return folds[numbers]


def _candidates(probabilities: np.ndarray) -> np.ndarray:
    """Return all thresholds that part the images differently, and the usual one."""
    levels = np.unique(probabilities.astype(np.float64))
    between = (levels[:-1] + levels[1:]) / 2
    return np.unique(np.concatenate([[0.0, USUAL, 1.0], between]))


def _scores(
    metric: str, labels: np.ndarray, probabilities: np.ndarray, candidates: np.ndarray
) -> np.ndarray:
    """Return the metric at each threshold, float64 (T,)."""
    ones, total = int((labels == 1).sum()), len(labels)
    called = total - np.searchsorted(np.sort(probabilities), candidates)
    right = ones - np.searchsorted(np.sort(probabilities[labels == 1]), candidates)
    hits = np.stack([total - ones - (called - right), right])
    support = np.broadcast_to([[total - ones], [ones]], hits.shape)
    predicted = np.stack([total - called, called])
    return metrics.of_counts(Counts(hits, support, predicted))[metric]
