"""The metrics that candidates can be ranked by, and what chance alone scores by each."""

import numpy as np

from features.errors import unknown_name
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

    Raises:
        UsageError: there is no such metric.
    """
    check(metric)
    if metric in metrics.METRICS:
        predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
        return metrics.of_labels(labels, predicted, classes, weights)[metric]
    if metric == "roc_auc":
        return metrics.roc_auc(labels, probabilities, weights)
    if metric == "log_loss":
        return metrics.log_loss(labels, probabilities, weights)
    values = [
        precision_recall.average_precision(labels == label, probabilities[:, label], weights)
        for label in sought(labels, probabilities.shape[1])
    ]
    return np.mean(values, axis=0)


def check(metric: str) -> None:
    """Raise UsageError where the metric is none of RANKING_METRICS."""
    if metric not in RANKING_METRICS:
        raise unknown_name("metric", metric, list(RANKING_METRICS))


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
        positives = np.array([np.sum(labels == label) for label in sought(labels, classes)])
        harmonic = (1 / np.arange(1, total + 1)).sum()
        ordered = harmonic + (positives - 1) / max(total - 1, 1) * (total - harmonic)
        return float(np.mean(ordered / total))
    return 1 / len(sizes)


def sought(labels: np.ndarray, classes: int, both: bool = False) -> list[int]:
    """Return the classes that are looked for, each against the rest, by number.

    Args:
        labels: int (n,).
        classes: K.
        both: whether with two classes each is looked for; else the rarest is.
    """
    if classes == 2 and not both:
        return [precision_recall.rarest(labels)]
    sizes = np.bincount(labels, minlength=classes)
    return np.flatnonzero((sizes > 0) & (sizes < len(labels) + (not both))).tolist()
