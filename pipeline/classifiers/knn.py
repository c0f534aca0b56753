"""The k nearest neighbours, cosine or Euclidean, by brute force: one search for all k."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.classifiers.accelerated import estimator
from pipeline.classifiers.base import Classifier, Setting, Task

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

_K = "model__n_neighbors"
_SPACE: tuple[Setting, ...] = tuple({_K: k} for k in (50, 20, 10, 5, 3, 1))


def _model() -> tuple:
    return "model", estimator("neighbors", "KNeighborsClassifier")(algorithm="brute", n_jobs=-1)


def _build_cosine(task: Task) -> "Pipeline":
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import Normalizer

    from pipeline.classifiers.estimators.unit_scale import UnitScale

    # For rows of length 1 both distances give the same order, and the Euclidean search is faster.
    return Pipeline([("scale", UnitScale()), ("normalize", Normalizer()), _model()])


def _build_euclidean(task: Task) -> "Pipeline":
    from sklearn.pipeline import Pipeline

    from pipeline.classifiers.estimators.unit_scale import UnitScale

    # The order of distances stays, and no square is too large or too small for float32.
    return Pipeline([("scale", UnitScale()), _model()])


def _path(
    model: "Pipeline",
    settings: Sequence[Setting],
    x: np.ndarray,
    y: np.ndarray,
    x_validation: np.ndarray,
) -> Iterator[np.ndarray]:
    """Search once for the largest k of all settings; yield the votes for the k of each setting."""
    most = max(setting[_K] for setting in settings)
    model.set_params(**{_K: most}).fit(x, y)
    for _, step in model.steps[:-1]:
        x_validation = step.transform(x_validation)
    neighbours = model[-1].kneighbors(x_validation, return_distance=False)
    labels = np.searchsorted(model.classes_, y)[neighbours]  # (n, most), nearest first
    for setting in settings:
        yield _votes(labels[:, : setting[_K]], len(model.classes_))


def _votes(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the share of each class among the neighbours, float32 (n, classes); labels (n, k)."""
    shares = [(labels == label).mean(axis=1, dtype=np.float32) for label in range(classes)]
    return np.stack(shares, axis=1)


KNN_COSINE = Classifier(
    name="knn-cosine",
    title="k nearest neighbours, cosine",
    good_for="seeing whether similar images lie together; nothing to train, slow to predict",
    build=_build_cosine,
    space=_SPACE,
    default={_K: 10},
    growth=1.0,
    path=_path,
    at_most_rows=_K,
    keeps_rows=True,
)

KNN_EUCLIDEAN = Classifier(
    name="knn-euclidean",
    title="k nearest neighbours, Euclidean",
    good_for="the same where the length of a feature vector carries information",
    build=_build_euclidean,
    space=_SPACE,
    default={_K: 10},
    growth=1.0,
    path=_path,
    at_most_rows=_K,
    keeps_rows=True,
)
