"""What the best of many tried settings will score on new images.

The best score of many is too good: settings, epochs and candidates are chosen on the images that
they are scored on. The correction is a cross-validation of the choice alone, with nothing trained
again: two thirds of the groups choose the best, and the others score it, until each group has
scored; then in other thirds. BBC-CV does so with bootstrap samples (I. Tsamardinos, E. Greasidou,
G. Borboudakis, "Bootstrapping the out-of-sample predictions for efficient and accurate
cross-validation", Machine Learning 107, 2018), which choose as badly as half of the groups would.
Smaller folds would choose a little better still, but the scores that they give to equal settings
vary more than their interval tells. Scores come from the images' influence, so that any metric of
hundreds of settings is one product of matrices, and no class is missing among the left-out images.
The variance of the mean over divisions is that between folds times left-out to choosing groups
(C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning 52, 2003).
"""

from dataclasses import dataclass

import numpy as np

from pipeline.statistics import intervals, resampling, scoring, variance
from pipeline.statistics.influence import Measured
from pipeline.statistics.resampling import Units

FOLDS = 3  # of groups: each scores what the others choose
# The more groups there are, the less do divisions differ: these draw so many groups in all, from
# 15,000 groups on, and are never fewer than 30.
_DRAWN, _FEWEST = 5_000_000, 30


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

    def at_most(self, score: float, metric: str) -> "Selected":
        """Return the same for a best one that is shown with another score, and no better than it.

        Where settings are tried in the first repeat of cross-validation alone, the best is shown
        with its mean over all repeats.

        Args:
            score: the score that is shown.
            metric: one of `scoring.RANKING_METRICS`.
        """
        better = scoring.goodness(metric, np.array(self.value - score))
        moved = score - self.value if better > 0 else 0.0
        return Selected(
            self.chosen,
            score,
            *(_within(metric, value + moved) for value in (self.value, self.low, self.high)),
        )

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
        resamples: how many choices, about; fewer of many groups.
        confidence: that the interval holds the score on new images.
        seed: of the folds.
    """
    chosen = int(_first_best(measured.goodness[:, None])[0])
    naive = float(measured.scores[chosen])
    if units.count == 1:  # nothing can be left out
        return Selected(chosen, naive, naive, np.nan, np.nan)
    sums = np.ascontiguousarray(units.sums(measured.influence))  # (m, G)
    scores, count = [], min(FOLDS, units.count)
    divisions = min(max(1, resamples // count), max(_FEWEST, _DRAWN // units.count))
    for fold, weights in resampling.folds(units, count, divisions, seed):
        inside = scoring.goodness(measured.metric, sums @ weights)
        best = _first_best(measured.goodness[:, None] + inside)  # the choice without each fold
        own = np.bincount(fold, sums[best[fold], np.arange(units.count)], count)
        scores.append(measured.scores[best] + count * own)
    value = _within(measured.metric, float(np.mean(scores)))
    chance = variance.spread(units.deviations(measured.influence[chosen][None]))
    squared = max(float(np.var(scores)) / (count - 1), float(chance.variance[0]))
    freedom = float(chance.freedom[0])
    images = measured.influence.shape[1]
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
