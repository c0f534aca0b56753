"""What a classifier is: how it is built, which settings tuning tries, what it costs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

Setting = dict[str, Any]  # parameters by their names in a scikit-learn pipeline, such as model__C

CLASS_WEIGHT = "model__class_weight"

# A function that takes a model, its settings, x and y of the training rows and x of the validation
# rows. It yields the probabilities of each setting, with a column for each class among the training
# rows, in increasing order.
Path = Callable[
    ["BaseEstimator", Sequence[Setting], np.ndarray, np.ndarray, np.ndarray], Iterator[np.ndarray]
]


@dataclass(frozen=True)
class Task:
    """The properties of the data for which a classifier is built.

    Attributes:
        rows: the number of training rows: the fewest that any pipeline of this task is fitted on.
        features: the number of features.
        classes: the number of classes.
        seed: the seed of everything random in the classifier.
        widths: the number of features of each layer that stands side by side in a row; empty for
            one.
    """

    rows: int
    features: int
    classes: int
    seed: int
    widths: tuple[int, ...] = ()


def _nothing(task: Task) -> int:
    return 0


@dataclass(frozen=True)
class Classifier:
    """A classifier of the suite, or one of an analyst's own.

    Attributes:
        name: on the command line and in the names of candidates, such as "linear-svm".
        title: the name in tables, such as "linear SVM".
        good_for: one line of advice for the analyst who chooses.
        build: returns an unfitted pipeline for a task; its last step is called "model", and the
            steps before it are fitted on training rows alone.
        space: the settings that tuning tries, from the most to the least regularized.
        default: the setting that is taken without tuning.
        growth: fitting takes seconds in proportion to rows ** growth.
        ordered: whether `space` is a path along one parameter of the model: each fit starts from
            the solution of the one before, and the path ends when the score keeps falling.
        path: returns the probabilities of several settings for less than fitting each; None fits
            each.
        class_weight: the parameter that takes class weights, see `with_class_weights`; empty for
            none.
        at_most_rows: a parameter that may not be above the number of training rows; empty for none.
        keeps_rows: whether predicting takes seconds in proportion to the training rows.
        fallbacks: cheaper classifiers for a short budget, the most expensive first.
        needs: a package that it needs beside the regular ones.
        by_blocks: whether it learns from rows that are read in blocks, to the same optimum; others
            learn from a sample of rows that do not fit into memory.
        products: whether it then holds the products of all features with each other.
        kept_bytes: returns the bytes that a fitted model takes for each row of a task, beside the
            row itself.
        digest: what identifies an analyst's own estimator: class, parameters and space; empty for
            the suite, whose names do.
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
    class_weight: str = ""
    at_most_rows: str = ""
    keeps_rows: bool = False
    fallbacks: tuple["Classifier", ...] = ()
    needs: str | None = None
    by_blocks: bool = False
    products: bool = False
    kept_bytes: Callable[[Task], int] = _nothing
    digest: str = ""

    def pipeline(self, task: Task) -> "Pipeline":
        """Return an unfitted pipeline: that of `build`, after a common scale for several layers."""
        pipeline = self.build(task)
        if len(task.widths) > 1:
            from pipeline.classifiers.estimators.block_scale import BlockScale

            pipeline.steps.insert(0, ("blocks", BlockScale(task.widths)))
        return pipeline

    def cut_to(self, rows: int) -> "Classifier":
        """Return the classifier and its fallbacks with the settings that so many rows allow.

        Args:
            rows: the number of training rows of the smallest fit.
        """
        fallbacks = tuple(fallback.cut_to(rows) for fallback in self.fallbacks)
        if not self.at_most_rows:
            return replace(self, fallbacks=fallbacks) if fallbacks else self
        space = tuple(setting for setting in self.space if setting[self.at_most_rows] <= rows)
        default = self.default if self.default in space else space[0]
        return replace(self, space=space, default=default, fallbacks=fallbacks)

    def with_class_weights(self) -> "Classifier":
        """Return it and its fallbacks with each setting once more with balanced class weights.

        The images of a class then weigh together as much as those of any other class.
        """
        fallbacks = tuple(fallback.with_class_weights() for fallback in self.fallbacks)
        weights = [{}, {self.class_weight: "balanced"}] if self.class_weight else [{}]
        space = tuple(setting | weight for setting in self.space for weight in weights)
        return replace(self, space=space, fallbacks=fallbacks)

    @property
    def own(self) -> bool:
        """Whether it is an analyst's own, whose code and files we cannot vouch for."""
        return bool(self.digest)


def scores(model: "BaseEstimator", x: np.ndarray, classes: int) -> np.ndarray | None:
    """Return what a model's decision is made by, float64 (n, classes); None where it has no scores.

    Args:
        model: a fitted classifier whose `classes_` are numbers below `classes`.
        x: float32 (n, D).
        classes: the number of columns; classes that the model has not seen get 0.
    """
    if not hasattr(model, "decision_function"):
        return None
    values = np.asarray(model.decision_function(x), np.float64)
    if values.ndim == 1:  # two classes: the score of the second one
        values = np.stack([-values, values], axis=1)
    full = np.zeros((len(x), classes))
    full[:, np.asarray(model.classes_, int)] = values
    return full


def probabilities(model: "BaseEstimator", x: np.ndarray, classes: int) -> np.ndarray:
    """Return class probabilities, float32 (n, classes); each row sums to 1.

    A model without `predict_proba` gets the softmax of its scores, which ranks classes as the
    scores do; temperature scaling (`statistics.calibration`) makes it a calibrated one. A model
    without scores too gets 1 for the class that it predicts.

    Args:
        model: a fitted classifier whose `classes_` are numbers below `classes`.
        x: float32 (n, D).
        classes: the number of columns; classes that the model has not seen get 0.
    """
    known = np.asarray(model.classes_, int)
    if hasattr(model, "predict_proba"):
        values = np.asarray(model.predict_proba(x), np.float64)
    elif hasattr(model, "decision_function"):
        scores = np.asarray(model.decision_function(x), np.float64)
        if scores.ndim == 1:  # two classes: the score of the second one
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
        values = np.exp(scores - scores.max(axis=1, keepdims=True))
    else:
        values = (np.asarray(model.predict(x), int)[:, None] == known).astype(np.float64)
    full = np.zeros((len(x), classes), np.float32)
    full[:, known] = values / values.sum(axis=1, keepdims=True)
    return full
