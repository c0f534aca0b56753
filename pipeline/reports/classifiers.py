"""The suite as a table for a terminal: what each classifier is good for, costs and tries."""

from collections.abc import Sequence
from typing import Any

from pipeline.reports.tables import render
from pipeline.results.listings import ClassifierFacts


def text(classifiers: Sequence[ClassifierFacts]) -> str:
    """Return the table of the suite and its cheaper fallbacks."""
    header = ("classifier", "title", "fit", "settings", "what tuning tries", "good for")
    rows = [
        (each.name, each.title, _cost(each), each.settings, _space(each), each.good_for)
        for each in classifiers
    ]
    note = (
        "fit: the default on 10,000 rows of 2,048 features, two shared cores. C, alpha and gamma "
        "are relative to the features' scale."
    )
    return f"{render(header, rows)}\n\n{note}"


def _cost(classifier: ClassifierFacts) -> str:
    seconds = classifier.fit_seconds
    return f"{seconds:.0f} s" if seconds >= 1 else "< 1 s"


def _space(classifier: ClassifierFacts) -> str:
    return (
        "; ".join(f"{name} {_span(values)}" for name, values in classifier.space.items())
        or "nothing"
    )


def _span(values: list[Any]) -> str:
    words = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    return " to ".join((words[0], words[-1])) if len(words) > 4 else ", ".join(words)
