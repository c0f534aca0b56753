"""Every metric of one candidate with its interval, by groups of images.

Metrics that rank have intervals from each group's influence (`intervals.interval`); calibration
errors, which are no sums over images, have them by resampling groups.
"""

import numpy as np

from pipeline.statistics import intervals, metrics, precision_recall, resampling, scoring
from pipeline.statistics.intervals import Interval

UNEQUAL = 3  # where classes differ by more than this in size, the rarest one is looked at


def estimates(
    labels: np.ndarray,
    probabilities: np.ndarray,
    calibrated: np.ndarray,
    kept: np.ndarray,
    groups: np.ndarray,
    resamples: int,
    confidence: float,
    seed: int,
    deciding: np.ndarray | None = None,
) -> dict[str, Interval]:
    """Return every metric of one candidate with its interval; equal seeds give equal intervals.

    Args:
        labels: int (n,).
        probabilities: float (R, n, K), as the candidate gave them, of R repeats of
            cross-validation, each measured by itself: values are means over them.
        calibrated: the same after temperature scaling.
        kept: bool (n,): images without a near-duplicate among those learned from; they alone
            count in "accuracy_without_twins", which is left out where there are none.
        groups: int (n,), equal for images that are not independent.
        resamples: the number of resamples of calibration errors, at least 1.
        confidence: the confidence level of the intervals, above 0 and below 1.
        seed: the seed of the resamples.
        deciding: float (R, n, K), highest at the class that the candidate decides for, where that
            is not always the most probable one.

    Returns:
        Intervals by name: `scoring.RANKING_METRICS`, "accuracy_without_twins", "rarest_recall"
        (where classes differ by more than `UNEQUAL` in size), "calibration_error",
        "calibrated_log_loss" and "calibrated_calibration_error".
    """

    def of(metric: str, p: np.ndarray, rows: np.ndarray) -> Interval:
        stratify = metric in scoring.CLASS_WISE
        units = resampling.units(groups[rows], labels[rows], stratify)
        return intervals.interval(metric, labels[rows], p[:, rows], units, confidence)

    def errors(weights: np.ndarray) -> dict[str, np.ndarray]:
        pairs = {"calibration_error": probabilities, "calibrated_calibration_error": calibrated}
        return {
            name: np.mean([metrics.calibration_error(labels, p, weights) for p in repeats], axis=0)
            for name, repeats in pairs.items()
        }

    everything = np.ones(len(labels), bool)
    deciding = probabilities if deciding is None else deciding
    values = {
        name: of(name, deciding if name in metrics.METRICS else probabilities, everything)
        for name in scoring.RANKING_METRICS
    }
    if kept.any():
        values["accuracy_without_twins"] = of("accuracy", deciding, kept)
    if unequal(labels):
        own = labels == precision_recall.rarest(labels)
        values["rarest_recall"] = of("accuracy", deciding, own)
    values["calibrated_log_loss"] = of("log_loss", calibrated, everything)
    units = resampling.units(groups, labels, stratify=False)
    return values | intervals.of_statistics(errors, units, resamples, confidence, seed)


def unequal(labels: np.ndarray) -> bool:
    """Tell whether the classes that occur differ by more than `UNEQUAL` in size."""
    sizes = np.bincount(labels)
    sizes = sizes[sizes > 0]
    return bool(sizes.max() > UNEQUAL * sizes.min())
