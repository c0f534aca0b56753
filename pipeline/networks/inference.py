"""Logits and probabilities of a network, outside training."""

from collections.abc import Iterator
from typing import Any

import numpy as np

BATCH = 256  # images in a forward pass


def logits(network: Any, x: np.ndarray, rows: np.ndarray, batch_size: int = BATCH) -> np.ndarray:
    """Return the network's logits of some rows of x, float32 (n, K)."""
    batches = _outputs(network, x, rows, batch_size)
    return np.concatenate([np.asarray(output, np.float32)[:count] for output, count in batches])


def probabilities(
    network: Any, x: np.ndarray, rows: np.ndarray, batch_size: int = BATCH
) -> np.ndarray:
    """Return the probabilities of some rows of x, float32 (n, K); rows sum to 1."""
    return of_logits(logits(network, x, rows, batch_size))


def of_logits(values: np.ndarray) -> np.ndarray:
    """Return the probabilities of logits, float32 (n, K); rows sum to 1."""
    from scipy.special import softmax

    return np.asarray(softmax(values.astype(np.float64), axis=1), np.float32)


def embeddings(network: Any, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return what the last layer takes of some rows of x, float32 (n, D).

    Args:
        network: what `inside.with_embedding` returned.
        x: uint8 (N, H, W, 3).
        rows: positions, int64 (n,), n above 0.
    """
    batches = _outputs(network, x, rows, BATCH)
    return np.concatenate([np.asarray(output[0], np.float32)[:count] for output, count in batches])


def _outputs(
    network: Any, x: np.ndarray, rows: np.ndarray, batch_size: int
) -> Iterator[tuple[Any, int]]:
    """Yield what a network gives of batches of rows, and how many rows of it count."""
    size = min(batch_size, len(rows))
    for start in range(0, len(rows), batch_size):
        batch = np.asarray(x[rows[start : start + batch_size]])
        # Every batch has the same shape, so that nothing is compiled twice.
        padded = np.zeros((size, *batch.shape[1:]), batch.dtype)
        padded[: len(batch)] = batch
        yield network.predict_on_batch(padded), len(batch)
