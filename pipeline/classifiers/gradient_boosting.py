"""Gradient boosting of trees on histograms of the features, and its cheaper kin."""

from typing import TYPE_CHECKING

from pipeline.classifiers.base import Classifier, Setting, Task

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

_COMPONENTS = 64  # boosting takes seconds in proportion to features
_ROUNDS = 300  # at most: a tenth of the training rows says when to stop

_SPACE: tuple[Setting, ...] = (
    {"model__learning_rate": 0.1, "model__max_leaf_nodes": 7},
    {"model__learning_rate": 0.1, "model__max_leaf_nodes": 15},
    {"model__learning_rate": 0.1, "model__max_leaf_nodes": 31},
)


def _model(task: Task) -> tuple:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return "model", HistGradientBoostingClassifier(
        max_iter=_ROUNDS, early_stopping=True, random_state=task.seed
    )


def _build(task: Task) -> "Pipeline":
    from sklearn.pipeline import Pipeline

    return Pipeline([_model(task)])


def _build_pca(task: Task) -> "Pipeline":
    from sklearn.decomposition import PCA
    from sklearn.pipeline import Pipeline

    count = min(_COMPONENTS, task.features, task.rows)
    return Pipeline([("pca", PCA(count, svd_solver="covariance_eigh")), _model(task)])


GRADIENT_BOOSTING_PCA = Classifier(
    name="gradient-boosting-pca",
    title="gradient boosting on principal components",
    good_for="gradient boosting where features are many",
    build=_build_pca,
    space=_SPACE,
    default=_SPACE[1],
    growth=1.0,
)

GRADIENT_BOOSTING = Classifier(
    name="gradient-boosting",
    title="gradient boosting",
    good_for="features of mixed kinds that interact; slow where features and classes are many",
    build=_build,
    space=_SPACE,
    default=_SPACE[1],
    growth=1.0,
    kin=(GRADIENT_BOOSTING_PCA,),
)
