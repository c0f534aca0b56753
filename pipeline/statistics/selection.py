"""What the best of many tried settings will score on new images.

The best score of many is too good: settings, epochs and candidates are chosen on the images that
they are scored on. Bootstrap bias correction chooses the best on the groups that a resample holds
and scores it on those that it does not hold (I. Tsamardinos, E. Greasidou, G. Borboudakis,
"Bootstrapping the out-of-sample predictions for efficient and accurate cross-validation", Machine
Learning 107, 2018). Nothing is trained again. Scores of a resample come from the images' influence,
so that any metric of hundreds of settings is one product of matrices, and a class that none of the
left-out images is of takes nothing away.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.statistics import intervals, resampling, scoring, variance
from pipeline.statistics.influence import Measured
from pipeline.statistics.resampling import Units


@dataclass(frozen=True)
class Selected:
    """The best of m settings, and what it will score.

    Attributes:
        chosen: its number; of equals the first.
        naive: its score on the images that it was chosen on.
        value: the score that new images of new groups will give.
        low: lower bound of the interval of that; NaN where there is none.
        high: upper bound; NaN where there is none.
    """

    chosen: int
    naive: float
    value: float
    low: float
    high: float


def corrected(
    measured: Measured, units: Units, resamples: int, confidence: float, seed: int
) -> Selected:
    """Return the best of all settings with its score corrected for having been chosen.

    Args:
        measured: every setting of every candidate that was tried on all rows.
        units: what is independent.
        resamples: how many; 500 are right to a tenth of a standard error.
        confidence: that the interval holds the score on new images.
        seed: of the resamples.
    """
    chosen = int(_first_best(measured.goodness[:, None])[0])
    naive = float(measured.scores[chosen])
    if units.count == 1:  # nothing can be left out
        return Selected(chosen, naive, naive, np.nan, np.nan)
    sums = np.ascontiguousarray(units.sums(measured.influence))  # (m, G)
    outside, share = [], 0.0
    for counts in resampling.draw_groups(units, resamples, seed):  # (G, R)
        inside = scoring.goodness(measured.metric, sums @ counts)
        best = _first_best(measured.goodness[:, None] + inside)
        left_out = (counts == 0).astype(np.float64)
        shares = np.maximum(left_out.mean(axis=0), 1 / units.count)
        outside.append(measured.scores[best] + (sums[best].T * left_out).sum(axis=0) / shares)
        share += left_out.sum() / (units.count * resamples)
    scores = np.concatenate(outside)
    value = _within(measured.metric, float(scores.mean()))
    chance = variance.spread(units.deviations(measured.influence[chosen][None]))
    # Left-out scores vary more than one of all groups does, by what a share of them brings.
    squared = max(float(scores.var() * share / (1 - share)), float(chance.variance[0]))
    freedom, images = float(chance.freedom[0]), measured.influence.shape[1]
    low, high = intervals.bounds(measured.metric, value, squared, freedom, images, confidence)
    return Selected(chosen, naive, value, low, high)


def _first_best(goodness: np.ndarray) -> np.ndarray:
    """Return the first of the best rows of each column, int64 (R,), whatever rounding says."""
    return (goodness >= goodness.max(axis=0) - _EQUAL).argmax(axis=0)


def _within(metric: str, value: float) -> float:
    """Return the value where metrics of the kind can be."""
    return max(value, 0.0) if metric in scoring.LOWER_IS_BETTER else min(max(value, 0.0), 1.0)


_EQUAL = 1e-12  # scores this near to each other differ by rounding alone
