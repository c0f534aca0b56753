"""The class that a candidate decides for: the most probable one, or by a threshold of two classes.

A threshold is chosen on validation, from probabilities that are calibrated by the record's
temperature, for the metric by which the candidate was chosen. `Record.threshold` keeps

    class    the rarer class: predicted where its calibrated probability is at least
    value    the threshold, 0 to 1
    metric   for which it was chosen
    score    the metric on validation, by thresholds of other images; the mean over repeats
    usual    the same where the more probable class is predicted

New images are judged by that threshold. The images that validate are judged by thresholds of others
(`statistics.threshold.cross_fitted`), as it is one more setting that is chosen on them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.results.records import Record
from pipeline.statistics import calibration, metrics, precision_recall, threshold


def choose(
    record: Record, labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray
) -> dict[str, Any]:
    """Return the threshold of a candidate for two classes, as `Record.threshold` keeps it.

    Args:
        record: the candidate's.
        labels: int (n,), of the images that validate.
        probabilities: float32 (R, n, 2), of R repeats.
        groups: int (n,), at least two.
    """
    rarer = precision_recall.rarest(labels)
    own, metric = _calibrated(record, probabilities)[:, :, rarer], record.metric
    every = np.tile(labels == rarer, len(own)).astype(np.int64)
    found = {
        "class": record.class_names[rarer],
        "value": threshold.choose(metric, every, own.ravel()).value,
        "metric": metric,
    }
    usual, score = (
        np.mean([metrics.of_labels(labels, given, 2)[metric] for given in predicted])
        for predicted in (
            probabilities.argmax(axis=2),
            _cross_fitted(record, metric, rarer, labels, probabilities, groups),
        )
    )
    return found | {"score": float(score), "usual": float(usual)}


def decide(
    kept: dict[str, Any], class_names: Sequence[str], probabilities: np.ndarray, temperature: float
) -> np.ndarray:
    """Return the class of each new image, by number, int64 (n,).

    Args:
        kept: `Record.threshold`.
        class_names: K names.
        probabilities: float32 (n, K), as the model gives them.
        temperature: the record's.
    """
    if not kept:
        return probabilities.argmax(axis=1)
    rarer = class_names.index(kept["class"])
    own = calibration.apply(probabilities, temperature)[:, rarer]
    return np.where(threshold.apply(own, kept["value"]), rarer, 1 - rarer)


def deciding(
    record: Record, labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Return probabilities whose highest is the class that the candidate decides for.

    Without a threshold they are those given, else 1 for that class.

    Args:
        record: the candidate's.
        labels: int (n,), of the images that validate.
        probabilities: float32 (R, n, K), of R repeats.
        groups: int (n,).
    """
    if not (kept := record.threshold):
        return probabilities
    rarer = record.class_names.index(kept["class"])
    predicted = _cross_fitted(record, kept["metric"], rarer, labels, probabilities, groups)
    return np.eye(2, dtype=np.float32)[predicted]


def _cross_fitted(
    record: Record, metric: str, rarer: int, labels: np.ndarray, probabilities: np.ndarray,
    groups: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Return the classes of the images that validate by thresholds of others, int64 (R, n)."""
    own, truth = _calibrated(record, probabilities)[:, :, rarer], (labels == rarer).astype(np.int64)
    is_rarer = threshold.cross_fitted(metric, truth, own, groups, record.seed)
    return np.where(is_rarer, rarer, 1 - rarer)


def _calibrated(record: Record, probabilities: np.ndarray) -> np.ndarray:
    """Return probabilities of repeats at the record's temperature, float32 (R, n, K)."""
    return np.stack([calibration.apply(given, record.temperature) for given in probabilities])
