"""Linear discriminant analysis with a shrunk covariance."""

from typing import TYPE_CHECKING

from pipeline.classifiers.base import CLASS_WEIGHT, Classifier, Task

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def _build(task: Task) -> "Pipeline":
    from sklearn.pipeline import Pipeline

    from pipeline.classifiers.estimators.lda import LinearDiscriminant
    from pipeline.classifiers.estimators.unit_scale import UnitScale

    return Pipeline([("scale", UnitScale()), ("model", LinearDiscriminant())])


LDA = Classifier(
    name="lda",
    title="linear discriminant analysis",
    good_for="few images: it learns only class means and a shrunk covariance",
    build=_build,
    space=tuple({"model__shrinkage": share} for share in (0.9, 0.5, 0.1, 0.01, 0.001)),
    default={"model__shrinkage": 0.1},
    growth=1.0,
    by_blocks=True,
    products=True,
    class_weight=CLASS_WEIGHT,
)
