"""A comparison as text for a terminal, as CSV and as JSON."""

import csv
import io
import json
from collections.abc import Iterator

from pipeline.reports.scores import TITLES, class_table, confused, number
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
    "accuracy_without_twins": "no twins",
}


def text(comparison: Comparison) -> str:
    """Return the table, what it says, and the classes of the recommended candidate."""
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
        return (
            f"{chosen.label}: it cannot be told from the best, {first.label} (McNemar p = "
            f"{ranking.p_values[0, rank]:.2g} after Holm's correction), and costs "
            f"{chosen.record.cost:.3g} s instead of {first.record.cost:.3g} s to fit and to "
            "predict 1,000 images"
        )
    if tied:
        return f"{chosen.label}: the best, and none of the {tied} tied with it is cheaper"
    return f"{chosen.label}: the best, and told from every other (McNemar p < 0.05, Holm)"


def _heading(comparison: Comparison) -> str:
    ranking, config = comparison.ranking, comparison.config
    return (
        f"{len(ranking.labels)} validation images of {len(ranking.splits.class_names)} "
        f"classes, ranked by {TITLES[ranking.metric]}, with {config.confidence:.0%} bootstrap "
        f"intervals ({config.resamples} resamples)"
    )


def _table(comparison: Comparison) -> str:
    shown = [name for name in SHORT if name != "accuracy_without_twins" or _has_twins(comparison)]
    header = ("", "", "candidate", "accuracy %", *(SHORT[name] for name in shown), "fit s",
              "1000 s", "MB", "peak MB")  # fmt: skip
    rows = []
    tied = comparison.ranking.tied
    for rank, (entry, found) in enumerate(
        zip(comparison.ranking.entries, comparison.estimates, strict=True)
    ):
        record = entry.record
        rows.append(
            (rank + 1, "=" if tied[rank] and tied.sum() > 1 else "", entry.label,
             _with_interval(found["accuracy"]),
             *(number(name, found[name].value) for name in shown),
             _seconds(record.seconds["fit"]), _seconds(record.seconds["predict_1000"]),
             f"{record.model['bytes'] / 1e6:.1f}", f"{record.peak_memory / 1e6:.0f}")
        )  # fmt: skip
    return render(header, rows)


def _has_twins(comparison: Comparison) -> bool:
    return 0 < comparison.suspects < len(comparison.ranking.labels)


def _with_interval(estimate: Estimate) -> str:
    value, low, high = (100 * one for one in (estimate.value, estimate.low, estimate.high))
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


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
    if comparison.suspects:
        yield (
            f"no twins: accuracy in % without {comparison.suspects} images that have an equal or "
            "near-equal twin among those that others learned from"
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
    """Return a line a candidate, best first."""
    found = comparison.rows
    columns = list(dict.fromkeys(name for row in found for name in row))
    target = io.StringIO()
    writer = csv.DictWriter(target, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return target.getvalue()


def json_text(comparison: Comparison) -> str:
    """Return all of it; equal inputs and seeds give equal text."""
    ranking, config = comparison.ranking, comparison.config
    names = ranking.splits.class_names
    pairs = metrics.confused_pairs(comparison.confusion, len(names))
    facts = {
        "metric": ranking.metric,
        "images": len(ranking.labels),
        "suspects": comparison.suspects,
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
