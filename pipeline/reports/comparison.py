"""A comparison as text for a terminal, as CSV and as JSON."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping

from features.text import for_csv
from pipeline.reports.scores import TITLES, class_table, confused, interval, number
from pipeline.reports.tables import render
from pipeline.results.comparison import Comparison, rounded
from pipeline.statistics import metrics
from pipeline.statistics.bootstrap import Estimate

SHORT = {
    "balanced_accuracy": "balanced",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "roc_auc": "AUC",
    "calibration_error": "ECE",
    "calibrated_calibration_error": "ECE T",
    "accuracy_without_twins": "dedup.",
}


def text(comparison: Comparison) -> str:
    """Return the table, notes on it, and the classes of the recommended candidate."""
    ranking = comparison.ranking
    names = ranking.splits.class_names
    sections = [
        _heading(comparison),
        _table(comparison),
        "\n".join(_notes(comparison)),
        f"recommended: {why(comparison)}",
        f"{comparison.recommended}, class by class, the hardest first:\n"
        + class_table(comparison.confusion, names),
        confused(comparison.confusion, names),
        "written: " + ", ".join(map(str, comparison.files)),
    ]
    return "\n\n".join(sections)


def why(comparison: Comparison) -> str:
    """Return a sentence that says which candidate is recommended, and why."""
    ranking = comparison.ranking
    rank, tied = ranking.recommended, int(ranking.tied.sum()) - 1
    chosen, first = ranking.entries[rank], ranking.entries[0]
    if len(ranking.entries) == 1:
        return f"{chosen.label}, the only candidate"
    if rank:
        cost = first.record.cost
        than = f"{cost:.3g} s" if math.isfinite(cost) else "an unknown time"
        return (
            f"{chosen.label}: it cannot be told from the best, {first.label} (McNemar p = "
            f"{ranking.p_values[0, rank]:.2g} after Holm's correction), and costs "
            f"{chosen.record.cost:.3g} s instead of {than} to fit and to predict 1,000 images"
        )
    if tied:
        if tied == 1:
            others = "the one tied with it is not"
        else:
            others = f"none of the {tied} tied with it is"
        return f"{chosen.label}: the best, and {others} cheaper"
    return f"{chosen.label}: the best, and told from every other (McNemar p < 0.05, Holm)"


def _heading(comparison: Comparison) -> str:
    ranking, config = comparison.ranking, comparison.config
    return (
        f"{len(ranking.labels)} validation images of {len(ranking.splits.class_names)} "
        f"classes, ranked by {TITLES[ranking.metric]}, with {config.confidence:.0%} bootstrap "
        f"intervals ({config.resamples} resamples)"
    )


def _table(comparison: Comparison) -> str:
    shown = columns(comparison)
    header = ("", "", "candidate", "accuracy %", *(SHORT[name] for name in shown), "fit s",
              "1000 s", "MB", "peak MB")  # fmt: skip
    rows = []
    tied = comparison.ranking.tied
    for rank, (entry, estimates) in enumerate(
        zip(comparison.ranking.entries, comparison.estimates, strict=True)
    ):
        mark = "=" if tied[rank] and tied.sum() > 1 else ""
        rows.append(
            (rank + 1, mark, entry.label, _with_interval(estimates["accuracy"]),
             *(number(name, estimates[name].value) for name in shown), *_costs(entry.record.costs))
        )  # fmt: skip
    return render(header, rows)


def columns(comparison: Comparison) -> list[str]:
    """Return the metrics beside the accuracy that tables have."""
    distinct = 0 < comparison.near_duplicates < len(comparison.ranking.labels)
    return [name for name in SHORT if name != "accuracy_without_twins" or distinct]


def _costs(costs: Mapping[str, float]) -> Iterator[str]:
    """Yield the cells of the last columns; what is not known stays empty."""
    for name, shown in (
        ("fit_seconds", _seconds),
        ("predict_1000_seconds", _seconds),
        ("model_bytes", "{:.1f}".format),
        ("peak_bytes", "{:.0f}".format),
    ):
        scale = 1e6 if name.endswith("bytes") else 1
        yield shown(costs[name] / scale) if name in costs else ""


def _with_interval(estimate: Estimate) -> str:
    return interval(estimate.value, estimate.low, estimate.high)


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _notes(comparison: Comparison) -> Iterator[str]:
    ranking = comparison.ranking
    if ranking.tied.sum() > 1:
        yield "=: cannot be told from the best by McNemar's test with Holm's correction (p >= 0.05)"
    yield (
        "ECE: expected calibration error in %, with T after temperature scaling (cross-fitted); "
        "1000 s: seconds to predict 1,000 images; MB: of the model's file"
    )
    if comparison.near_duplicates:
        yield (
            f"dedup.: accuracy in % without {comparison.near_duplicates} images that have a "
            "duplicate or near-duplicate among those learned from"
        )
    for rank, entry in enumerate(ranking.entries):
        if entry.record.reason:
            yield f"{entry.label}: {entry.record.reason}"
        if ranking.is_floor(rank) and rank and ranking.tied[rank]:
            yield (
                "warning: the best cannot be told from class frequencies alone; more images, "
                "another layer or another backbone may help"
            )
    for folder in ranking.unfinished:
        yield f"not finished: {folder}"


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
        "candidates": [
            row | {"setting": entry.record.setting, "reason": entry.record.reason}
            for row, entry in zip(comparison.rows, ranking.entries, strict=True)
        ],
        "p_values": [[rounded(p) for p in row] for row in ranking.p_values],
        "per_class": metrics.per_class(comparison.confusion, names),
        "confused": [{"true": names[a], "predicted": names[b], "images": n} for a, b, n in pairs],
        "unfinished": list(ranking.unfinished),
    }
    return json.dumps(facts, indent=1) + "\n"
