"""A fitted classifier as operations of Keras, from features to logarithms of probabilities.

Each classifier is expressed once, here; the files of all formats follow from it. What is not
expressed, such as trees, is left to ONNX, which has operators for it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.errors import UsageError
from pipeline.statistics.metrics import SMALLEST

LARGEST = 2**26  # values of training rows that go along, 256 MiB in float32


@dataclass(frozen=True)
class Head:
    """A classifier that takes features x, a symbolic tensor of Keras.

    Attributes:
        values: symbolic, float32: the logarithms of probabilities (n, K) before calibration; with
            an estimator, what that takes, (n, d).
        estimator: the fitted estimator that is left to ONNX; None for none.
        exact: whether its probabilities change smoothly. Where single votes decide, a difference by
            rounding may move one.
    """

    values: Any
    estimator: Any | None = None
    exact: bool = True


def head(model: Any, x: Any, classes: int) -> Head:
    """Return a classifier on features.

    Args:
        model: a fitted pipeline whose `classes_` are numbers below `classes`.
        x: symbolic, float32 (n, D).
        classes: the number K of classes; those that the model has not seen get the smallest
            probability.

    Raises:
        UsageError: it has to take along more rows than `LARGEST` allows.
    """
    steps = list(_flat(model))
    for place, step in enumerate(steps[:-1]):
        try:
            x = _TRANSFORMS.get(_kind(step), _unknown)(step, x)
        except _UnknownError:
            return Head(x, _rest(steps[place:]), _is_exact(steps[-1]))
    last, kind = steps[-1], _kind(steps[-1])
    try:
        if kind in _SCORES:
            logs = of_scores(_SCORES[kind](last, x))
        else:
            logs = of_probabilities(_PROBABILITIES.get(kind, _unknown)(last, x))
    except _UnknownError:
        return Head(x, last, _is_exact(last))
    return Head(complete(logs, np.asarray(last.classes_, int), classes), exact=_is_exact(last))


def after(estimator: Any, classes: int, temperature: float) -> Any:
    """Return what follows an estimator that is left to ONNX.

    Returns:
        A keras.Model from its scores (n, k), or (n, 1) for two classes, where `gives_scores`, else
        from its probabilities (n, k), to calibrated probabilities (n, K).
    """
    import keras

    known = np.asarray(estimator.classes_, int)
    if gives_scores(estimator):
        given = keras.Input((1 if len(known) == 2 else len(known),), name="scores")
        scores = _affine(given, np.eye(given.shape[1]), np.zeros(given.shape[1]))
        logs = of_scores(scores)
    else:
        given = keras.Input((len(known),), name="probabilities")
        logs = of_probabilities(given)
    values = calibrated(complete(logs, known, classes), temperature)
    return keras.Model(given, values, name="calibration")


def gives_scores(estimator: Any) -> bool:
    """Return whether an estimator that is left to ONNX gives scores there, not probabilities."""
    return _kind(estimator) == "HistGradientBoostingClassifier"


def of_scores(scores: Any) -> Any:
    """Return the logarithms of the softmax of scores, symbolic (n, K)."""
    from keras import ops

    return ops.log_softmax(scores)


def of_probabilities(probabilities: Any) -> Any:
    """Return logarithms of probabilities, symbolic (n, K)."""
    from keras import ops

    return ops.log(ops.maximum(probabilities, SMALLEST))


def calibrated(logs: Any, temperature: float) -> Any:
    """Return calibrated probabilities, symbolic (n, K), as `statistics.calibration.apply`."""
    from keras import ops

    return ops.softmax(ops.maximum(logs, float(np.log(SMALLEST))) / temperature)


def complete(logs: Any, known: np.ndarray, classes: int) -> Any:
    """Return a column for each class, symbolic (n, K).

    Args:
        logs: symbolic (n, k), a column for each known class.
        known: int (k,), their numbers.
        classes: the number K.
    """
    if len(known) == classes:
        return logs
    unknown = np.setdiff1d(np.arange(classes), known)
    bias = np.zeros(classes)
    bias[unknown] = 2 * np.log(SMALLEST)  # below what a known class can have
    return _dense(logs, np.eye(classes)[known], bias)


class _UnknownError(Exception):
    """A step, or one of its settings, is not expressed here."""


def _unknown(step: Any, x: Any) -> Any:
    raise _UnknownError


def _flat(model: Any) -> Iterator[Any]:
    """Yield the steps of a pipeline, those of pipelines within it one by one."""
    for _, step in model.steps:
        if hasattr(step, "steps"):
            yield from _flat(step)
        elif step is not None and step != "passthrough":
            yield step


def _rest(steps: list[Any]) -> Any:
    from sklearn.pipeline import make_pipeline

    return make_pipeline(*steps)


def _is_exact(model: Any) -> bool:
    return _kind(model) not in _VOTES


def _kind(step: Any) -> str:
    """Return the name of a step's class; empty for one that is neither scikit-learn's nor ours."""
    kind = type(step)
    return kind.__name__ if kind.__module__.startswith(("sklearn.", "pipeline.")) else ""


def _dense(x: Any, kernel: np.ndarray, bias: np.ndarray | None = None) -> Any:
    """Return x @ kernel + bias; matrices are weights of a layer, which files hold compactly."""
    import keras

    layer = keras.layers.Dense(kernel.shape[1], use_bias=bias is not None, dtype="float32")
    result = layer(x)
    layer.set_weights(
        [values.astype(np.float32) for values in (kernel, bias) if values is not None]
    )
    return result


def _unit_scale(step: Any, x: Any) -> Any:
    return (x - step.mean_.astype(np.float32)) / float(step.scale_)


def _standard_scale(step: Any, x: Any) -> Any:
    if step.mean_ is not None:
        x = x - step.mean_.astype(np.float32)
    return x if step.scale_ is None else x / step.scale_.astype(np.float32)


def _normalize(step: Any, x: Any) -> Any:
    from keras import ops

    if step.norm != "l2":
        raise _UnknownError
    return x / ops.maximum(ops.sqrt(ops.sum(x * x, axis=1, keepdims=True)), 1e-30)


def _components(step: Any, x: Any) -> Any:
    axes = step.components_.astype(np.float64)
    if step.whiten:
        axes = axes / np.sqrt(step.explained_variance_)[:, None]
    return _dense(x - step.mean_.astype(np.float32), axes.T)


def _nystroem(step: Any, x: Any) -> Any:
    if step.kernel != "rbf" or step.gamma is None:
        raise _UnknownError
    return _dense(_gaussian(x, step.components_, step.gamma), step.normalization_.T)


def _gaussian(x: Any, rows: np.ndarray, gamma: float) -> Any:
    """Return exp(-gamma |x - row|^2), symbolic (n, m), for rows (m, d)."""
    from keras import ops

    return ops.exp(ops.maximum(_squares(x, rows), 0.0) * -float(gamma))


def _squares(x: Any, rows: np.ndarray) -> Any:
    """Return squared distances to rows (m, d), symbolic (n, m); below 0 by rounding alone."""
    from keras import ops

    rows = rows.astype(np.float64)
    if rows.size > LARGEST:
        raise UsageError(
            f"it predicts by {len(rows)} rows of {rows.shape[1]} values, and a network takes "
            f"along {LARGEST} values at most; `pack` carries it"
        )
    norms = ops.sum(x * x, axis=1, keepdims=True)
    return norms + _dense(x, -2 * rows.T, np.square(rows).sum(axis=1))


def _linear(model: Any, x: Any) -> Any:
    return _affine(x, np.atleast_2d(model.coef_), np.ravel(model.intercept_))


def _affine(x: Any, weights: np.ndarray, bias: np.ndarray) -> Any:
    """Return x @ weights.T + bias; a single score is that of the second of two classes."""
    if len(weights) == 1:
        weights, bias = np.vstack([0 * weights, weights]), np.append(0, bias)
    return _dense(x, weights.T, bias)


def _centroids(model: Any, x: Any) -> Any:
    """Return what differs between squared distances to the centroids, which is linear."""
    deviation = model.within_class_std_dev_
    deviation = np.where(deviation == 0, 1.0, deviation)
    centre = model.centroids_.mean(axis=0)
    centroids = (model.centroids_ - centre) / deviation  # (K, d)
    bias = 2 * np.log(model.class_prior_) - np.square(centroids).sum(axis=1)
    return _dense(x - centre.astype(np.float32), 2 * (centroids / deviation).T, bias)


def _support_vectors(model: Any, x: Any) -> Any:
    """Return scikit-learn's scores of a multi-class SVC.

    Each pair of classes has a decision; a class gets a vote for each that it wins, and by the sum
    of its decisions less than half a vote more (`sklearn.utils.multiclass._ovr_decision_function`).
    """
    from keras import ops

    if model.kernel != "rbf":
        raise _UnknownError
    kernel = _gaussian(x, model.support_vectors_, model._gamma)  # (n, m)
    if len(model.classes_) == 2:
        return _affine(kernel, model.dual_coef_, model.intercept_)
    weights, of_pairs = _pairs(model)
    decisions = _dense(kernel, weights, model.intercept_)  # (n, pairs)
    won = ops.cast(ops.greater_equal(decisions, 0.0), "float32")
    votes = _dense(won, of_pairs, (of_pairs < 0).sum(axis=0))  # (n, K)
    sums = _dense(decisions, of_pairs)
    return votes + sums / ((ops.absolute(sums) + 1.0) * 3.0)


def _pairs(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return what each support vector weighs in each pair's decision, (m, pairs), and the pairs.

    The latter are 1 for the first class of a pair and -1 for the second, (pairs, K).
    """
    ends = np.cumsum(model.n_support_)
    members = [slice(end - count, end) for end, count in zip(ends, model.n_support_, strict=True)]
    first, second = np.triu_indices(len(members), 1)
    weights = np.zeros((ends[-1], len(first)))
    of_pairs = np.zeros((len(first), len(members)))
    for pair, (i, j) in enumerate(zip(first, second, strict=True)):
        weights[members[i], pair] = model.dual_coef_[j - 1, members[i]]
        weights[members[j], pair] = model.dual_coef_[i, members[j]]
        of_pairs[pair, i], of_pairs[pair, j] = 1, -1
    return weights, of_pairs


