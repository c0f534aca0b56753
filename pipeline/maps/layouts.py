"""Methods that lay out points in the plane so that neighbours stay neighbours."""

from collections.abc import Callable
from typing import Any

import numpy as np

from features.errors import DataError, MissingPackageError, UsageError
from features.processes.cpus import available_cpus
from features.processes.quiet import quiet_import

PERPLEXITY = 30  # the default of most tools
EARLY, LATE = 250, 500  # iterations of t-SNE, with and without exaggeration
EXAGGERATION = 12
MANY = 10_000  # points from which on several threads are faster than one
EXACT = 150_000  # points up to which all distances are computed; beyond, they are approximated

Progress = Callable[[int], None]  # called with the number of iterations that are done


def tsne(scores: np.ndarray, perplexity: float, seed: int, progress: Progress) -> np.ndarray:
    """Return coordinates by t-SNE, float64 (N, 2).

    Repulsion is interpolated with FFTs (G. Linderman et al., Nature Methods 16, 2019), or for
    fewer than 10,000 points summed over a tree. It starts from the principal components, which
    keeps the large structure (D. Kobak and P. Berens, Nature Communications 10, 2019, section
    "Using PCA initialisation"); the learning rate is N / 12 in the exaggerated phase and N after
    it (A. Belkina et al., Nature Communications 10, 2019).

    Args:
        scores: float32 (N, d), the component of the largest variance first.
        perplexity: the effective number of neighbours of a point; at most (N - 1) / 3.
        seed: the seed of the search for neighbours, where it is approximate.
        progress: called with the number of iterations that are done.

    Raises:
        UsageError: there are too few points for the perplexity.
        DataError: all points are equal.
    """
    check_perplexity(perplexity, len(scores))
    from openTSNE import TSNEEmbedding, initialization

    threads = available_cpus() if len(scores) >= MANY else 1
    layout = TSNEEmbedding(
        initialization.rescale(_plane(scores)),
        _affinities(scores, perplexity, seed, threads),
        n_jobs=threads, random_state=seed,
    )  # fmt: skip
    for first, iterations, exaggeration in ((0, EARLY, EXAGGERATION), (EARLY, LATE, 1)):
        layout.optimize(
            iterations, inplace=True, exaggeration=exaggeration, momentum=0.8,
            callbacks=_Callback(progress, first), callbacks_every_iters=10,
        )  # fmt: skip
    return np.array(layout)


def umap(scores: np.ndarray, perplexity: float, seed: int, progress: Progress) -> np.ndarray:
    """Return coordinates by UMAP, float64 (N, 2), which start from the principal components.

    L. McInnes, J. Healy and J. Melville, arXiv:1802.03426. The perplexity is its number of
    neighbours; with a seed it runs on one core.

    Raises:
        MissingPackageError: umap-learn is not installed.
        UsageError: there are too few points for the perplexity.
        DataError: all points are equal.
    """
    check_perplexity(perplexity, len(scores))
    try:
        library: Any = quiet_import("umap")
    except ImportError:
        raise MissingPackageError(
            'UMAP is not installed; `pip install "offshelf[umap]"` brings it'
        ) from None
    start = _plane(scores)
    method = library.UMAP(
        n_neighbors=max(2, round(perplexity)), random_state=seed, n_jobs=1,
        init=10 * start / np.abs(start).max(),
    )  # fmt: skip
    layout = method.fit_transform(scores)
    progress(EARLY + LATE)
    return np.asarray(layout, np.float64)


METHODS: dict[str, Callable[[np.ndarray, float, int, Progress], np.ndarray]] = {
    "tsne": tsne,
    "umap": umap,
}


def default_perplexity(count: int) -> float:
    """Return 30, or the most that `count` points allow where they are few."""
    return float(min(PERPLEXITY, max(1, _most(count))))


def _most(count: int) -> int:
    return (count - 1) // 3


def check_perplexity(perplexity: float, count: int) -> None:
    """Raise UsageError unless `count` points are enough for the perplexity."""
    most = _most(count)
    if not 1 <= perplexity <= most:
        few = f"expected 1 to {most}, a third of the others" if most else "expected 4 or more"
        raise UsageError(f"perplexity {perplexity:g} with {count:,} images: {few}")


class _Callback:
    """A callback of openTSNE, which counts iterations anew in each phase."""

    def __init__(self, progress: Progress, first: int) -> None:
        self._progress, self._first = progress, first

    def __call__(self, iteration: int, error: float, layout: np.ndarray) -> None:
        self._progress(self._first + iteration)


def _plane(scores: np.ndarray) -> np.ndarray:
    """Return the first two components, float64 (N, 2); the second is 0 where there is none.

    Raises:
        DataError: all points are equal.
    """
    if not scores.any():
        raise DataError("all images have the same features; there is nothing to lay out")
    plane = np.zeros((len(scores), 2))
    plane[:, : scores.shape[1]] = scores[:, :2]
    return plane


def _affinities(scores: np.ndarray, perplexity: float, seed: int, threads: int) -> Any:
    """Return the affinities of each point to three times the perplexity of neighbours."""
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    if len(scores) > EXACT:
        return PerplexityBasedNN(
            scores, perplexity, method="approx", n_jobs=threads, random_state=seed
        )
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=int(3 * perplexity), algorithm="brute").fit(scores)
    distances, indices = search.kneighbors()
    known = PrecomputedNeighbors(indices, distances.astype(np.float64))
    return PerplexityBasedNN(perplexity=perplexity, knn_index=known, n_jobs=threads)
