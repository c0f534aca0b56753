"""The metrics that candidates can be ranked by: their values, and each image's influence on them.

The influence of an image is the derivative of the metric with respect to the image's weight. It
makes any metric a sum over images near its value, so that the variances, covariances and tests
of sums hold for it (the delta method; B. Efron, "The jackknife, the bootstrap and other resampling
plans", 1982, chapter 6: the infinitesimal jackknife).
"""

import numpy as np

from pipeline.statistics import metrics, precision_recall

RANKING_METRICS = (*metrics.METRICS, "roc_auc", "average_precision", "log_loss")
LOWER_IS_BETTER = ("log_loss",)
# Metrics that count each class by itself: their resamples are drawn within classes.
CLASS_WISE = ("balanced_accuracy", "macro_f1", "roc_auc", "average_precision")


def score(
    metric: str, labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return a metric of one candidate.

    Average precision is that of the rarest class where there are two classes, else the mean over
    the classes that occur, each against the rest.

    Args:
        metric: one of RANKING_METRICS.
        labels: int (n,).
        probabilities: float (n, K).
        weights: float (n,) or (n, R), how much each image counts; the value then has shape () or
            (R,). None counts each image once.
    """
    if metric in metrics.METRICS:
        predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
        return metrics.of_labels(labels, predicted, classes, weights)[metric]
    if metric == "roc_auc":
        return metrics.roc_auc(labels, probabilities, weights)
    if metric == "log_loss":
        return metrics.log_loss(labels, probabilities, weights)
    values = [
        precision_recall.average_precision(labels == label, probabilities[:, label], weights)
        for label in _sought(labels, probabilities.shape[1])
    ]
    return np.mean(values, axis=0)


def goodness(metric: str, values: np.ndarray) -> np.ndarray:
    """Return values of a metric so that higher is better: the negative of a loss."""
    return -values if metric in LOWER_IS_BETTER else values


def chance(metric: str, labels: np.ndarray, classes: int) -> float:
    """Return the best score that class frequencies alone can have, without a look at the images.

    It is the share of the largest class for accuracy, 1 / K for balanced accuracy and for macro F1
    (guessing each class as often as it occurs, which no other rate of guesses betters), 0.5 for the
    ROC AUC, the entropy of the frequencies for the log loss, and for average precision what a
    random order has (Y. Bestgen, "Exact expected average precision of the random baseline for
    system evaluation", Prague Bulletin of Mathematical Linguistics 103, 2015).
    """
    sizes = np.bincount(labels, minlength=classes)
    sizes, total = sizes[sizes > 0], len(labels)
    if metric == "accuracy":
        return float(sizes.max() / total)
    if metric == "roc_auc":
        return 0.5
    if metric == "log_loss":
        return float(-(sizes / total) @ np.log(sizes / total))
    if metric == "average_precision":
        sought = np.array([np.sum(labels == label) for label in _sought(labels, classes)])
        harmonic = (1 / np.arange(1, total + 1)).sum()
        ordered = harmonic + (sought - 1) / max(total - 1, 1) * (total - harmonic)
        return float(np.mean(ordered / total))
    return 1 / len(sizes)


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
    sought = _sought(labels, probabilities.shape[1], both=metric == "roc_auc")
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


def _sought(labels: np.ndarray, classes: int, both: bool = False) -> list[int]:
    """Return the classes that are looked for, each against the rest."""
    if classes == 2 and not both:
        return [precision_recall.rarest(labels)]
    sizes = np.bincount(labels, minlength=classes)
    return np.flatnonzero((sizes > 0) & (sizes < len(labels) + (not both))).tolist()


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
