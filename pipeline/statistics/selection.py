"""What the best of many tried settings will score on new images.

The best score of many is too good: settings, epochs and candidates are chosen on the images that
they are scored on. The correction chooses the best on some of the groups and scores it on the
others, many times, with nothing trained again: BBC-CV (I. Tsamardinos, E. Greasidou,
G. Borboudakis, "Bootstrapping the out-of-sample predictions for efficient and accurate
cross-validation", Machine Learning 107, 2018). Two thirds of the groups are drawn without
replacement where BBC-CV draws with replacement: a bootstrap sample chooses as badly as half of the
groups would, which makes the corrected score too low. Scores of a draw come from the images'
influence, so that any metric of hundreds of settings is one product of matrices, and no class is
missing among the left-out images.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.statistics import intervals, resampling, scoring, variance
from pipeline.statistics.influence import Measured
from pipeline.statistics.resampling import Units

SHARE = 2 / 3  # of the groups that choose; the others score


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

    def applied_to(self, score: float, metric: str) -> "Selected":
        """Return the same correction of another score of the best.

        Where settings are tried in the first repeat of cross-validation alone, the best is shown
        with its mean over all repeats. All repeats have the same images, so that what luck with
        these brought is taken off in full.

        Args:
            score: the score that is shown, no better than `naive`.
            metric: one of `scoring.RANKING_METRICS`.
        """
        moved = (
            _within(metric, value + score - self.naive)
            for value in (self.value, self.low, self.high)
        )
        return Selected(self.chosen, score, *moved)

    def facts(self) -> dict[str, float | None]:
        """Return "value", "low" and "high" as JSON takes them: without an interval None."""
        values = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if np.isnan(value) else value for name, value in values.items()}


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
    outside = []
    for drawn, left_out in resampling.subsamples(units, SHARE, resamples, seed):  # (G, R)
        inside = scoring.goodness(measured.metric, sums @ drawn)
        best = _first_best(measured.goodness[:, None] + inside)
        outside.append(measured.scores[best] + (sums[best].T * left_out).sum(axis=0))
    scores = np.concatenate(outside)
    value = _within(measured.metric, float(scores.mean()))
    chance = variance.spread(units.deviations(measured.influence[chosen][None]))
    # A share of the groups varies more about all of them than these do about new ones.
    squared = max(float(scores.var() * (1 - SHARE) / SHARE), float(chance.variance[0]))
    freedom, images = float(chance.freedom[0]), measured.influence.shape[1]
    low, high = intervals.bounds(measured.metric, value, squared, freedom, images, confidence)
    return Selected(chosen, naive, value, low, high)


def _first_best(goodness: np.ndarray) -> np.ndarray:
    """Return the first of the best rows of each column, int64 (R,), whatever rounding says."""
    return (goodness >= goodness.max(axis=0) - _EQUAL).argmax(axis=0)


def _within(metric: str, value: float) -> float:
    """Return the value where metrics of the kind can be; NaN stays."""
    if np.isnan(value):
        return value
    return max(value, 0.0) if metric in scoring.LOWER_IS_BETTER else min(max(value, 0.0), 1.0)


_EQUAL = 1e-12  # scores this near to each other differ by rounding alone