def _neighbours(model: Any, x: Any) -> Any:
    from keras import ops

    if model.weights != "uniform" or model.effective_metric_ != "euclidean":
        raise _UnknownError
    _, nearest = ops.top_k(_squares(x, model._fit_X) * -1.0, model.n_neighbors)
    labels = ops.take(model._y.astype(np.int32), nearest)  # (n, k)
    return ops.mean(ops.one_hot(labels, len(model.classes_)), axis=1)


def _dense_head(model: Any, x: Any) -> Any:
    return model.network_(x)


def _frequencies(model: Any, x: Any) -> Any:
    if model.strategy != "prior":
        raise _UnknownError
    return _dense(x, np.zeros((x.shape[1], len(model.classes_))), np.asarray(model.class_prior_))


_Operation = Callable[[Any, Any], Any]  # takes a fitted step and x, symbolic; returns symbolic

_TRANSFORMS: dict[str, _Operation] = {
    "UnitScale": _unit_scale,
    "BlockScale": _standard_scale,
    "StandardScaler": _standard_scale,
    "Normalizer": _normalize,
    "PCA": _components,
    "Nystroem": _nystroem,
}
_SCORES: dict[str, _Operation] = {
    "SoftmaxRegression": _linear,
    "LinearSVM": _linear,
    "RidgeClassifier": _linear,
    "LinearDiscriminant": _linear,
    "NearestCentroid": _centroids,
    "SVC": _support_vectors,
}
_PROBABILITIES: dict[str, _Operation] = {
    "KNeighborsClassifier": _neighbours,
    "DenseHead": _dense_head,
    "DummyClassifier": _frequencies,
}
_VOTES = (
    "KNeighborsClassifier", "RandomForestClassifier", "ExtraTreesClassifier",
    "HistGradientBoostingClassifier",
)  # fmt: skip
