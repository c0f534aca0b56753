"""Power laws that extend a learning curve: error = a n^-b + c for n training rows.

C. Cortes, L. Jackel, S. Solla, V. Vapnik and J. Denker, "Learning Curves: Asymptotic Values and
Rate of Convergence", NIPS 1993; T. Viering and M. Loog, "The Shape of Learning Curves: A Review",
PAMI 2023, section 4, on how far such laws can be trusted.

All laws on a grid are weighted by how well they fit the points. The answer is their mean, and the
range that holds 95 % of their weight; where few points determine little, the range is wide.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.results.learning_curve import CurvePoint, PowerLaws

LEAST = 3  # points that a law is fitted to, at least
_RATES = np.linspace(0.05, 2.0, 79)  # b
_FLOORS = 81  # values of c, from 0 to the smallest error
# Standard error of the law itself, added to that of each point: with it, the range holds the truth
# more than nine times in ten (`python -m benchmarks.forecasts`).
_MISFIT = 0.01


def fit(points: Sequence[CurvePoint]) -> PowerLaws | None:
    """Return all laws weighted by their likelihood; None for fewer than `LEAST` points."""
    if len(points) < LEAST:
        return None
    rows = np.array([point.rows for point in points], float)
    errors = 1 - np.array([point.score.accuracy for point in points])
    spread = np.hypot([point.score.error for point in points], _MISFIT)
    b, c = (
        grid.ravel()[:, None] for grid in np.meshgrid(_RATES, np.linspace(0, errors.min(), _FLOORS))
    )  # (L, 1)
    shape, target = rows**-b / spread, (errors - c) / spread  # (L, points)
    a = np.maximum(0, (shape * target).sum(axis=1) / np.square(shape).sum(axis=1))
    misfit = np.square(shape * a[:, None] - target).sum(axis=1)
    weights = np.exp((misfit.min() - misfit) / 2)
    return PowerLaws(a, b[:, 0], c[:, 0], weights / weights.sum())
