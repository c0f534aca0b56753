"""Intervals by the bootstrap: images are drawn with replacement many times.

All candidates of a comparison get the same resamples, so that their intervals can be compared
(paired bootstrap; Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13:
percentile intervals).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.statistics import metrics

BLOCK_BYTES = 2**23  # of weights in memory at a time: more would not fit the processor's cache
# Weights that the ranking of one candidate by all classes may touch. Beyond it, ROC AUC gets
# fewer resamples, but never fewer than that: with 1,000 classes it alone would take an hour.
RANKED, FEWEST = 2 * 10**9, 100

Statistics = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Estimate:
    """A metric and the bounds of its interval."""

    value: float
    low: float
    high: float


def estimates(
    labels: np.ndarray,
    probabilities: np.ndarray,
    calibrated: np.ndarray,
    kept: np.ndarray,
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, Estimate]:
    """Return every metric of one candidate with its interval; equal seeds give equal resamples.

    Args:
        labels: int (n,).
        probabilities: float (n, K), as the candidate gave them; or (R, n, K) of R repeats of
            cross-validation, each measured by itself: values are means over them.
        calibrated: the same after temperature scaling.
        kept: bool (n,): images without a near-duplicate among those learned from; they alone
            count in "accuracy_without_twins", which is left out where there are none.
        resamples: the number of resamples, at least 1.
        confidence: the confidence level of the intervals, above 0 and below 1.
        seed: the seed of the resamples.

    Returns:
        Estimates by name: METRICS, "accuracy_without_twins", "log_loss", "roc_auc",
        "calibration_error", "calibrated_log_loss" and "calibrated_calibration_error".
    """
    images, classes = probabilities.shape[-2:]
    pairs = list(
        zip(
            probabilities.reshape(-1, images, classes),
            calibrated.reshape(-1, images, classes),
            strict=True,
        )
    )

    def quick(weights: np.ndarray) -> dict[str, np.ndarray]:
        return _mean([_quick(labels, *pair, kept, weights) for pair in pairs])

    def ranked(weights: np.ndarray) -> dict[str, np.ndarray]:
        return _mean([{"roc_auc": metrics.roc_auc(labels, p, weights)} for p, _ in pairs])

    fewer = min(resamples, max(FEWEST, RANKED // (images * classes)))
    return intervals(quick, images, resamples, confidence, seed) | intervals(
        ranked, images, fewer, confidence, seed
    )


def _mean(repeats: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.mean([values[name] for values in repeats], axis=0) for name in repeats[0]}


def _quick(
    labels: np.ndarray,
    probabilities: np.ndarray,
    calibrated: np.ndarray,
    kept: np.ndarray,
    weights: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return the metrics that take little time, of one repeat."""
    predicted = probabilities.argmax(axis=1)
    values = metrics.of_labels(labels, predicted, probabilities.shape[1], weights)
    if kept.any():
        hits, total = (labels == predicted)[kept].astype(float), weights[kept].sum(axis=0)
        values["accuracy_without_twins"] = hits @ weights[kept] / np.maximum(total, 1)
    for prefix, p in (("", probabilities), ("calibrated_", calibrated)):
        values[f"{prefix}log_loss"] = metrics.log_loss(labels, p, weights)
        values[f"{prefix}calibration_error"] = metrics.calibration_error(labels, p, weights)
    return values


def intervals(
    statistics: Statistics, images: int, resamples: int, confidence: float, seed: int
) -> dict[str, Estimate]:
    """Return the statistics of n images, and percentile intervals.

    Args:
        statistics: returns values by name, () or (R,), for weights (n,) or (n, R).
        images: n.
        resamples: the number of resamples.
        confidence: the confidence level of the intervals.
        seed: the seed of the resamples.
    """
    drawn = [statistics(weights) for weights in draw(images, resamples, seed)]
    tail = (1 - confidence) / 2
    estimates = {}
    for name, value in statistics(np.ones(images)).items():
        low, high = np.quantile(_joined(drawn, name), (tail, 1 - tail))
        estimates[name] = Estimate(float(value), float(low), float(high))
    return estimates


def _joined(drawn: Sequence[dict[str, np.ndarray]], name: str) -> np.ndarray:
    return np.concatenate([values[name] for values in drawn])


def draw(images: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the count of each image in each resample: float64 (n, R), R resamples at a time."""
    generator = np.random.default_rng(seed)
    step = max(1, BLOCK_BYTES // (8 * images))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        chosen = generator.integers(0, images, (count, images))
        chosen += np.arange(count)[:, None] * images
        flat = np.bincount(chosen.ravel(), minlength=count * images)
        yield np.ascontiguousarray(flat.reshape(count, images).T, np.float64)
