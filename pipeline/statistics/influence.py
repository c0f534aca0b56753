"""Each image's influence on a metric, which makes the metric a sum over images.

The influence of an image is the derivative of the metric with respect to the image's weight. Near
its value any metric moves like the sum of the influences, so that the variances, covariances and
tests of sums hold for it (the delta method; B. Efron, "The jackknife, the bootstrap and other
resampling plans", 1982, chapter 6: the infinitesimal jackknife).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.statistics import metrics, scoring


@dataclass(frozen=True)
class Measured:
    """The scores of m candidates or settings on the same n images.

    Attributes:
        metric: one of `scoring.RANKING_METRICS`.
        scores: float64 (m,).
        influence: float64 (m, n); each row sums to 0.
    """

    metric: str
    scores: np.ndarray
    influence: np.ndarray

    @property
    def goodness(self) -> np.ndarray:
        """The scores so that higher is better, float64 (m,)."""
        return scoring.goodness(self.metric, self.scores)

    def with_others(self, others: Sequence["Measured"]) -> "Measured":
        """Return these and then others, by the same metric on the same images."""
        every = [self, *others]
        return Measured(
            self.metric,
            np.concatenate([one.scores for one in every]),
            np.concatenate([one.influence for one in every]),
        )


def measure(metric: str, labels: np.ndarray, probabilities: Sequence[np.ndarray]) -> Measured:
    """Return the scores of candidates and each image's influence on them.

    Args:
        metric: one of `scoring.RANKING_METRICS`.
        labels: int (n,).
        probabilities: m arrays of the same images in the same order, float (n, K), or (R, n, K)
            for R repeats of cross-validation: each is scored by itself, and scores are averaged.
    """
    measured = [_averaged(metric, labels, given) for given in probabilities]
    scores, rows = zip(*measured, strict=True)
    return Measured(metric, np.array(scores), np.stack(rows))


def measure_labels(
    metric: str, labels: np.ndarray, predicted: Sequence[np.ndarray], classes: int
) -> Measured:
    """Return the same of predicted classes alone, as kept of every setting that was tried.

    Args:
        metric: one of `metrics.METRICS`.
        labels: int (n,).
        predicted: m arrays, int (n,).
        classes: K.
    """
    scores = [float(metrics.of_labels(labels, given, classes)[metric]) for given in predicted]
    rows = [influence_of_labels(metric, labels, given, classes) for given in predicted]
    return Measured(metric, np.array(scores), np.stack(rows))


def _averaged(
    metric: str, labels: np.ndarray, probabilities: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the mean over repeats of the score and of the influence."""
    repeats = probabilities if probabilities.ndim == 3 else probabilities[None]
    scores = [float(scoring.score(metric, labels, given)) for given in repeats]
    influences = [influence(metric, labels, given) for given in repeats]
    return float(np.mean(scores)), np.mean(influences, axis=0)


def influence(metric: str, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return each image's influence on a metric, float64 (n,); they sum to 0.

    Args:
        metric: one of RANKING_METRICS.
        labels: int (n,).
        probabilities: float (n, K).
    """
    if metric in metrics.METRICS:
        predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
        return influence_of_labels(metric, labels, predicted, classes)
    if metric == "log_loss":
        true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
        losses = -np.log(np.clip(true, metrics.SMALLEST, 1))
        return (losses - losses.mean()) / len(labels)
    of_class = _of_area if metric == "roc_auc" else _of_average_precision
    sought = scoring.sought(labels, probabilities.shape[1], both=metric == "roc_auc")
    values = [of_class(labels == label, probabilities[:, label]) for label in sought]
    return np.mean(values, axis=0) if values else np.zeros(len(labels))


def influence_of_labels(
    metric: str, labels: np.ndarray, predicted: np.ndarray, classes: int
) -> np.ndarray:
    """Return the same of metrics of predicted labels, one of `metrics.METRICS`.

    Args:
        metric: its name.
        labels: int (n,).
        predicted: int (n,).
        classes: K.
    """
    counts = metrics.counts(labels, predicted, classes)
    right = (labels == predicted).astype(np.float64)
    if metric == "accuracy":
        return (right - right.mean()) / len(labels)
    if metric == "balanced_accuracy":
        present = (counts.support > 0).sum()
        return (right - counts.recall[labels]) / (counts.support[labels] * present)
    size = np.maximum(counts.support + counts.predicted, 1)
    present = (counts.support + counts.predicted > 0).sum()
    f1 = counts.f1 / size
    return (2 * right / size[labels] - f1[labels] - f1[predicted]) / present


def _of_area(positive: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the influence on the area under the ROC curve (DeLong et al. 1988: placements)."""
    places = np.empty(len(scores))
    for own, sign in ((positive, 1), (~positive, -1)):
        others, mine = np.sort(sign * scores[~own]), sign * scores[own]
        below = np.searchsorted(others, mine) + np.searchsorted(others, mine, "right")
        share = below / (2 * len(others))
        places[own] = (share - share.mean()) / len(mine)
    return places


def _of_average_precision(positive: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the influence on average precision.

    An image changes the precision at its own score and at all lower ones.
    """
    levels, level = np.unique(scores, return_inverse=True)
    hits_at = np.bincount(level, positive, len(levels))
    called_at = np.bincount(level, minlength=len(levels))
    hits, called = np.cumsum(hits_at[::-1])[::-1], np.cumsum(called_at[::-1])[::-1]
    precision, total = hits / called, hits[0]
    if_hit = np.cumsum(hits_at * (called - hits) / called**2)[level]
    if_miss = -np.cumsum(hits_at * hits / called**2)[level]
    average = hits_at @ precision / total
    return np.where(positive, precision[level] - average + if_hit, if_miss) / total
