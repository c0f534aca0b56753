"""A learning curve: accuracy by training rows, and the power laws that extend it."""

import dataclasses
from dataclasses import dataclass

import numpy as np

Z = 1.96  # standard errors on either side in a 95 % interval


@dataclass(frozen=True)
class Score:
    """An accuracy on validation, 0 to 1, with its 95 % interval."""

    accuracy: float
    low: float
    high: float

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
        accuracy = np.clip(1 - self.a * float(rows) ** -self.b - self.c, 0, 1)
        order = np.argsort(accuracy)
        reached = np.cumsum(self.weights[order])
        low, high = (
            float(accuracy[order][min(np.searchsorted(reached, share), len(order) - 1)])
            for share in (0.025, 0.975)
        )
        mean = float(self.weights @ accuracy)
        return Score(mean, min(low, mean), max(high, mean))

    def mean(self) -> dict[str, float]:
        """Return the weighted means of a, b and c."""
        return {name: float(f"{self.weights @ getattr(self, name):.4g}") for name in "abc"}
