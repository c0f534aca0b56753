"""Pipelines that are fitted to rows which are read in blocks, and predict them in blocks."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.classifiers.base import probabilities
from pipeline.classifiers.blocks import Rows, Transformed, are_read, of_blocks

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline


def fit_transform(step: Any, x: Rows, y: np.ndarray) -> Rows:
    """Fit a step of a pipeline before its model; return what it makes of the rows it learned from.

    Rows that are read in blocks are transformed whenever they are read.
    """
    if not are_read(x):
        return step.fit_transform(x, y)
    return transform(step.fit(x, y), x)


def transform(step: Any, x: Rows) -> Rows:
    """Return what a fitted step makes of rows, as `fit_transform` does."""
    if isinstance(x, np.ndarray):
        return step.transform(x)
    width = step.transform(x[:1]).shape[1]
    return Transformed(x, step.transform, width)


def fit(model: "BaseEstimator", x: Rows, y: np.ndarray) -> "BaseEstimator":
    """Fit a classifier of scikit-learn's kind; return it.

    Args:
        model: one that learns from a matrix; of rows that are read in blocks one of the suite for
            which `Classifier.by_blocks` is True.
        x: n rows.
        y: labels (n,).
    """
    if not are_read(x):
        return model.fit(x, y)
    from pipeline.classifiers.estimators.moments import FITS

    if (name := type(model).__name__) in FITS:
        kept = x if isinstance(x, Transformed) else Transformed(x, lambda rows: rows, x.shape[1])
        FITS[name](model, kept, y)
        return model
    if name == "DummyClassifier":  # it learns from the labels alone
        return model.fit(np.broadcast_to(np.float32(0), x.shape), y)
    return model.fit(x, y)


def fit_pipeline(pipeline: "Pipeline", x: Rows, y: np.ndarray) -> "Pipeline":
    """Fit a pipeline, as its own `fit` does; return it."""
    if not are_read(x):
        return pipeline.fit(x, y)
    for _, step in pipeline.steps[:-1]:
        x = fit_transform(step, x, y)
    fit(pipeline[-1], x, y)
    return pipeline


def predict(model: "BaseEstimator", x: Rows, classes: int) -> np.ndarray:
    """Return `base.probabilities` of all rows, float32 (n, classes)."""
    if isinstance(x, np.ndarray):
        return probabilities(model, x, classes)
    values = np.empty((len(x), classes), np.float32)

    def predicted(rows: slice, block: np.ndarray) -> tuple[slice, np.ndarray]:
        return rows, probabilities(model, block, classes)

    in_turn = itertools.starmap(predicted, x.blocks())
    for rows, block in of_blocks(x, predicted) if _is_light(model) else in_turn:
        values[rows] = block
    return values


def _is_light(model: "BaseEstimator") -> bool:
    """Tell whether a model predicts by thin products, so that several threads may do so at once."""
    last = getattr(model, "steps", [("", model)])[-1][1]
    return any(hasattr(last, name) for name in ("coef_", "centroids_"))


def in_blocks(x: Rows) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield which rows they are, and the rows; a matrix in memory as one block."""
    if isinstance(x, np.ndarray):
        yield slice(0, len(x)), x
    else:
        yield from x.blocks()
