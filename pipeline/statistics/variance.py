"""How far chance may have moved a sum over independent groups, and how well that is known."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """The chance in m scores, or in m differences of scores; each array is float64 (m,).

    Attributes:
        variance: of each.
        freedom: degrees of freedom of that variance, at least 1 where it is above 0: few where it
            comes from few groups, as with a rare class.
        largest: the square of the largest share that a single group has in each.
    """

    variance: np.ndarray
    freedom: np.ndarray
    largest: np.ndarray


def spread(deviations: np.ndarray) -> Spread:
    """Return the chance in sums of deviations by group.

    The degrees of freedom are those of a chi-squared distribution that varies as much as the
    variance does (F. Satterthwaite, Biometrics Bulletin 2, 1946), by the groups' fourth moments.

    Args:
        deviations: float64 (m, G), from `Units.deviations`.
    """
    squares = deviations * deviations
    variance = squares.sum(axis=1)
    groups = deviations.shape[1]
    shares = (squares * squares).sum(axis=1) / np.maximum(variance * variance, _LEAST)
    freedom = 2 / np.maximum(shares - 1 / groups, 2 / groups)
    return Spread(variance, np.maximum(np.minimum(freedom, groups - 1), 1), squares.max(axis=1))


def normal_quantiles(statistics: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """Return the normal quantiles that are exceeded as rarely as these of Student's t.

    Args:
        statistics: float64, Student's t statistics of any shape.
        freedom: float64, degrees of freedom of each.
    """
    from scipy.special import ndtri, stdtr

    lower_tails = np.maximum(stdtr(freedom, -np.abs(statistics)), _LEAST)
    return -np.sign(statistics) * ndtri(lower_tails)


_LEAST = 1e-300  # instead of a division by 0, or of the logarithm of 0
