"""Tests of the difference between candidates: McNemar's test, corrected for many pairs."""

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


def pairwise(correct: np.ndarray) -> np.ndarray:
    """Return p-values of McNemar's test, corrected over all pairs: float64 (m, m), 1 with itself.

    Args:
        correct: bool (m, n): which of n images each of m candidates predicts right.
    """
    p, pairs = mcnemar(correct), np.triu_indices(len(correct), 1)
    corrected = np.ones_like(p)
    corrected[pairs] = holm(p[pairs])
    return np.minimum(corrected, corrected.T)
