"""Trees from a file, checked before they are walked.

scikit-learn follows the node numbers of a tree without asking whether they exist, so that a forged
file could crash the process or make it read what is not its own; skops leaves this to its users.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from features.errors import DataError


def check_trees(model: Any) -> None:
    """Check every tree in a fitted pipeline, however deep inside of it.

    Children must have higher numbers than their parents and be there, and features that are
    asked for must be among those that any part of the last step is given.

    Raises:
        DataError: a tree is not sound.
    """
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
    from sklearn.tree._tree import Tree

    parts = list(_parts(model[-1], set()))
    width = min((vars(part)["n_features_in_"] for part in parts if _has_width(part)), default=0)
    for part in parts:
        if isinstance(part, Tree):
            inner = part.children_left != -1
            columns = part.children_left, part.children_right, part.feature
        elif isinstance(part, TreePredictor):
            inner = part.nodes["is_leaf"] == 0
            columns = part.nodes["left"], part.nodes["right"], part.nodes["feature_idx"]
            if part.nodes["is_categorical"].any():
                raise DataError("a tree asks for categories, which features of images have not")
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


def _has_width(part: Any) -> bool:
    return "n_features_in_" in getattr(part, "__dict__", {})


def _parts(value: Any, seen: set[int]) -> Iterator[Any]:
    """Yield a value and all that it holds, each once."""
    if id(value) in seen or isinstance(value, str | bytes | int | float | type(None)):
        return
    seen.add(id(value))
    yield value
    if isinstance(value, np.ndarray):
        held = value.tolist() if value.dtype == object else []
    elif isinstance(value, list | tuple | set):
        held = value
    else:
        held = (value if isinstance(value, dict) else getattr(value, "__dict__", {})).values()
    for one in held:
        yield from _parts(one, seen)
