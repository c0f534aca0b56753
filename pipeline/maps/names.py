"""The place of a class's name on a map."""

import numpy as np

MOST = 25  # classes whose names fit on a map
_GRID = 24


def middles(coordinates: np.ndarray, labels: np.ndarray) -> list[tuple[int, float, float]]:
    """Return class, x and y of the densest place of each class; nothing for more than `MOST`.

    Args:
        coordinates: (N, 2).
        labels: int (N,), below 0 without a class.
    """
    known = np.unique(labels[labels >= 0]).tolist()
    if len(known) > MOST:
        return []
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    cells = ((coordinates - low) / (high - low + 1e-9) * _GRID).astype(int).clip(0, _GRID - 1)
    numbers = cells[:, 0] * _GRID + cells[:, 1]
    places = []
    for label in known:
        own = labels == label
        densest = np.bincount(numbers[own]).argmax()
        x, y = coordinates[own & (numbers == densest)].mean(axis=0, dtype=np.float64).tolist()
        places.append((label, x, y))
    return places
