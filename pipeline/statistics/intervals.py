"""Intervals of a metric: where the score on new images of new groups lies.

They come from each group's influence on the metric, with no resampling: Wilson's interval at the
number of independent images that would vary as much (E. L. Korn, B. I. Graubard, "Confidence
intervals for proportions with small expected number of positive counts estimated from survey data",
Survey Methodology 24, 1998; N. Dean, M. Pagano, Journal of Survey Statistics and Methodology 3,
2015), with the quantile of Student's t. `benchmarks/verdict.py` measures how often they hold.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.statistics import influence, metrics, resampling, scoring, variance
from pipeline.statistics.resampling import Units

MOST_CLASSES = 100  # beyond which no single class decides a mean over classes

Statistics = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Interval:
    """A metric with the bounds of its interval.

    Attributes:
        value: the metric.
        low: lower bound; NaN where there is no interval.
        high: upper bound; NaN where there is no interval.
        reason: why there is none, in a phrase; empty where there is one.
    """

    value: float
    low: float
    high: float
    reason: str = ""


def interval(
    metric: str, labels: np.ndarray, probabilities: np.ndarray, units: Units, confidence: float
) -> Interval:
    """Return a metric of one candidate and its interval.

    Args:
        metric: one of `scoring.RANKING_METRICS`.
        labels: int (n,).
        probabilities: float (n, K), or (R, n, K) for R repeats of cross-validation, whose scores
            are averaged.
        units: what is independent, stratified for a metric of `scoring.CLASS_WISE`. Where all
            images are of one group, or all of a class for such a metric, there is no interval, and
            `reason` says so.
        confidence: that the interval holds the true value, above 0 and below 1.
    """
    measured = influence.measure(metric, labels, [probabilities])
    value = float(measured.scores[0])
    if reason := _unknowable(metric, units):
        return Interval(value, np.nan, np.nan, reason)
    if metric == "accuracy" and units.independent:
        low, high = wilson(value, len(labels), _normal(confidence))
    else:
        chance = variance.spread(units.deviations(measured.influence))
        squared = float(chance.variance[0]) or _at_least(metric, value, units)
        most = len(labels)
        low, high = bounds(metric, value, squared, float(chance.freedom[0]), most, confidence)
    few = probabilities.shape[-1] <= MOST_CLASSES
    if few and metric in ("balanced_accuracy", "macro_f1"):
        predicted = probabilities.argmax(axis=-1).reshape(-1, len(labels))
        below, above = _of_classes(metric, labels, predicted, units, confidence)
        low, high = min(low, below), max(high, above)
    return Interval(value, float(low), float(high))


def bounds(
    metric: str, value: float, squared: float, freedom: float, images: int, confidence: float
) -> tuple[float, float]:
    """Return the bounds around a metric whose variance is known.

    A metric from 0 to 1 gets Wilson's interval; a loss, which has no upper limit and a long tail,
    a symmetric interval of its logarithm.

    Args:
        metric: one of `scoring.RANKING_METRICS`.
        value: the metric.
        squared: its variance; 0 where it cannot vary.
        freedom: degrees of freedom of the variance.
        images: how many there are: the metric does not rest on more than these.
        confidence: that the interval holds the true value.
    """
    quantile = _student(confidence, freedom)
    if metric in scoring.LOWER_IS_BETTER:
        factor = float(np.exp(quantile * np.sqrt(squared) / max(value, metrics.SMALLEST)))
        return value / factor, value * factor
    independent = value * (1 - value) / squared if squared else images
    if not 0 < value < 1:  # no mistake, or nothing right: Student's t has nothing to go by
        independent, quantile = 1 / squared if squared else images, _normal(confidence)
    return wilson(value, min(independent, images), quantile)


def wilson(value: float, images: float, quantile: float) -> tuple[float, float]:
    """Return Wilson's interval of a share (E. B. Wilson, JASA 22, 1927), within 0 to 1.

    Args:
        value: the share, 0 to 1.
        images: how many independent images it is of; need not be whole.
        quantile: of the normal distribution or of Student's t, 1.96 for 95 %.
    """
    square = quantile * quantile / images
    centre = (value + square / 2) / (1 + square)
    half = quantile * np.sqrt(value * (1 - value) / images + square / images / 4) / (1 + square)
    # A share of 0 or 1 is its own bound, which rounding would miss.
    return max(0.0, min(value, float(centre - half))), min(1.0, max(value, float(centre + half)))


def of_statistics(
    statistics: Statistics, units: Units, resamples: int, confidence: float, seed: int
) -> dict[str, Interval]:
    """Return any statistics of weights and their intervals, by resampling groups.

    These are percentiles, taken as far out as Student's t is for so few groups (T. Hesterberg,
    "What teachers should know about the bootstrap", The American Statistician 69, 2015).

    Args:
        statistics: gives values by name, () or (R,), from weights (n,) or (n, R).
        units: what is independent.
        resamples: how many.
        confidence: that an interval holds the true value.
        seed: of the resamples.
    """
    from scipy.special import ndtr

    names = statistics(np.ones(len(units.group)))
    if units.count == 1:
        reason = "all images are of one group"
        return {name: Interval(float(v), np.nan, np.nan, reason) for name, v in names.items()}
    drawn = [statistics(weights) for weights in resampling.draw(units, resamples, seed)]
    tail = float(ndtr(-_student(confidence, units.count - 1)))
    found = {}
    for name, value in names.items():
        values = np.concatenate([block[name] for block in drawn])
        low, high = np.quantile(values, (tail, 1 - tail))
        found[name] = Interval(float(value), float(low), float(high))
    return found


def _unknowable(metric: str, units: Units) -> str:
    """Return why a metric has no interval, or nothing."""
    if units.count == 1:
        return "all images are of one group"
    if metric in scoring.CLASS_WISE and units.single:
        return f"{len(units.single)} classes have images of one group alone"
    return ""


def _of_classes(
    metric: str, labels: np.ndarray, predicted: np.ndarray, units: Units, confidence: float
) -> tuple[float, float]:
    """Return the interval of a mean of recalls, or of F1 scores, from those of the classes.

    A class of few images that are all right, or all wrong, has no variance of its own, but Wilson's
    interval; the distances to its bounds are added up by squares, with the correlation that groups
    and shared mistakes bring (G. Zou, A. Donner, "Construction of confidence limits about effect
    measures", Statistics in Medicine 27, 2008). The F1 score F of a class is a share of images in
    the form F / (2 - F): those right, of all that are of the class or taken for it.

    Args:
        metric: "balanced_accuracy" or "macro_f1".
        labels: int (n,).
        predicted: int (R, n).
        units: what is independent.
        confidence: that the interval holds the true value.
    """
    f1 = metric == "macro_f1"
    classes = np.unique(np.concatenate([labels, predicted.ravel()]) if f1 else labels)[:, None]
    own = (labels == classes).astype(np.float64)  # (C, n)
    right = own * (predicted == labels).mean(axis=0)
    called = np.stack([(predicted == label).mean(axis=0) for label in classes])
    weights = (own + called) / 2 if f1 else own
    sizes = weights.sum(axis=1)
    values = right.sum(axis=1) / sizes
    deviations = units.deviations((right - values[:, None] * weights) / sizes[:, None])
    covariance = deviations @ deviations.T
    bounds_ = np.array(
        [
            _of_class(f1, value, squared, units.group[mask], units.independent, confidence)
            for value, squared, mask in zip(values, covariance.diagonal(), weights > 0, strict=True)
        ]
    )
    scale = np.sqrt(np.outer(covariance.diagonal(), covariance.diagonal()))
    correlation = covariance / np.where(scale > 0, scale, np.inf)
    np.fill_diagonal(correlation, 1)
    below, above = values - bounds_[:, 0], bounds_[:, 1] - values
    half = [np.sqrt(max(side @ correlation @ side, 0)) / len(sizes) for side in (below, above)]
    mean = values.mean()
    return max(0.0, float(mean - half[0])), min(1.0, float(mean + half[1]))


def _of_class(
    f1: bool,
    value: float,
    squared: float,
    groups: np.ndarray,
    independent: bool,
    confidence: float,
) -> tuple[float, float]:
    """Return the interval of one class's recall or F1 score, of known variance.

    Args:
        f1: whether it is an F1 score.
        value: the score, 0 to 1.
        squared: its variance; 0 where all images are right, or all wrong.
        groups: int (k,), of the images that the score is of.
        independent: whether each image is a group of its own.
        confidence: that the interval holds the true value.
    """
    count = len(np.unique(groups))
    share, slope = (value / (2 - value), 2 / (2 - value) ** 2) if f1 else (value, 1.0)
    images = share * (1 - share) / (squared * slope**2) if squared else count
    quantile = _normal(confidence) if independent else _student(confidence, max(count - 1, 1))
    low, high = wilson(share, min(images, len(groups)), quantile)
    return (2 * low / (1 + low), 2 * high / (1 + high)) if f1 else (low, high)


def _at_least(metric: str, value: float, units: Units) -> float:
    """Return the variance to suppose where none is seen, as without any mistake.

    It is that of a share of as many independent images as there are groups; for a class-wise
    metric that of a mean over classes of so many groups each. A loss that never varies has none.
    """
    if metric in scoring.LOWER_IS_BETTER:
        return 0.0
    spread = value * (1 - value) if 0 < value < 1 else 1.0
    groups = units.classes[units.classes > 0]
    if not len(groups):
        return spread / units.count
    return float(spread * (1 / groups).sum() / len(groups) ** 2)


def _normal(confidence: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + confidence) / 2))


def _student(confidence: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))
