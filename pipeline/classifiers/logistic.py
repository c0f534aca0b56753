"""Multinomial logistic regression."""

from typing import TYPE_CHECKING

from pipeline.classifiers.base import CLASS_WEIGHT, Classifier, Task

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def _build(task: Task) -> "Pipeline":
    from sklearn.pipeline import Pipeline

    from pipeline.classifiers.estimators.linear import SoftmaxRegression
    from pipeline.classifiers.estimators.unit_scale import UnitScale

    return Pipeline([("scale", UnitScale()), ("model", SoftmaxRegression())])


LOGISTIC = Classifier(
    name="logistic",
    title="logistic regression",
    good_for="a first try: strong on CNN features, with reliable probabilities",
    build=_build,
    space=tuple({"model__C": c} for c in (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)),
    default={"model__C": 10.0},
    growth=1.0,
    by_blocks=True,
    ordered=True,
    class_weight=CLASS_WEIGHT,
)
