"""Gradient boosting of trees on histograms of the principal components."""

from typing import TYPE_CHECKING

from pipeline.classifiers.base import CLASS_WEIGHT, Classifier, Task
from pipeline.classifiers.components import principal_components

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

_COMPONENTS = 64  # time grows in proportion to features: all 2,048 of a layer take 15 times as long
_ROUNDS = 300  # at most; the loss on a tenth of the training rows ends the boosting


def _build(task: Task) -> "Pipeline":
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline

    from pipeline.classifiers.estimators.unit_scale import UnitScale

    model = HistGradientBoostingClassifier(
        max_iter=_ROUNDS, early_stopping=True, random_state=task.seed
    )
    steps = [("scale", UnitScale()), ("pca", principal_components(task, _COMPONENTS))]
    return Pipeline([*steps, ("model", model)])


GRADIENT_BOOSTING = Classifier(
    name="gradient-boosting",
    title="gradient boosting",
    good_for="trees on the principal components; slow where there are many classes",
    build=_build,
    space=tuple(
        {"model__learning_rate": 0.1, "model__max_leaf_nodes": leaves} for leaves in (7, 15, 31)
    ),
    default={"model__learning_rate": 0.1, "model__max_leaf_nodes": 15},
    growth=1.0,
    class_weight=CLASS_WEIGHT,
)
