"""A learning curve: accuracy by training rows, and the power laws that extend it."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.statistics import intervals, resampling, variance

CONFIDENCE = 0.95
Z = 1.96  # standard errors on either side in an interval of that confidence


def mean_of_groups(values: np.ndarray, groups: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of values (V,), its variance over groups, and the degrees of freedom."""
    units, mean = (
        resampling.units(groups, np.zeros(len(values), int), stratify=False),
        values.mean(),
    )
    chance = variance.spread(units.deviations((values - mean)[None] / len(values)))
    return float(mean), float(chance.variance[0]), float(chance.freedom[0])


@dataclass(frozen=True)
class Score:
    """An accuracy on validation, 0 to 1, with its 95 % interval."""

    accuracy: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: Sequence[np.ndarray], groups: np.ndarray) -> "Score":
        """Return the mean accuracy of draws, with the interval for sampling of images and rows.

        Args:
            draws: for each sample of training rows, which validation images are right, bool (V,).
            groups: int64 (V,), equal for images that are not independent.
        """
        hits = np.mean(draws, axis=0)
        accuracy, squared, freedom = mean_of_groups(hits, groups)
        if len(draws) > 1:
            squared += float(np.var([drawn.mean() for drawn in draws], ddof=1)) / len(draws)
        low, high = intervals.bounds(
            "accuracy", accuracy, squared, freedom, len(np.unique(groups)), CONFIDENCE
        )
        return cls(accuracy, min(low, accuracy), max(high, accuracy))

    @property
    def error(self) -> float:
        """Half the interval as a standard error."""
        return (self.high - self.low) / (2 * Z)

    def facts(self) -> dict[str, float]:
        """Return the fields, rounded to four digits, as JSON holds them."""
        return {name: round(value, 4) for name, value in dataclasses.asdict(self).items()}


@dataclass(frozen=True)
class CurvePoint:
    """One point of a learning curve: the number of training rows, and the score."""

    rows: int
    score: Score


@dataclass(frozen=True)
class PowerLaws:
    """L laws a n^-b + c for the error, with weights that sum to 1; float64 (L,) each."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    weights: np.ndarray

    def at(self, rows: int) -> Score:
        """Return the accuracy that is expected with a number of training rows."""
        return Score(*self._summary(self._accuracies(rows)))

    def gain(self, rows: int, more: int) -> tuple[float, float, float]:
        """Return what more training rows are expected to gain in accuracy, and its interval."""
        return self._summary(self._accuracies(more) - self._accuracies(rows))

    def _accuracies(self, rows: int) -> np.ndarray:
        return np.clip(1 - self.a * float(rows) ** -self.b - self.c, 0, 1)  # (L,)

    def _summary(self, values: np.ndarray) -> tuple[float, float, float]:
        """Return the weighted mean of values (L,), and bounds that hold `CONFIDENCE` of them."""
        order = np.argsort(values)
        reached = np.cumsum(self.weights[order])
        shares = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
        bounds = order[np.minimum(np.searchsorted(reached, shares), len(order) - 1)]
        low, high = values[bounds].tolist()
        mean = float(self.weights @ values)
        return mean, min(low, mean), max(high, mean)

    def mean(self) -> dict[str, float]:
        """Return the weighted means of a, b and c."""
        return {name: float(f"{self.weights @ getattr(self, name):.4g}") for name in "abc"}
