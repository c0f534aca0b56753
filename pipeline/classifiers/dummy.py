"""A classifier that knows class frequencies alone: every other candidate must be better."""

from typing import TYPE_CHECKING

from pipeline.classifiers.base import Classifier, Task

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def _build(task: Task) -> "Pipeline":
    from sklearn.dummy import DummyClassifier
    from sklearn.pipeline import Pipeline

    return Pipeline([("model", DummyClassifier(strategy="prior"))])


DUMMY = Classifier(
    name="dummy",
    title="class frequencies",
    good_for="a floor: a candidate that is no better has learned nothing",
    build=_build,
    space=({},),
    default={},
    growth=1.0,
    by_blocks=True,
)
