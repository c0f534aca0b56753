"""How unlike a new image is to those that were learned from, by its neighbours among them.

The distance to the k-th neighbour among features of length 1 tells images of other kinds apart
without knowing these kinds (Y. Sun et al., "Out-of-Distribution Detection with Deep Nearest
Neighbors", ICML 2022, section 3). Its place among the distances of the known images, each to those
of other groups, is a conformal p-value: of images like them, a share of p at most gets p or less
(S. Bates et al., "Testing for outliers with conformal p-values", Annals of Statistics 51, 2023,
section 2). Each group weighs as one image.
"""

from dataclasses import dataclass, replace

import numpy as np

from features.errors import DataError

NEIGHBOUR = 5  # the k-th; fewer where there are fewer groups
REFERENCES = 4000  # known images that are looked at, at most: a second on two cores
_BLOCK = 2**22  # similarities held in memory at a time, 16 MiB


@dataclass(frozen=True)
class Familiarity:
    """Known images, and how far each is from the others.

    Attributes:
        known: float32 (m, D), of length 1.
        distances: float32 (m,), ascending: of each to its k-th neighbour in other groups.
        beyond: float64 (m + 1,): the groups, shares of them too, at these distances or further.
        neighbour: k.
        unit: in which distances are measured.
    """

    known: np.ndarray
    distances: np.ndarray
    beyond: np.ndarray
    neighbour: int
    unit: float = 1.0

    def of(self, features: np.ndarray) -> np.ndarray:
        """Return the p-value of each image, float64 (n,), in (0, 1]: small ones are unlike.

        Args:
            features: float (n, D).

        Raises:
            DataError: the known images have other features.
        """
        if features.shape[1] != self.known.shape[1]:
            raise DataError(
                f"images are described by {features.shape[1]} features, and those learned from by "
                f"{self.known.shape[1]}"
            )
        distances = _to_neighbours(_units(features), self.known, self.neighbour) / self.unit
        further = self.beyond[np.searchsorted(self.distances, distances, "left")]
        return np.asarray((1 + further) / (1 + self.beyond[0]))


def fit(features: np.ndarray, groups: np.ndarray) -> Familiarity:
    """Return what is needed to tell new images from known ones.

    Args:
        features: float (m, D), finite, of known images of at least two groups.
        groups: int (m,), equal for images that are not independent.
    """
    known = _units(features)
    neighbour = min(NEIGHBOUR, len(np.unique(groups)) - 1)
    return _ranked(known, _to_neighbours(known, known, neighbour, groups), groups, neighbour)


def fit_held_out(features: np.ndarray, distances: np.ndarray, groups: np.ndarray) -> Familiarity:
    """Return the same where a network was trained on the known images, which lie closer thereby.

    Args:
        features: float (m, D), finite, of known images.
        distances: float32 (n,), of images that were held out, from `distances_to`.
        groups: int (n,), of these images, equal for those that are not independent.
    """
    known = _units(features)
    ranked = _ranked(known, distances, groups, min(NEIGHBOUR, len(known)))
    return replace(ranked, unit=_spread(known))


def distances_to(known: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return how far images are from known ones, in units of the spread of these, float32 (n,).

    The unit lets distances in one training of a network be compared with those in another.

    Args:
        known: float (m, D), of images that were learned from.
        features: float (n, D), of images that were not.
    """
    units = _units(known)
    distances = _to_neighbours(_units(features), units, min(NEIGHBOUR, len(units)))
    return distances / np.float32(_spread(units))


def _spread(units: np.ndarray) -> float:
    """Return the root of the mean square distance of pairs of vectors of length 1, (m, D)."""
    return float(np.sqrt(max(1e-12, 2 - 2 * np.square(units.mean(axis=0, dtype=np.float64)).sum())))


def _ranked(
    known: np.ndarray, distances: np.ndarray, groups: np.ndarray, neighbour: int
) -> Familiarity:
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(distances, kind="stable")
    beyond = np.append(np.cumsum((1 / sizes[numbers])[order][::-1])[::-1], 0.0)
    return Familiarity(known, distances[order], beyond, neighbour)


def _to_neighbours(
    units: np.ndarray, known: np.ndarray, neighbour: int, groups: np.ndarray | None = None
) -> np.ndarray:
    """Return the distance of each vector to its k-th neighbour among known ones, float32 (n,).

    Args:
        units: float32 (n, D), of length 1.
        known: float32 (m, D), of length 1.
        neighbour: k.
        groups: int (n,), where both are the same: of neighbours those of other groups count.
    """
    distances = np.empty(len(units), np.float32)
    size = max(1, _BLOCK // len(known))
    for start in range(0, len(units), size):
        rows = slice(start, start + size)
        similar = units[rows] @ known.T  # (b, m)
        if groups is not None:
            similar[groups[rows, None] == groups] = -np.inf
        nearest = np.partition(similar, -neighbour, axis=1)[:, -neighbour]
        distances[rows] = np.sqrt(np.maximum(2 - 2 * nearest, 0))
    return distances


def _units(features: np.ndarray) -> np.ndarray:
    """Return vectors of length 1, float32; those of 0 stay 0."""
    values = np.asarray(features, np.float32)
    largest = np.abs(values).max(axis=1, keepdims=True, initial=0)
    values = np.divide(values, largest, out=np.zeros_like(values), where=largest > 0)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)
