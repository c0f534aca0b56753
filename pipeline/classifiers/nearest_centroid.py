"""The nearest class mean, with or without shrunken centroids."""

from typing import TYPE_CHECKING

from pipeline.classifiers.base import Classifier, Task

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def _build(task: Task) -> "Pipeline":
    from sklearn.neighbors import NearestCentroid
    from sklearn.pipeline import Pipeline

    from pipeline.classifiers.estimators.unit_scale import UnitScale

    return Pipeline([("scale", UnitScale()), ("model", NearestCentroid())])


NEAREST_CENTROID = Classifier(
    name="nearest-centroid",
    title="nearest centroid",
    good_for="very few images per class, or a quick look: it learns only class means",
    build=_build,
    space=({"model__shrink_threshold": 1.0}, {"model__shrink_threshold": None}),
    default={"model__shrink_threshold": None},
    growth=1.0,
    by_blocks=True,
)
