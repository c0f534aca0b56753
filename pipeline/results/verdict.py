"""What the images say about candidates: which could be the best, and which one to take."""

from collections.abc import Sequence

import numpy as np

from pipeline.statistics import best_set
from pipeline.statistics.influence import Measured
from pipeline.statistics.resampling import Units

_EQUAL = 1e-9  # scores this near to each other differ by rounding alone
_FACTOR = 2
READ = 1.0  # seconds that 1,000 images take to be read and decoded, about, on one core


def p_of_being_best(measured: Measured, units: Units) -> np.ndarray:
    """Return how well the images agree with each candidate's being the best, float64 (m,).

    Where all images are of one group nothing can be told, and all values are 1.
    """
    if units.count == 1:
        return np.ones(len(measured.scores))
    return best_set.could_be_best(measured, units)


def p_of_chance(measured: Measured, labels: np.ndarray, classes: int, units: Units) -> np.ndarray:
    """Return how well the images agree with each knowing class frequencies alone, float64 (m,)."""
    if units.count == 1:
        return np.ones(len(measured.scores))
    return best_set.better_than_chance(measured, labels, classes, units)


def recommend(
    measured: Measured,
    allowed: np.ndarray,
    give_up: float,
    costs: Sequence[float],
    losses: Sequence[float],
    names: Sequence[str],
) -> int | None:
    """Return which candidate to take; None where none is allowed.

    Of those that give up little and cost little, the one with the lowest log loss is taken; then
    the first by name. The noise of a measurement cannot decide: what costs up to twice as much as
    the cheapest, or no longer than images take to be read, costs as little.

    Args:
        measured: the m candidates by the metric that ranks them.
        allowed: bool (m,), those that could be the best and know more than class frequencies.
        give_up: how much worse than the best of all the score may be at most.
        costs: seconds to predict 1,000 images; infinite where they are not known.
        losses: log losses.
        names: names.
    """
    least = measured.goodness.max() - give_up - _EQUAL
    able = np.flatnonzero(allowed & (measured.goodness >= least)).tolist()
    cheap = [n for n in able if not any(costs_less(costs[other], costs[n]) for other in able)]
    return min(cheap, key=lambda n: (round(losses[n], 6), names[n]), default=None)


def costs_less(seconds: float, others: float) -> bool:
    """Tell whether a cost is below half of another, for one that matters beside reading images."""
    return _FACTOR * max(seconds, READ) < others
