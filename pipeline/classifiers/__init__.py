"""The suite of classifiers, by name. Importing it imports no scikit-learn."""

from collections.abc import Sequence
from typing import Any

from features.errors import UsageError, unknown_name
from pipeline.classifiers.base import Classifier
from pipeline.classifiers.dense_head import DENSE_HEAD
from pipeline.classifiers.dummy import DUMMY
from pipeline.classifiers.extra_trees import EXTRA_TREES
from pipeline.classifiers.gradient_boosting import GRADIENT_BOOSTING
from pipeline.classifiers.knn import KNN_COSINE, KNN_EUCLIDEAN
from pipeline.classifiers.lda import LDA
from pipeline.classifiers.linear_svm import LINEAR_SVM
from pipeline.classifiers.logistic import LOGISTIC
from pipeline.classifiers.nearest_centroid import NEAREST_CENTROID
from pipeline.classifiers.random_forest import RANDOM_FOREST
from pipeline.classifiers.rbf_svm import RBF_SVM
from pipeline.classifiers.ridge import RIDGE

SUITE = (
    LOGISTIC,
    LINEAR_SVM,
    RBF_SVM,
    RANDOM_FOREST,
    EXTRA_TREES,
    GRADIENT_BOOSTING,
    KNN_COSINE,
    KNN_EUCLIDEAN,
    RIDGE,
    LDA,
    NEAREST_CENTROID,
    DENSE_HEAD,
    DUMMY,
)


def find(name: str) -> Classifier:
    """Return a classifier of the suite, or one of the cheaper fallbacks, by name.

    Raises:
        UsageError: there is none of that name.
    """
    known = _known()
    if name not in known:
        raise unknown_name("classifier", name, list(known))
    return known[name]


def choose(choices: Sequence[Any]) -> list[Classifier]:
    """Return the chosen classifiers, each once; the whole suite where nothing is chosen.

    Args:
        choices: names, and an analyst's own estimators, each as an `OwnClassifier` or as a tuple
            (name, estimator, space), in which the space may be left out.

    Raises:
        UsageError: a name is unknown or there twice, or an estimator cannot be a candidate.
    """
    chosen: dict[str, Classifier] = {}
    for choice in choices:
        classifier = find(choice) if isinstance(choice, str) else _own(choice)
        if classifier.own and (classifier.name in _known() or classifier.name in chosen):
            raise UsageError(
                f"a classifier of your own is called {classifier.name!r}, as is another one; "
                "choose another name"
            )
        chosen[classifier.name] = classifier
    return list(chosen.values()) or list(SUITE)


def _own(choice: Any) -> Classifier:
    from pipeline.classifiers.own import OwnClassifier

    if isinstance(choice, OwnClassifier):
        return choice.classifier()
    if isinstance(choice, tuple) and len(choice) in (2, 3):
        return OwnClassifier(*choice).classifier()
    raise UsageError(
        f"classifiers holds {choice!r:.80}, expected a name or a tuple "
        '("my-name", estimator, search space)'
    )


def _known() -> dict[str, Classifier]:
    return {
        classifier.name: classifier
        for member in SUITE
        for classifier in (member, *member.fallbacks)
    }
