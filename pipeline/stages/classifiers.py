"""The suite as a table: what each classifier is good for, costs and tries."""

from typing import Any

from pipeline.classifiers import SUITE
from pipeline.classifiers.base import Classifier
from pipeline.reports import tables

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


def overview() -> str:
    """Return a table of the suite and its cheaper fallbacks: use, cost and what tuning tries."""
    rows = [
        (one.name, one.title, _cost(one), len(one.space), _compact(one), one.good_for)
        for member in SUITE
        for one in (member, *member.fallbacks)
    ]
    header = ("classifier", "title", "fit", "settings", "what tuning tries", "good for")
    note = (
        "fit: the default on 10,000 rows of 2,048 features, two shared cores. C, alpha and gamma "
        "are relative to the features' scale."
    )
    return f"{tables.render(header, rows)}\n\n{note}"


def _cost(classifier: Classifier) -> str:
    seconds = _SECONDS[classifier.name]
    return f"{seconds:.0f} s" if seconds >= 1 else "< 1 s"


def _compact(classifier: Classifier) -> str:
    """Return the values that a search space gives to each of its parameters."""
    values: dict[str, list[Any]] = {}
    for setting in classifier.space:
        for name, value in setting.items():
            known = values.setdefault(name.partition("__")[2], [])
            known += [] if value in known else [value]
    return "; ".join(f"{name} {_span(known)}" for name, known in values.items()) or "nothing"


def _span(values: list[Any]) -> str:
    words = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    return " to ".join((words[0], words[-1])) if len(words) > 4 else ", ".join(words)
