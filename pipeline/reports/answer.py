"""The answer that a report begins with: which candidate, how good, who is tied, what it costs."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from pipeline.reports.scores import PLAIN, TITLES, number
from pipeline.results.comparison import Comparison
from pipeline.results.records import Record
from pipeline.results.report import Report

NAMED = 2  # tied candidates that the sentence names
NARROW = "\N{NARROW NO-BREAK SPACE}"  # between a number and its unit


@dataclass(frozen=True)
class Answer:
    """The question, and the parts of the two sentences that answer it.

    Attributes:
        question: a headline.
        title: of the recommended candidate.
        given: what it learns from.
        good: how good it is: "is right in 81.1 % of 1,500 validation images".
        interval: of that: "95 % interval 79.1 to 83.1 %".
        because: the second sentence.
    """

    question: str
    title: str
    given: str
    good: str
    interval: str
    because: str


def answer(comparison: Comparison) -> Answer:
    """Put a comparison in two sentences."""
    ranking, config = comparison.ranking, comparison.config
    rank, metric = ranking.recommended, ranking.metric
    record, found = ranking.entries[rank].record, comparison.estimates[rank][metric]
    images, classes = len(ranking.labels), len(ranking.splits.class_names)
    value, low, high = (number(metric, one) for one in (found.value, found.low, found.high))
    good = (
        f"is right in {value}{NARROW}% of {images:,} validation images"
        if metric == "accuracy"
        else f"reaches a {TITLES[metric]} of {value}{NARROW}% on {images:,} validation images"
    )
    return Answer(
        f"Which classifier tells these {classes:,} classes apart?",
        record.title,
        learned_from(record),
        good,
        f"{100 * config.confidence:g}{NARROW}% interval {low} to {high}{NARROW}%",
        _because(comparison),
    )


def _because(comparison: Comparison) -> str:
    ranking = comparison.ranking
    rank, rivals = ranking.recommended, _rivals(comparison)
    record, best = ranking.entries[rank].record, ranking.entries[0].record
    costs = (
        f"{seconds(record.seconds['fit'])} to fit and "
        f"{seconds(record.seconds['predict_1000'])} to predict 1,000 images"
    )
    if len(ranking.entries) == 1:
        return f"It is the only candidate, and takes {costs}."
    if rank:
        score = percent(ranking.metric, ranking.scores[0])
        others = f", nor from {_named(rivals)}" if rivals else ""
        return (
            f"McNemar's test cannot tell it from the best, {_name(best)} ({score}){others}; it is "
            f"the cheapest of these {len(rivals) + 2}: {costs}."
        )
    if rivals:
        return (
            f"McNemar's test cannot tell it from {_named(rivals)}; it is the best and the cheapest "
            f"of these {len(rivals) + 1}: {costs}."
        )
    return (
        f"It is the best of {len(ranking.entries)} candidates, told from every other one by "
        f"McNemar's test, and takes {costs}."
    )


def _rivals(comparison: Comparison) -> list[Record]:
    """Return the others that are tied: neither the recommended one nor the best."""
    ranking = comparison.ranking
    ranks = [n for n, tied in enumerate(ranking.tied.tolist()) if tied]
    return [ranking.entries[n].record for n in ranks if n not in (0, ranking.recommended)]


def _named(records: list[Record]) -> str:
    names = [_name(record) for record in records[:NAMED]]
    if more := len(records) - len(names):
        names.append(f"{more} more")
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _name(record: Record) -> str:
    given = learned_from(record)
    return f"{record.title} on {given}" if given else record.title


def learned_from(record: Record) -> str:
    """Return what a candidate learned from: backbone and layer, or the pixels' source."""
    inputs = record.inputs
    parts = [str(inputs[key]) for key in ("backbone", "layer") if inputs.get(key)]
    return " ".join(parts) if "layer" in inputs else ""


def seconds(value: float) -> str:
    """Return a time as people read it, with two digits."""
    for limit, unit, size in ((1, "ms", 0.001), (120, "s", 1), (7200, "min", 60)):
        if value < limit:
            return f"{_short(value / size)}{NARROW}{unit}"
    return f"{_short(value / 3600)}{NARROW}h"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def size(count: float) -> str:
    """Return bytes as people read them."""
    for limit, unit, one in ((1e6, "kB", 1e3), (1e9, "MB", 1e6)):
        if count < limit:
            return f"{_short(count / one)}{NARROW}{unit}"
    return f"{count / 1e9:.1f}{NARROW}GB"


def percent(metric: str, value: float) -> str:
    """Return a metric with its unit, if it has one."""
    return number(metric, value) + ("" if metric in PLAIN else f"{NARROW}%")


def dataset(report: Report) -> str:
    """Return the name of what the images came from, or nothing where nobody knows."""
    named = [source.location for source in report.sources if source.location]
    return PurePath(named[0]).name if named else ""


def tiles(report: Report) -> list[dict[str, Any]]:
    """Return the numbers beside the answer: a label, a value, a line below."""
    comparison = report.comparison
    ranking = comparison.ranking
    rank = ranking.recommended
    record, estimates = ranking.entries[rank].record, comparison.estimates[rank]
    found, tied = estimates["accuracy"], int(ranking.tied.sum())
    test = report.tests.get(rank)
    spent = record.seconds.get("search")
    searched = f"after {seconds(spent)} of search" if spent else "without a search"
    handed = "its features at hand" if record.kind == "classifier" else "from pixels"
    others = f"{tied - 1} of {len(ranking.entries) - 1}"
    return [
        _tile("On validation", percent("accuracy", found.value), _between(found.low, found.high)),
        _tile("On the locked test", *_tested(test), strong=test is not None),
        _tile("To fit", seconds(record.seconds["fit"]), searched),
        _tile("1,000 predictions", seconds(record.seconds["predict_1000"]), handed),
        _tile("Model", size(record.model["bytes"]), f"{size(record.peak_memory)} memory to fit"),
        _tile("Tied with the best", others, "other candidates"),
    ]


def _tile(label: str, value: str, below: str, strong: bool = True) -> dict[str, Any]:
    return {"label": label, "value": value, "below": below, "strong": strong}


def _between(low: float, high: float) -> str:
    return f"{number('accuracy', low)} to {number('accuracy', high)}{NARROW}%"


def _tested(test: dict[str, Any] | None) -> tuple[str, str]:
    if test is None:
        return "still locked", "open it with evaluate"
    found = test["metrics"]["accuracy"]
    return percent("accuracy", found["value"]), _between(found["low"], found["high"])
