"""The size of trees, and checks of those from a file, before they are used.

scikit-learn follows the node numbers of a tree without checking that they exist, so a forged file
could crash the process or make it read foreign memory; skops leaves the check to its users.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from features.errors import DataError
from pipeline.classifiers.base import Task

TREES = 300  # of a forest
_NODES = 0.5  # of a tree for each row, where every leaf holds one class: noise makes so many
_NODE_BYTES, _CLASS_BYTES = 64, 8
_HELD = 4  # forests: that of the search, that of the last fit, and what storing one takes


def forest_bytes(task: Task) -> int:
    """Return how many bytes forests take at most for each row that they learn from."""
    return int(_HELD * TREES * _NODES * (_NODE_BYTES + _CLASS_BYTES * task.classes))


def check_trees(model: Any) -> None:
    """Check every tree in a fitted pipeline, however deeply nested it is.

    Children must exist and have higher numbers than their parents, and features must be among
    those that the estimators of the last step are given.

    Raises:
        DataError: a tree is not sound.
    """
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
    from sklearn.tree._tree import Tree

    values = list(_nested(model[-1], set()))
    width = min((vars(value)["n_features_in_"] for value in values if _has_width(value)), default=0)
    for value in values:
        if isinstance(value, Tree):
            inner = value.children_left != -1
            columns = value.children_left, value.children_right, value.feature
        elif isinstance(value, TreePredictor):
            inner = value.nodes["is_leaf"] == 0
            columns = value.nodes["left"], value.nodes["right"], value.nodes["feature_idx"]
            if value.nodes["is_categorical"].any():
                raise DataError("a tree splits by categories, which features of images do not have")
        else:
            continue
        _check(np.flatnonzero(inner), len(inner), width, *(column[inner] for column in columns))


def _check(parents, nodes, width, left, right, feature):  # type: ignore[no-untyped-def]
    children = np.stack([left, right]).astype(np.int64)
    sound = (
        nodes > 0
        and (children > parents).all()
        and (children < nodes).all()
        and ((feature >= 0) & (feature < width)).all()
    )
    if not sound:
        raise DataError("it holds a tree that points to nodes or features that are not there")


def _has_width(value: Any) -> bool:
    return "n_features_in_" in getattr(value, "__dict__", {})


def _nested(value: Any, seen: set[int]) -> Iterator[Any]:
    """Yield a value and all values inside of it, each once."""
    if id(value) in seen or isinstance(value, str | bytes | int | float | type(None)):
        return
    seen.add(id(value))
    yield value
    if isinstance(value, np.ndarray):
        inside = value.tolist() if value.dtype == object else []
    elif isinstance(value, list | tuple | set):
        inside = value
    else:
        inside = (value if isinstance(value, dict) else getattr(value, "__dict__", {})).values()
    for inner in inside:
        yield from _nested(inner, seen)
