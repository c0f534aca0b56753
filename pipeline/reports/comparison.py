"""A comparison as text for a terminal, as CSV and as JSON."""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from features.text import for_csv, in_line
from pipeline.reports.scores import (
    TITLES,
    class_table,
    confused,
    expected,
    number,
    with_article,
)
from pipeline.reports.tables import render
from pipeline.results.comparison import Comparison, rounded
from pipeline.results.ranking import Ranking, mean_log_loss
from pipeline.results.verdict import costs_less
from pipeline.statistics import metrics
from pipeline.statistics.estimates import unequal
from pipeline.statistics.intervals import Interval

SHORT = {
    "balanced_accuracy": "balanced",
    "macro_f1": "macro F1",
    "rarest_recall": "rarest",
    "average_precision": "AP",
    "log_loss": "log loss",
    "roc_auc": "AUC",
    "calibration_error": "ECE",
    "calibrated_calibration_error": "ECE T",
    "accuracy_without_twins": "dedup.",
}


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


COSTS = {  # of the last columns: heading, as text, and the unit
    "fit_seconds": ("fit s", _seconds, 1),
    "train_seconds": ("train s", _seconds, 1),
    "images_1000_seconds": ("1000 s", _seconds, 1),
    "model_bytes": ("MB", "{:.1f}".format, 1e6),
    "peak_bytes": ("peak MB", "{:.0f}".format, 1e6),
}


def text(comparison: Comparison) -> str:
    """Return the table, notes on it, and the classes of the recommended candidate."""
    ranking = comparison.ranking
    names = ranking.splits.class_names
    shown = in_line(ranking.entries[ranking.shown].label)
    sections = [
        _heading(comparison),
        _table(comparison),
        "\n".join(map(in_line, _notes(comparison))),
        expectation(comparison),
        in_line(f"recommended: {why(comparison)}"),
        f"{shown}, class by class, the hardest first:\n" + class_table(comparison.confusion, names),
        confused(comparison.confusion, names),
        in_line("written: " + ", ".join(map(str, comparison.files))),
    ]
    return "\n\n".join(sections)


def expectation(comparison: Comparison) -> str:
    """Return a sentence on what new images will give, and why that is less than the best score."""
    ranking, selected = comparison.ranking, comparison.expected
    metric, tried = ranking.metric, len(ranking.family.scores)
    sentence = f"of new images expect {with_article(metric)} of {expected(metric, selected)}"
    if tried == 1:
        return sentence
    return (
        f"{sentence}: {number(metric, ranking.scores[0])} is the best of {tried} candidates and "
        "settings on the images that they were chosen by"
    )


def why(comparison: Comparison) -> str:
    """Return a sentence that says which candidate is recommended, and why."""
    ranking = comparison.ranking
    rank, others = ranking.recommended, int(ranking.could_be_best.sum()) - 1
    if rank is None:
        return (
            "none, as no candidate that could be the best is better than class frequencies by "
            f"{TITLES[ranking.metric]} (p < 0.05); more images, another layer or another backbone "
            "may help"
        )
    chosen = ranking.entries[rank].label
    if len(ranking.entries) == 1:
        return f"{chosen}, the only candidate"
    if rank:
        return (
            f"{chosen}: it could be the best (p = {ranking.p_best[rank]:.2g}), as "
            f"{ranking.best_entry.label} could, and {_advantage(ranking, rank)}"
        )
    if others:
        rivals = "the other one" if others == 1 else f"none of the {others} others"
        is_not = " is not" if others == 1 else " is"
        return (
            f"{chosen}: the best on these images, and {rivals} that could be the best{is_not} "
            "cheaper for as little given up"
        )
    return f"{chosen}: the best, and no other could be (p < 0.05)"


def _advantage(ranking: Ranking, rank: int) -> str:
    """Return what a candidate has before the one with the highest score."""
    chosen, first = ranking.entries[rank], ranking.best_entry
    cost, other = chosen.record.cost, first.record.cost
    loss, than_loss = (mean_log_loss(ranking.labels, e.probabilities) for e in (chosen, first))
    if costs_less(cost, other) or loss > than_loss:
        than = f"{other:.3g} s" if math.isfinite(other) else "an unknown time"
        return f"costs {cost:.3g} s instead of {than} for 1,000 images"
    return f"costs about as much, with a log loss of {loss:.3g} instead of {than_loss:.3g}"


def _heading(comparison: Comparison) -> str:
    ranking, config = comparison.ranking, comparison.config
    chosen = "" if config.metric else ", by which they were chosen"
    return (
        f"{len(ranking.labels)} validation images of {len(ranking.splits.class_names)} "
        f"classes, ranked by {TITLES[ranking.metric]}{chosen}, with {config.confidence:.0%} "
        "intervals"
    )


def _table(comparison: Comparison) -> str:
    ranking, shown = comparison.ranking, columns(comparison)
    conditions = ("images",) if any(ranking.conditions) else ()
    threshold = ("from",) if any(entry.record.threshold for entry in ranking.entries) else ()
    costs = [name for name in COSTS if any(name in row for row in comparison.rows)]
    header = (
        *("", "", "candidate", *conditions, *threshold, "accuracy %"),
        *(SHORT[name] for name in shown),
        *(COSTS[name][0] for name in costs),
    )
    rows = []
    could_be_best = ranking.could_be_best
    for rank, (entry, estimates) in enumerate(
        zip(ranking.entries, comparison.estimates, strict=True)
    ):
        mark = "*" if could_be_best[rank] and could_be_best.sum() > 1 else ""
        mark += "!" if entry.record.warnings else ""
        scores = [_cell(name, estimates[name], ranking.metric) for name in ("accuracy", *shown)]
        images = (ranking.conditions[rank],) if conditions else ()
        kept = (_threshold(entry.record.threshold),) if threshold else ()
        known = _costs(entry.record.costs, costs)
        rows.append((rank + 1, mark, entry.label, *images, *kept, *scores, *known))
    return render(header, rows)


