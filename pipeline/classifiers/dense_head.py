"""A small dense network on the features, as it is trained on top of a frozen backbone."""

from typing import TYPE_CHECKING

from pipeline.classifiers.base import CLASS_WEIGHT, Classifier, Task

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def _build(task: Task) -> "Pipeline":
    from sklearn.pipeline import Pipeline

    from features.processes.quiet import keras_here
    from pipeline.classifiers.estimators.dense_head import DenseHead

    keras_here("the dense head")  # raises MissingPackageError before anything is fitted
    return Pipeline([("model", DenseHead(random_state=task.seed))])


DENSE_HEAD = Classifier(
    name="dense-head",
    title="dense head",
    good_for="what a network's own last layers would learn; the first step of fine-tuning",
    build=_build,
    space=(
        {"model__hidden": (256,), "model__dropout": 0.5},
        {"model__hidden": (1024,), "model__dropout": 0.5},
        {"model__hidden": (512, 256), "model__dropout": 0.5},
    ),
    default={"model__hidden": (1024,), "model__dropout": 0.5},
    growth=1.0,
    by_blocks=True,
    class_weight=CLASS_WEIGHT,
    needs="keras",
)
