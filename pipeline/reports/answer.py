"""The answer that a report begins with: the candidate, its score, its rivals, and its cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from pipeline.reports.scores import PLAIN, TITLES, bounds, number
from pipeline.results.comparison import Comparison
from pipeline.results.records import CLASSIFIER, EXTERNAL, NETWORK, Record
from pipeline.results.report import Report
from pipeline.statistics.intervals import Interval

NAMED = 2  # other candidates whose names the sentence gives
NARROW = "\N{NARROW NO-BREAK SPACE}"  # between a number and its unit
UNKNOWN = "–"
_GIVEN = {CLASSIFIER: "its features at hand", NETWORK: "from pixels", EXTERNAL: "by another tool"}


@dataclass(frozen=True)
class Answer:
    """The question, and the fragments of the two sentences that answer it.

    Attributes:
        question: a headline.
        verb: what to do with the candidate: "Take", or words for what only leads.
        title: the title of the recommended candidate.
        given: the backbone and layer that it learned from, or nothing.
        good: how good it is, such as "is right in 81.1 % of 1,500 validation images".
        interval: the interval of that, such as "95 % interval 79.1 to 83.1 %".
        because: the second sentence, on why it is recommended.
    """

    question: str
    verb: str
    title: str
    given: str
    good: str
    interval: str
    because: str


def answer(comparison: Comparison) -> Answer:
    """Return a comparison in two sentences."""
    ranking, config = comparison.ranking, comparison.config
    rank, metric = ranking.shown, ranking.metric
    record, estimate = ranking.entries[rank].record, comparison.estimates[rank][metric]
    images, classes = len(ranking.labels), len(ranking.splits.class_names)
    value = percent(metric, estimate.value)
    good = (
        f"is right in {value} of {images:,} validation images"
        if metric == "accuracy"
        else f"reaches a {TITLES[metric]} of {value} on {images:,} validation images"
    )
    return Answer(
        f"Which classifier tells these {classes:,} classes apart?",
        "None is recommended; ahead is" if ranking.recommended is None else "Take",
        record.title,
        learned_from(record),
        good,
        _interval(metric, estimate, config.confidence),
        _because(comparison),
    )


def _interval(metric: str, estimate: Interval, confidence: float) -> str:
    if estimate.reason:
        return f"no interval: {estimate.reason}"
    unit = "" if metric in PLAIN else f"{NARROW}%"
    shown = bounds(metric, estimate.low, estimate.high)
    return f"{100 * confidence:g}{NARROW}% interval {shown}{unit}"


def _because(comparison: Comparison) -> str:
    ranking = comparison.ranking
    rank, rivals = ranking.recommended, _rivals(comparison)
    if rank is None:
        return (
            "No candidate that could be the best is better than class frequencies by "
            f"{TITLES[ranking.metric]} (p < 0.05)."
        )
    best, costs = ranking.entries[0].record, _costs(ranking.entries[rank].record)
    if len(ranking.entries) == 1:
        return f"It is the only candidate, and takes {costs}."
    if rank:
        score = percent(ranking.metric, ranking.scores[0])
        others = f", and so could {_named(rivals, 'and')}" if rivals else ""
        return (
            f"It could be the best, as could {_name(best)} ({score}){others}; of those that give "
            f"up little it is the cheapest, or the surest of equally cheap ones: {costs}."
        )
    if rivals:
        return (
            f"It is ahead, though {_named(rivals)} could be the best as well; none of these "
            f"{len(rivals) + 1} is cheaper for as little given up: {costs}."
        )
    return (
        f"It is the best of {len(ranking.entries)} candidates, no other of which could be the "
        f"best, and takes {costs}."
    )


def _costs(record: Record) -> str:
    known = [
        f"{seconds(record.seconds[name])} {purpose}"
        for name, purpose in (("fit", "to fit"), ("predict_1000", "to predict 1,000 images"))
        if name in record.seconds
    ]
    return " and ".join(known) or "an unknown time to fit"


def _rivals(comparison: Comparison) -> list[Record]:
    """Return those that could be the best, but for the recommended one and the first."""
    ranking = comparison.ranking
    ranks = np.flatnonzero(ranking.could_be_best).tolist()
    return [ranking.entries[n].record for n in ranks if n not in (0, ranking.recommended)]


def _named(records: list[Record], last: str = "or") -> str:
    names = [_name(record) for record in records[:NAMED]]
    if more := len(records) - len(names):
        names.append(f"{more} more")
    return f" {last} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _name(record: Record) -> str:
    given = learned_from(record)
    return f"{record.title} on {given}" if given else record.title


def learned_from(record: Record) -> str:
    """Return the backbone and layer that a candidate learned from, or nothing."""
    inputs = record.inputs
    names = [str(inputs[key]) for key in ("backbone", "layer") if inputs.get(key)]
    return " ".join(names) if "layer" in inputs else ""


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
    for limit, unit, scale in ((1e6, "kB", 1e3), (1e9, "MB", 1e6)):
        if count < limit:
            return f"{_short(count / scale)}{NARROW}{unit}"
    return f"{count / 1e9:.1f}{NARROW}GB"


def percent(metric: str, value: float) -> str:
    """Return a metric with its unit, if it has one."""
    return number(metric, value) + ("" if metric in PLAIN else f"{NARROW}%")


def dataset(report: Report) -> str:
    """Return the name of the images' source, or nothing where it is not known."""
    named = [source.location for source in report.sources if source.location]
    return PurePath(named[0]).name if named else ""