def _threshold(kept: Mapping[str, Any]) -> str:
    return f"{kept['value']:.3f}" if kept else ""


def _cell(name: str, estimate: Interval, ranked: str) -> str:
    """Return a metric as a table has it: the one that ranks with its interval."""
    shown = number(name, estimate.value)
    if name != ranked or estimate.reason:
        return shown
    return f"{shown} [{number(name, estimate.low)}, {number(name, estimate.high)}]"


def columns(comparison: Comparison) -> list[str]:
    """Return the metrics beside the accuracy that tables have.

    Those of the rarest class stand there where classes differ much in size, or where they rank.
    """
    labels, metric = comparison.ranking.labels, comparison.ranking.metric
    left_out = set() if unequal(labels) else {"rarest_recall", "average_precision"} - {metric}
    if not 0 < comparison.near_duplicates < len(labels):
        left_out.add("accuracy_without_twins")
    return [name for name in SHORT if name not in left_out]


def warned(ranking: Ranking) -> dict[str, list[str]]:
    """Return what libraries warned of in the last fits, and the candidates of which they did."""
    names: dict[str, list[str]] = {}
    for entry in ranking.entries:
        for warning in entry.record.warnings:
            names.setdefault(warning, []).append(entry.label)
    return names


def _costs(costs: Mapping[str, float], names: Iterable[str]) -> Iterator[str]:
    """Yield the cells of the last columns; what is not known stays empty."""
    for name in names:
        _, shown, scale = COSTS[name]
        yield shown(costs[name] / scale) if name in costs else ""


def _notes(comparison: Comparison) -> Iterator[str]:
    ranking = comparison.ranking
    if ranking.could_be_best.sum() > 1:
        yield "*: could be the best; these hold the truly best candidate with 95 % confidence"
    yield ("ECE: expected calibration error in %, with T after temperature scaling (cross-fitted)")
    yield (
        "fit s: of the last fit; train s: from image bytes to the model, without the search; "
        "1000 s: from the bytes of 1,000 images to their prediction, where the rate of the "
        "extraction is known, else from features; MB: of the model's file"
    )
    if classes := {e.record.threshold["class"] for e in ranking.entries if e.record.threshold}:
        yield (
            f"from: the probability from which {classes.pop()} is predicted, calibrated; scores of "
            "classes are by thresholds that other images chose"
        )
    if unequal(ranking.labels):
        yield "rarest: recall of the rarest class in %; AP: average precision"
    for warning, names in warned(ranking).items():
        yield f"!: warned in the last fit: {warning} ({', '.join(names)})"
    for metric, estimate in comparison.estimates[ranking.shown].items():
        if estimate.reason:
            yield f"no interval of {TITLES[metric]}: {estimate.reason}"
    if comparison.near_duplicates:
        yield (
            f"dedup.: accuracy in % without {comparison.near_duplicates} images that have a "
            "duplicate or near-duplicate among those learned from"
        )
    for rank, entry in enumerate(ranking.entries):
        if entry.record.reason:
            yield f"{entry.label}: {entry.record.reason}"
        if ranking.is_floor(rank) and rank and ranking.could_be_best[rank]:
            yield (
                "warning: the best cannot be told from class frequencies alone; more images, "
                "another layer or another backbone may help"
            )
    for folder in ranking.unfinished:
        yield f"not finished: {folder}"
    for name, reason in ranking.left_out.items():
        yield f"left out: {name}: {reason}"


def csv_text(comparison: Comparison) -> str:
    """Return a line for each candidate, best first; what is not known stays empty."""
    names = list(dict.fromkeys(name for row in comparison.rows for name in row))
    target = io.StringIO()
    writer = csv.DictWriter(target, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: for_csv(value) for name, value in row.items()} for row in comparison.rows
    )
    return target.getvalue()


def _without_nan(row: dict[str, Any], instead: Any) -> dict[str, Any]:
    """Return a row whose missing bounds are given as something else than NaN."""
    return {
        name: instead if isinstance(value, float) and math.isnan(value) else value
        for name, value in row.items()
    }


def json_text(comparison: Comparison) -> str:
    """Return the whole comparison; equal inputs and seeds give equal text."""
    ranking, config = comparison.ranking, comparison.config
    names = ranking.splits.class_names
    pairs = metrics.confused_pairs(comparison.confusion, len(names))
    facts = {
        "metric": ranking.metric,
        "images": len(ranking.labels),
        "suspects": comparison.near_duplicates,  # the name in files since version 0.1
        "splits": ranking.splits.digest,
        "confidence": config.confidence,
        "resamples": config.resamples,
        "seed": config.seed,
        "best": comparison.best,
        "recommended": comparison.recommended,
        "why": why(comparison),
        "expected": {
            key: value if value is None else rounded(value)
            for key, value in comparison.expected.facts().items()
        }
        | {"settings": len(ranking.family.scores)},
        "candidates": [
            _without_nan(row, None)
            | {"setting": entry.record.setting, "reason": entry.record.reason}
            | {"warnings": entry.record.warnings}
            for row, entry in zip(comparison.rows, ranking.entries, strict=True)
        ],
        "per_class": metrics.per_class(comparison.confusion, names),
        "confused": [{"true": names[a], "predicted": names[b], "images": n} for a, b, n in pairs],
        "unfinished": list(ranking.unfinished),
        "left_out": ranking.left_out,
    }
    return json.dumps(facts, indent=1) + "\n"
