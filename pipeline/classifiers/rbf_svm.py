"""A support vector machine with a Gaussian kernel on principal components, and its fallback."""

from typing import TYPE_CHECKING

from pipeline.classifiers.accelerated import estimator
from pipeline.classifiers.base import CLASS_WEIGHT, Classifier, Task
from pipeline.classifiers.components import principal_components

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

_COMPONENTS = 256  # their kernel costs a fraction of that of all features
_LANDMARKS = 1000  # rows of the Nystroem approximation, whose kernels become the features


def _components(task: Task) -> list:
    from pipeline.classifiers.estimators.unit_scale import UnitScale

    return [("scale", UnitScale()), ("pca", principal_components(task, _COMPONENTS))]


def _build(task: Task) -> "Pipeline":
    from sklearn.pipeline import Pipeline

    svc = estimator("svm", "SVC")
    return Pipeline([*_components(task), ("model", svc(random_state=task.seed))])


def _build_nystroem(task: Task) -> "Pipeline":
    from sklearn.kernel_approximation import Nystroem
    from sklearn.pipeline import Pipeline

    from pipeline.classifiers.estimators.linear import LinearSVM

    landmarks = Nystroem(n_components=min(_LANDMARKS, task.rows), random_state=task.seed)
    return Pipeline([*_components(task), ("kernel", landmarks), ("model", LinearSVM())])


RBF_SVM_NYSTROEM = Classifier(
    name="rbf-svm-nystroem",
    title="RBF SVM by Nystroem",
    good_for="an approximate RBF SVM where there are too many rows for an exact one",
    build=_build_nystroem,
    space=tuple(
        {"kernel__gamma": gamma, "model__C": c} for gamma in (0.5, 1.0) for c in (0.3, 3.0, 30.0)
    ),
    default={"kernel__gamma": 0.5, "model__C": 3.0},
    growth=1.0,
    class_weight=CLASS_WEIGHT,
)

RBF_SVM = Classifier(
    name="rbf-svm",
    title="RBF SVM",
    good_for="often the most accurate; its time grows with the square of the rows",
    build=_build,
    space=tuple(
        {"model__gamma": gamma, "model__C": c}
        for gamma in (0.5, 1.0, 2.0)
        for c in (1.0, 3.0, 10.0)
    ),
    default={"model__gamma": 1.0, "model__C": 3.0},
    growth=2.0,
    class_weight=CLASS_WEIGHT,
    keeps_rows=True,
    fallbacks=(RBF_SVM_NYSTROEM,),
)
