"""Precision and recall of a class that is looked for among others, and of the rarest class."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Curve:
    """Precision and recall when the images of at least some score are called positive.

    Attributes:
        thresholds: float64 (T,), the scores that occur, falling.
        precision: float64 (T,), 0 to 1.
        recall: float64 (T,), 0 to 1, rising to 1.
    """

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


def curve(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> Curve:
    """Return the precision-recall curve.

    Args:
        positive: bool (n,), the images of the class that is looked for, at least one.
        scores: float (n,), higher where the image looks more like that class.
        weights: float (n,), how much each image counts; None counts each once.
    """
    order, ends = _levels(scores)
    weights = np.ones(len(scores)) if weights is None else weights
    hits = np.cumsum(weights[order] * positive[order])[ends]
    called = np.cumsum(weights[order])[ends]
    return Curve(scores[order][ends], hits / np.maximum(called, _LEAST), hits / hits[-1])


def average_precision(
    positive: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the mean, over the positive images, of the precision at their score, 0 to 1.

    This is the area under the precision-recall curve by steps, as scikit-learn has it; chance is
    the share of positive images.

    Args:
        positive: bool (n,).
        scores: float (n,).
        weights: float (n,) or (n, R); the value then has shape () or (R,). 0 where a resample has
            no positive image.
    """
    order, ends = _levels(scores)
    weights = np.ones(len(scores)) if weights is None else weights
    drawn = weights[order]
    hits = np.cumsum(drawn * _column(positive[order], drawn), axis=0)[ends]
    called = np.cumsum(drawn, axis=0)[ends]
    gained = np.diff(hits, axis=0, prepend=0)
    return (gained * hits / np.maximum(called, _LEAST)).sum(axis=0) / np.maximum(hits[-1], _LEAST)


def rarest(labels: np.ndarray) -> int:
    """Return the class with the fewest images, of those that occur; of equals the last.

    With two classes of equal size that is class 1, which scikit-learn calls positive.
    """
    sizes = np.bincount(labels)
    occurring = np.flatnonzero(sizes)
    return int(occurring[::-1][sizes[occurring][::-1].argmin()])


def rarest_recall(
    labels: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the share of the rarest class's images that are found, 0 to 1.

    Args:
        labels: int (n,).
        predicted: int (n,).
        weights: float (n,) or (n, R); the value then has shape () or (R,).
    """
    weights = np.ones(len(labels)) if weights is None else weights
    own = labels == rarest(labels)
    hits = (predicted[own] == labels[own]).astype(np.float64)
    return hits @ weights[own] / np.maximum(weights[own].sum(axis=0), _LEAST)


_LEAST = 1e-300  # instead of a division by 0, where nothing is counted


def _levels(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of falling scores, and the last place in it of each score that occurs."""
    order = np.argsort(-scores, kind="stable")
    return order, np.flatnonzero(np.diff(scores[order], append=-np.inf))


def _column(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    return values[:, None] if like.ndim == 2 else values
