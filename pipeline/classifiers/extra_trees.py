"""Extremely randomized trees."""

from typing import TYPE_CHECKING

from pipeline.classifiers.base import CLASS_WEIGHT, Classifier, Task
from pipeline.classifiers.trees import TREES, forest_bytes

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def _build(task: Task) -> "Pipeline":
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.pipeline import Pipeline

    from pipeline.classifiers.estimators.unit_scale import UnitScale

    forest = ExtraTreesClassifier(TREES, n_jobs=-1, random_state=task.seed)
    # Trees take features that differ by less than 1e-7 for equal.
    return Pipeline([("scale", UnitScale()), ("model", forest)])


EXTRA_TREES = Classifier(
    name="extra-trees",
    title="extra trees",
    good_for="a forest in less time: it draws its thresholds instead of searching for them",
    build=_build,
    space=(
        {"model__min_samples_leaf": 5, "model__max_features": "sqrt"},
        {"model__min_samples_leaf": 1, "model__max_features": "sqrt"},
        {"model__min_samples_leaf": 1, "model__max_features": 0.05},
    ),
    default={"model__min_samples_leaf": 1, "model__max_features": "sqrt"},
    growth=1.1,
    kept_bytes=forest_bytes,
    class_weight=CLASS_WEIGHT,
)
