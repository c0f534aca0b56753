"""Samples in which classes keep their proportions."""

import numpy as np


def stratified(labels: np.ndarray, share: float, shuffled: np.ndarray) -> np.ndarray:
    """Return the positions of a sample, increasing, int64.

    Args:
        labels: int (N,), whatever their values; of each value at least one position is taken.
        share: the share of the positions to take, above 0 to 1.
        shuffled: all positions in the order in which they are taken, int64 (N,).
    """
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    ranks = np.arange(len(order)) - np.repeat(starts, sizes)  # within a class
    wanted = np.maximum(1, np.round(share * sizes))
    return np.sort(order[ranks < np.repeat(wanted, sizes)])
