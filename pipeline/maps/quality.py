"""The quality of a map: how well it keeps the neighbourhoods of the features."""

import numpy as np

from pipeline.maps.reduction import blocks, centre
from pipeline.results.map import Quality

NEIGHBOURS = 10
SAMPLE = 2000  # points whose neighbourhoods are measured
_BATCH = 256  # of these points at a time


def measure(
    x: np.ndarray, maps: dict[str, np.ndarray], labels: np.ndarray, seed: int
) -> tuple[Quality, ...]:
    """Return the quality of the features, then that of each map.

    Trustworthiness is that of J. Venna and S. Kaski, ICANN 2001, section 3, averaged over a sample
    of the points, whose neighbours are searched among all points.

    Args:
        x: float32 (N, D), the features; may be a memory map.
        maps: coordinates, float (N, 2), by title.
        labels: int32 (N,), -1 where the class is not known or must not be used.
        seed: the seed of the sample.
    """
    k = min(NEIGHBOURS, (len(x) - 1) // 2)
    chosen = np.random.default_rng(seed).permutation(len(x))[:SAMPLE]
    known = np.flatnonzero(labels >= 0)
    near = {title: _nearest(points, points[chosen], chosen, k) for title, points in maps.items()}
    intruders, right = dict.fromkeys(maps, 0), []
    for start in range(0, len(chosen), _BATCH):
        batch = chosen[start : start + _BATCH]
        distances = _distances(x, batch)  # (b, N)
        for title in maps:
            intruders[title] += _intrusions(distances, near[title][start : start + _BATCH], k)
        if len(known) > k:
            nearest = known[_lowest(distances[:, known], k)]
            right.append(_vote(labels[nearest]) == labels[batch])
    judged = labels[chosen] >= 0
    votes = np.concatenate(right) if right else np.zeros(len(chosen), bool)
    features = Quality("features", _share(votes[judged]) if right else None, None)
    worst = len(chosen) * k * (2 * len(x) - 3 * k - 1) / 2
    return features, *(
        Quality(title, _accuracy(points, labels, chosen[judged], k), 1 - intruders[title] / worst)
        for title, points in maps.items()
    )


def _accuracy(points: np.ndarray, labels: np.ndarray, chosen: np.ndarray, k: int) -> float | None:
    known = np.flatnonzero(labels >= 0)
    if len(known) <= k:
        return None
    own = np.searchsorted(known, chosen)
    nearest = known[_nearest(points[known], points[chosen], own, k)]
    return _share(_vote(labels[nearest]) == labels[chosen])


def _share(right: np.ndarray) -> float | None:
    return float(right.mean()) if right.size else None


def _nearest(points: np.ndarray, asked: np.ndarray, own: np.ndarray, k: int) -> np.ndarray:
    """Return the k nearest others of points (q, 2), themselves at rows `own`: int64 (q, k)."""
    from scipy.spatial import KDTree

    _, indices = KDTree(points).query(asked, k + 1)
    others = indices != own[:, None]
    others[others.all(axis=1), -1] = False  # among equal points it may not return the point itself
    return indices[others].reshape(len(asked), k)


def _distances(x: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """Return squared distances of some rows to all rows, float32 (b, N); infinite to themselves."""
    mean = centre(x[batch])
    rows = x[batch] - mean
    distances = np.empty((len(batch), len(x)), np.float32)
    for block in blocks(x):
        others = x[block] - mean
        squares = np.einsum("nd,nd->n", others, others)
        distances[:, block] = squares - 2 * (rows @ others.T)
    distances += np.einsum("nd,nd->n", rows, rows)[:, None]
    distances[np.arange(len(batch)), batch] = np.inf
    return distances


def _lowest(distances: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of the k lowest values of each row, int64 (b, k)."""
    return np.argpartition(distances, k - 1, axis=1)[:, :k]


def _intrusions(distances: np.ndarray, near: np.ndarray, k: int) -> int:
    """Return the ranks in the features by which neighbours in a map exceed k, summed up."""
    total = 0
    for row, neighbours in zip(distances, near, strict=True):
        ranks = np.searchsorted(np.sort(row), row[neighbours]) + 1
        total += int(np.maximum(ranks - k, 0).sum())
    return total


def _vote(labels: np.ndarray) -> np.ndarray:
    """Return the most common label of each row (n, k), the lowest of equally common ones: (n,)."""
    counts = np.zeros((len(labels), int(labels.max(initial=0)) + 1), np.int32)
    np.add.at(counts, (np.arange(len(labels))[:, None], labels), 1)
    return counts.argmax(axis=1)
