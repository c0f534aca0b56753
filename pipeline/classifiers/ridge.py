"""Ridge regression on class indicators."""

from typing import TYPE_CHECKING

from pipeline.classifiers.base import CLASS_WEIGHT, Classifier, Task

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def _build(task: Task) -> "Pipeline":
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import Pipeline

    from pipeline.classifiers.estimators.unit_scale import UnitScale

    model = RidgeClassifier(solver="cholesky")
    return Pipeline([("scale", UnitScale()), ("model", model)])


RIDGE = Classifier(
    name="ridge",
    title="ridge classifier",
    good_for="a linear model that is solved without iterations; a little less accurate",
    build=_build,
    space=tuple({"model__alpha": alpha} for alpha in (1000.0, 100.0, 10.0, 1.0, 0.1)),
    default={"model__alpha": 1.0},
    growth=1.0,
    by_blocks=True,
    products=True,
    class_weight=CLASS_WEIGHT,
)
