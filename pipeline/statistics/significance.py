"""Tests of the difference between candidates: McNemar's test, corrected for their number."""

import numpy as np

LEVEL = 0.05  # of all tests


def mcnemar(correct: np.ndarray) -> np.ndarray:
    """Return exact two-sided p-values for each pair of candidates, float64 (m, m), symmetric.

    Only images that exactly one of the two predicts right count; if both are equally good, each
    of these is as likely to be right by the first as by the second (McNemar 1947; the exact test
    takes the binomial distribution in place of the normal one).

    Args:
        correct: bool (m, n): which of n images each of m candidates predicts right.
    """
    from scipy.stats import binom

    right = correct.astype(np.float64)
    only = right @ (1 - right).T  # (m, m): the first right, the second wrong
    p = 2 * binom.cdf(np.minimum(only, only.T), only + only.T, 0.5)
    return np.minimum(p, 1.0)


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values corrected for their number, the same shape (Holm 1979, step-down).

    Args:
        p: float (k,).
    """
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(raised, 1.0)
    return corrected


def against_first(correct: np.ndarray) -> np.ndarray:
    """Return p-values of McNemar's test between each candidate and the first, float64 (m,).

    They are corrected by Holm's method for the m - 1 candidates that are held against the first,
    whose own is 1.

    Args:
        correct: bool (m, n): which of n images each of m candidates predicts right.
    """
    return np.array([1.0, *holm(mcnemar(correct)[0, 1:]).tolist()])
