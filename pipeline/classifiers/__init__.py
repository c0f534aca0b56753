"""The suite of classifiers, by name. Importing it imports no scikit-learn."""

from collections.abc import Sequence

from features.errors import unknown_name
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


def choose(names: Sequence[str]) -> list[Classifier]:
    """Return the classifiers of these names, each once; the whole suite where no name is given.

    Raises:
        UsageError: a name is unknown.
    """
    return [find(name) for name in dict.fromkeys(names)] or list(SUITE)


def _known() -> dict[str, Classifier]:
    return {
        classifier.name: classifier
        for member in SUITE
        for classifier in (member, *member.fallbacks)
    }
