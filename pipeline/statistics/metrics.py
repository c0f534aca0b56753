"""Metrics of predicted labels and probabilities, and the classes that are confused.

Every metric takes weights of the images, so that the bootstrap computes many resamples at once:
`weights` holds the count of each image, (n,), or a column for each resample, (n, R); the value
then has shape () or (R,). None counts each image once. Classes are the columns of probabilities.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# A probability of 0 for the true class would give an infinite loss; this one gives 27.6.
SMALLEST = 1e-12
BINS = 15  # of the top probability, as in Guo et al. 2017, section 3


@dataclass(frozen=True)
class Counts:
    """For each class, (K,) or (K, R): right predictions, images, and predictions."""

    hits: np.ndarray
    support: np.ndarray
    predicted: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        """Share of the predictions that are right; 0 for a class that is never predicted."""
        return self.hits / np.maximum(self.predicted, 1)

    @property
    def recall(self) -> np.ndarray:
        """Share of the images that are found; 0 for a class without images."""
        return self.hits / np.maximum(self.support, 1)

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall; 0 where both are 0."""
        return 2 * self.hits / np.maximum(self.support + self.predicted, 1)


def _accuracy(counts: Counts) -> np.ndarray:
    return counts.hits.sum(axis=0) / counts.support.sum(axis=0)


def _balanced_accuracy(counts: Counts) -> np.ndarray:
    return counts.recall.sum(axis=0) / (counts.support > 0).sum(axis=0)


def _macro_f1(counts: Counts) -> np.ndarray:
    occurring = (counts.support + counts.predicted > 0).sum(axis=0)
    return counts.f1.sum(axis=0) / occurring


_OF_LABELS: dict[str, Callable[[Counts], np.ndarray]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,  # mean recall of the classes that occur
    "macro_f1": _macro_f1,  # mean F1 of the classes that occur or are predicted
}


METRICS = tuple(_OF_LABELS)  # those of predicted classes


def of_labels(
    labels: np.ndarray, predicted: np.ndarray, classes: int, weights: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return each of METRICS, 0 to 1, of predicted labels."""
    return of_counts(counts(labels, predicted, classes, weights))


def of_counts(counts: Counts) -> dict[str, np.ndarray]:
    """Return each of METRICS, 0 to 1, of counts by class."""
    return {name: rate(counts) for name, rate in _OF_LABELS.items()}


def counts(
    labels: np.ndarray, predicted: np.ndarray, classes: int, weights: np.ndarray | None = None
) -> Counts:
    """Count hits, images and predictions of each class."""
    weights = _weights(weights, len(labels))
    hits = labels == predicted
    return Counts(
        _sums(np.where(hits, labels, classes), classes + 1, weights)[:classes],
        _sums(labels, classes, weights),
        _sums(predicted, classes, weights),
    )


def log_loss(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the mean negative log probability of the true class, from 0; lower is better."""
    weights = _weights(weights, len(labels))
    true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.clip(true, SMALLEST, 1)) @ weights / weights.sum(axis=0)


def roc_auc(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the area under the ROC curve of each class against the rest, averaged; 0.5 is chance.

    Classes of all images or of none do not count; 0.5 where no other class is left.
    """
    weights = _weights(weights, len(labels))
    total, classes = np.zeros(weights.shape[1:]), np.zeros(weights.shape[1:])
    for label in np.unique(labels):
        area, possible = _area(labels == label, probabilities[:, label], weights)
        total += area / np.maximum(possible, 1)
        classes += possible > 0
    return np.where(classes > 0, total / np.maximum(classes, 1), 0.5)


def _area(
    positive: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of a positive and a negative that are in order, ties by half; and all pairs.

    Negatives are counted at the distinct scores of positives and between them: the score number t,
    from 0, is place 2 t + 1, and the interval below it is place 2 t.
    """
    levels = np.unique(scores[positive])
    places = 2 * np.searchsorted(levels, scores)
    places += np.isin(scores, levels)
    places[positive] += 2 * len(levels) + 1
    sums = _sums(places, 4 * len(levels) + 1, weights)
    below = np.cumsum(sums[: 2 * len(levels) + 1], axis=0)
    positives = sums[2 * len(levels) + 2 :: 2]
    ordered = (positives * (below[:-1:2] + below[1::2])).sum(axis=0) / 2
    return ordered, positives.sum(axis=0) * below[-1]


def calibration_error(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the expected calibration error, 0 to 1; lower is better.

    It is the mean distance between confidence (the top probability) and accuracy, over bins of
    equal width (Guo et al., "On calibration of modern neural networks", 2017, section 2).
    """
    weights = _weights(weights, len(labels))
    top, right, bins = _binned(labels, probabilities)
    distances = np.abs(_sums(bins, BINS, weights, top - right))
    return distances.sum(axis=0) / weights.sum(axis=0)


@dataclass(frozen=True)
class Reliability:
    """For each bin of the top probability, (BINS,): images, their confidence, their accuracy.

    `sureness` is the mean top probability, `accuracy` the share of right predictions, both 0 to 1,
    and 0 where a bin is empty.
    """

    images: np.ndarray
    sureness: np.ndarray
    accuracy: np.ndarray


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> Reliability:
    """Return the bins of a reliability diagram, which `calibration_error` sums up."""
    top, right, bins = _binned(labels, probabilities)
    images = np.bincount(bins, minlength=BINS)
    means = (np.bincount(bins, values, BINS) / np.maximum(images, 1) for values in (top, right))
    return Reliability(images, *means)


def _binned(
    labels: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the top probability of each image, whether its prediction is right, and its bin."""
    top = probabilities.max(axis=1).astype(np.float64)
    bins = np.clip(np.ceil(top * BINS).astype(int) - 1, 0, BINS - 1)
    return top, labels == probabilities.argmax(axis=1), bins


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return the images of each true class (row) by predicted class (column): int64 (K, K)."""
    flat = np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes**2)
    return flat.reshape(classes, classes)


def per_class(confusion: np.ndarray, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return precision, recall, F1 (0 to 1) and images of each class."""
    hits, support, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    totals = Counts(hits, support, predicted)
    columns = zip(class_names, totals.precision, totals.recall, totals.f1, support, strict=True)
    return [
        {"class": name, "precision": round(float(precision), 6), "recall": round(float(recall), 6),
         "f1": round(float(f1), 6), "images": int(images)}
        for name, precision, recall, f1, images in columns
    ]  # fmt: skip


def confused_pairs(matrix: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    """Return the most frequent mistakes: true class, predicted class, images; at most `most`."""
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [(int(a), int(b), int(wrong[a, b])) for a, b in pairs if wrong[a, b]]


def _weights(weights: np.ndarray | None, images: int) -> np.ndarray:
    return np.ones(images) if weights is None else weights


def _sums(
    groups: np.ndarray, count: int, weights: np.ndarray, values: np.ndarray | None = None
) -> np.ndarray:
    """Return the sum of weights, or of values by weights, in each group: (count,) or (count, R)."""
    if weights.ndim == 1:
        return np.bincount(groups, weights if values is None else values * weights, count)
    from scipy.sparse import csr_array

    values = np.ones(len(groups)) if values is None else values
    # The transposed matrix has one entry a row, so that its rows need no sorting.
    members = csr_array((values, groups, np.arange(len(groups) + 1)), (len(groups), count))
    return members.T.tocsr() @ weights
