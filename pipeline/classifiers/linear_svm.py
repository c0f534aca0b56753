"""Linear support vector machine, one class against the rest."""

from typing import TYPE_CHECKING

from pipeline.classifiers.base import CLASS_WEIGHT, Classifier, Task

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def _build(task: Task) -> "Pipeline":
    from sklearn.pipeline import Pipeline

    from pipeline.classifiers.estimators.linear import LinearSVM
    from pipeline.classifiers.estimators.unit_scale import UnitScale

    return Pipeline([("scale", UnitScale()), ("model", LinearSVM())])


LINEAR_SVM = Classifier(
    name="linear-svm",
    title="linear SVM",
    good_for="comparing with papers, most of which use it on CNN features",
    build=_build,
    space=tuple({"model__C": c} for c in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1000.0)),
    default={"model__C": 1.0},
    growth=1.0,
    by_blocks=True,
    ordered=True,
    class_weight=CLASS_WEIGHT,
)
