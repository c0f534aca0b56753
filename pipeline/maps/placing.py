"""More images than can be laid out: a stratified sample is, and the others are placed among it."""

from collections.abc import Callable

import numpy as np

from pipeline.data.sampling import stratified

NEIGHBOURS = 25  # in the sample, whose median is an image's place


def sample(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return about `count` positions, increasing, among which classes keep their proportions.

    Args:
        labels: int (N,), -1 without a class.
        count: at most N.
        seed: the seed of the sample.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    return stratified(labels, count / len(labels), shuffled)


def placer(scores: np.ndarray, coordinates: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that gives images their places among those that were laid out.

    Each comes to the median of the places of the 25 images whose principal components are nearest.
    openTSNE's `transform` starts from that place (P. Policar, M. Strazar and B. Zupan, "Embedding
    to reference t-SNE space addresses batch effects in single-cell classification", Discovery
    Science 2019), and moves it a little.

    Args:
        scores: float32 (n, d), the components of the images that were laid out.
        coordinates: (n, 2), their places.

    Returns:
        A function from components (m, d) to places, float32 (m, 2).
    """
    from sklearn.neighbors import NearestNeighbors

    count = min(NEIGHBOURS, len(scores))
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(scores)

    def places(others: np.ndarray) -> np.ndarray:
        nearest = search.kneighbors(others, return_distance=False)
        return np.median(coordinates[nearest], axis=1).astype(np.float32)

    return places
