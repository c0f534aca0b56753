"""The classifiers stage: what each classifier of the suite is good for, costs and tries."""

from typing import Any

from pipeline.classifiers import SUITE
from pipeline.classifiers.base import Classifier
from pipeline.results.listings import ClassifierFacts

# Seconds to fit the default on 10,000 rows of 2,048 features and 10 classes, on two cores of an
# AMD EPYC shared with other work, with scikit-learn's own SVC; the order of magnitude matters.
_SECONDS: dict[str, float] = {
    "logistic": 5.5,
    "linear-svm": 3,
    "rbf-svm": 7.4,
    "rbf-svm-nystroem": 4.3,
    "random-forest": 68,
    "extra-trees": 36,
    "gradient-boosting": 7.2,
    "knn-cosine": 0.4,
    "knn-euclidean": 0.01,
    "ridge": 1.3,
    "lda": 10.2,
    "nearest-centroid": 0.8,
    "dense-head": 23,
    "dummy": 0.01,
}


def run() -> tuple[ClassifierFacts, ...]:
    """List the suite; each classifier is followed by its cheaper fallbacks."""
    return tuple(
        ClassifierFacts(
            classifier.name,
            classifier.title,
            _SECONDS[classifier.name],
            len(classifier.space),
            _values(classifier),
            classifier.good_for,
            None if classifier is member else member.name,
        )
        for member in SUITE
        for classifier in (member, *member.fallbacks)
    )


def _values(classifier: Classifier) -> dict[str, list[Any]]:
    """Return the values that a search space gives to each of its parameters."""
    values: dict[str, list[Any]] = {}
    for setting in classifier.space:
        for name, value in setting.items():
            known = values.setdefault(name.partition("__")[2], [])
            known += [] if value in known else [value]
    return values