def tiles(report: Report) -> list[dict[str, Any]]:
    """Return the numbers beside the answer: a label, a value, a line below."""
    comparison = report.comparison
    ranking = comparison.ranking
    rank = ranking.shown
    record, metric = ranking.entries[rank].record, ranking.metric
    estimate = comparison.estimates[rank][metric]
    test = report.tests.get(rank)
    spent = record.seconds.get("search")
    searched = f"after {seconds(spent)} of search" if spent else "without a search"
    memory = f"{size(record.peak_memory)} memory to fit" if record.peak_memory else ""
    others = f"{int(ranking.could_be_best.sum()) - 1} of {len(ranking.entries) - 1}"
    return [
        _tile(
            "On validation",
            percent(metric, estimate.value),
            _between(metric, estimate.low, estimate.high),
        ),
        _tile("Expect of new images", *_expected(comparison)),
        _tile("On the locked test", *_tested(test, metric), strong=test is not None),
        _tile("To fit", cost(record.costs, "fit_seconds"), searched),
        _tile("1,000 predictions", cost(record.costs, "predict_1000_seconds"), _GIVEN[record.kind]),
        _tile("Model", cost(record.costs, "model_bytes"), memory),
        _tile("Could be the best", others, "other candidates"),
    ]


def _expected(comparison: Comparison) -> tuple[str, str]:
    metric, selected = comparison.ranking.metric, comparison.expected
    shown = _between(metric, selected.low, selected.high)
    return percent(metric, selected.value), shown


def cost(costs: Mapping[str, Any], name: str) -> str:
    """Return a time or a size as people read it, a dash where it is not known."""
    shown = size if name.endswith("bytes") else seconds
    return shown(costs[name]) if name in costs else UNKNOWN


def _tile(label: str, value: str, below: str, strong: bool = True) -> dict[str, Any]:
    return {"label": label, "value": value, "below": below, "strong": strong}


def _between(metric: str, low: float | None, high: float | None) -> str:
    """Return the bounds of a metric, after its title where that is not accuracy."""
    shown = bounds(metric, low, high)
    if not (low is None or math.isnan(low) or metric in PLAIN):
        shown += f"{NARROW}%"
    return shown if metric == "accuracy" else f"{TITLES[metric]}, {shown}"


def _tested(test: dict[str, Any] | None, metric: str) -> tuple[str, str]:
    if test is None:
        return "still locked", "open it with evaluate"
    metric = metric if metric in test["metrics"] else "accuracy"  # 0.2.0 knew fewer
    estimate = test["metrics"][metric]
    return percent(metric, estimate["value"]), _between(metric, estimate["low"], estimate["high"])
