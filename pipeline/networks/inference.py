"""Logits and probabilities of a network, outside training."""

from typing import Any

import numpy as np

BATCH = 256  # images in a forward pass


def logits(network: Any, x: np.ndarray, rows: np.ndarray, batch_size: int = BATCH) -> np.ndarray:
    """Return the network's logits of some rows of x, float32 (n, K)."""
    results = []
    size = min(batch_size, len(rows))
    for start in range(0, len(rows), batch_size):
        batch = np.asarray(x[rows[start : start + batch_size]])
        # Every batch has the same shape, so that nothing is compiled twice.
        padded = np.zeros((size, *batch.shape[1:]), batch.dtype)
        padded[: len(batch)] = batch
        results.append(np.asarray(network.predict_on_batch(padded), np.float32)[: len(batch)])
    return np.concatenate(results)


def probabilities(
    network: Any, x: np.ndarray, rows: np.ndarray, batch_size: int = BATCH
) -> np.ndarray:
    """Return the probabilities of some rows of x, float32 (n, K); rows sum to 1."""
    from scipy.special import softmax

    return softmax(logits(network, x, rows, batch_size).astype(np.float64), axis=1).astype("f4")
