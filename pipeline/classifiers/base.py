"""What a classifier of the suite is: how it is built, what tuning tries, what it costs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

Setting = dict[str, Any]  # parameters by the names a scikit-learn pipeline gives them: model__C

# Model, its settings, x and y of training, x of validation -> the probabilities of each, with a
# column a class of the training rows, in increasing order.
Path = Callable[
    ["BaseEstimator", Sequence[Setting], np.ndarray, np.ndarray, np.ndarray], Iterator[np.ndarray]
]


@dataclass(frozen=True)
class Task:
    """What a classifier is told of the data before it sees them."""

    rows: int  # for training: the fewest that any pipeline for this task is fitted on
    features: int
    classes: int
    seed: int


@dataclass(frozen=True)
class Classifier:
    """One classifier of the suite.

    Attributes:
        name: on the command line and in the names of candidates, such as "linear-svm".
        title: in tables, such as "linear SVM".
        good_for: one line for the analyst who chooses.
        build: gives an unfitted pipeline for a task; its last step is called "model", and what is
            before that is fitted on training rows alone.
        space: the settings that tuning tries, from the most to the least regularized.
        default: the setting that is taken without tuning; one of `space`.
        growth: fitting takes seconds in proportion to rows ** growth.
        ordered: `space` is a path of one parameter of the model: each setting starts where the
            one before ended, and the path ends when the score keeps falling.
        path: probabilities of several settings for less than fitting each; None fits each.
        keeps_rows: predicting takes seconds in proportion to the rows that were learned from.
        fallbacks: cheaper relatives for when the budget is short, dearest first.
        needs: the package that must be there, beside the regular ones.
    """

    name: str
    title: str
    good_for: str
    build: Callable[[Task], "Pipeline"]
    space: tuple[Setting, ...]
    default: Setting
    growth: float
    ordered: bool = False
    path: Path | None = None
    keeps_rows: bool = False
    fallbacks: tuple["Classifier", ...] = ()
    needs: str | None = None


def probabilities(model: "BaseEstimator", x: np.ndarray, classes: int) -> np.ndarray:
    """Return class probabilities, float32 (n, classes); rows sum to 1.

    Where a model has none of its own they are the softmax of its scores, which ranks classes as
    the scores do; `evaluation.metrics` shows what temperature scaling makes of them.

    Args:
        model: a fitted classifier whose `classes_` are numbers below `classes`.
        x: float32 (n, D).
        classes: how many columns to give; those that the model has not seen hold 0.
    """
    if hasattr(model, "predict_proba"):
        values = np.asarray(model.predict_proba(x), np.float64)
    else:
        scores = np.asarray(model.decision_function(x), np.float64)
        if scores.ndim == 1:  # of two classes: that of the second one
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
        values = np.exp(scores - scores.max(axis=1, keepdims=True))
    full = np.zeros((len(x), classes), np.float32)
    full[:, np.asarray(model.classes_, int)] = values / values.sum(axis=1, keepdims=True)
    return full
