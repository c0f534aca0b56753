"""Random forest."""

from typing import TYPE_CHECKING

from pipeline.classifiers.base import CLASS_WEIGHT, Classifier, Task
from pipeline.classifiers.trees import TREES, forest_bytes

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def _build(task: Task) -> "Pipeline":
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import Pipeline

    from pipeline.classifiers.estimators.unit_scale import UnitScale

    forest = RandomForestClassifier(TREES, n_jobs=-1, random_state=task.seed)
    # Trees take features that differ by less than 1e-7 for equal.
    return Pipeline([("scale", UnitScale()), ("model", forest)])


RANDOM_FOREST = Classifier(
    name="random-forest",
    title="random forest",
    good_for="features of different kinds and scales; seldom the best on CNN features",
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
