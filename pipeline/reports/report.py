"""A report as one HTML page."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data import duplicates
from pipeline.data.duplicates import Duplicates
from pipeline.reports import answer, charts, provenance
from pipeline.reports.comparison import SHORT
from pipeline.reports.evaluation import warning
from pipeline.reports.page import render
from pipeline.reports.scores import TITLES, number
from pipeline.results import openings
from pipeline.results import thumbnails as pictures
from pipeline.results.mistakes import ALL, MOST
from pipeline.results.report import PAIRS, Report
from pipeline.statistics import metrics

CONFUSED = 8  # pairs of classes that are shown of a candidate
REJECTED = 100  # rejected images that are listed
SERIES = 4  # lines in a chart over layers, the best ones

_COSTS = {
    "fit_seconds": ("fit", "seconds of the last fit", answer.seconds),
    "predict_1000_seconds": ("1,000 images", "to predict them, features at hand", answer.seconds),
    "model_bytes": ("model", "size of its file", answer.size),
    "peak_bytes": ("memory", "resident at most while it was fitted", answer.size),
}

_MINOR = {*SHORT, "peak_bytes"} - {"calibrated_calibration_error"}  # not on paper, which is narrow


def html(report: Report) -> str:
    """Return the page; equal reports give equal text."""
    comparison, rows = report.comparison, _rows(report)
    return render(
        "report.html",
        answer=answer.answer(comparison),
        dataset=answer.dataset(report),
        tiles=answer.tiles(report),
        comparison=comparison,
        splits=comparison.ranking.splits,
        columns=_columns(report),
        rows=rows,
        floors=any(row["floor"] for row in rows) and len(rows) > 1,
        percent=answer.percent,
        titles=TITLES,
        limits={"most": MOST, "all": ALL},
        lost=pictures.summary(report.thumbnails.lost, _asked(report)),
        missing=_missing(report),
        tests=_tests(report),
        openings=[one for opened in report.openings.values() for one in opened],
        warning=warning(sum(map(openings.contenders, report.openings.values()))),
        twins=[_twins(report, *one) for one in report.twins.items()],
        sources=provenance.recipes(report),
        rejected=[(reason, count) for reason, count in _reasons(report)],
        listed=REJECTED,
        histories=[(rank, comparison.ranking.entries[rank]) for rank in report.histories],
        advice=report.advice,
        settings=[
            (entry, provenance.settings(entry.record)) for entry in comparison.ranking.entries
        ],
        commands=provenance.commands(report),
        versions=provenance.versions(report),
        page=_page(report),
    )  # fmt: skip


def _missing(report: Report) -> dict[str, list[str]]:
    """Return the images that cannot be shown, by the reason."""
    found: dict[str, list[str]] = {}
    for image, reason in sorted(report.thumbnails.lost.items()):
        found.setdefault(reason, []).append(image)
    return found


def _asked(report: Report) -> int:
    return len(report.thumbnails.encoded) + len(report.thumbnails.lost)


def _columns(report: Report) -> list[dict[str, str]]:
    """Return the columns right of the accuracy: key, name, and what it means."""
    twins = 0 < report.comparison.suspects < len(report.comparison.ranking.labels)
    found = [
        {"key": key, "name": name, "help": TITLES[key]}
        for key, name in SHORT.items()
        if key != "accuracy_without_twins" or twins
    ]
    costs = [{"key": key, "name": name, "help": said} for key, (name, said, _) in _COSTS.items()]
    p = {"key": "p_value", "name": "p", "help": "McNemar against the best, after Holm's correction"}
    ordered = [p, *costs[:3], *found, *costs[3:]]  # what decides comes first
    return [one | {"rank": " minor" if one["key"] in _MINOR else ""} for one in ordered]


def _rows(report: Report) -> list[dict[str, Any]]:
    """Return a row a candidate, best first: its values, and how they are read."""
    ranking = report.comparison.ranking
    rows = report.comparison.rows
    shown = [row for rank, row in enumerate(rows) if not ranking.is_floor(rank)] or rows
    low, high = (
        min(row["accuracy_low"] for row in shown),
        max(row["accuracy_high"] for row in shown),
    )

    def place(share: float) -> float:  # on the scale of the intervals, in percent of its width
        return round(float(np.clip(4 + 92 * (share - low) / max(high - low, 1e-9), -9, 109)), 2)

    return [
        row
        | {
            "name": entry.record.title,
            "given": answer.learned_from(entry.record),
            "reason": entry.record.reason,
            "floor": ranking.is_floor(rank),
            "whisker": [place(row[f"accuracy{end}"]) for end in ("_low", "", "_high")],
            "texts": {
                "accuracy": number("accuracy", row["accuracy"]),
                "low": number("accuracy", row["accuracy_low"]),
                "high": number("accuracy", row["accuracy_high"]),
                "p_value": _p(row["p_value"]) if rank else "–",
            }
            | {key: number(key, row[key]) for key in SHORT if key in row}
            | {key: say(row[key]) for key, (_, _, say) in _COSTS.items()},
        }
        for rank, (row, entry) in enumerate(zip(rows, ranking.entries, strict=True))
    ]


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-4 else "< 0.0001"


def _tests(report: Report) -> list[dict[str, Any]]:
    """Return what the locked test said of each candidate it was opened for."""
    entries = report.comparison.ranking.entries
    rows = report.comparison.rows
    return [
        {
            "label": entries[rank].label,
            "title": entries[rank].record.title,
            "given": answer.learned_from(entries[rank].record),
            "images": facts["images"],
            "validation": answer.percent("accuracy", rows[rank]["accuracy"]),
            "metrics": {
                name: {key: answer.percent(name, found[key]) for key in ("value", "low", "high")}
                for name, found in facts["metrics"].items()
            },
            "opening": facts["opening"],
        }
        for rank, facts in report.tests.items()
    ]


def _twins(report: Report, folder: Path, found: Duplicates) -> dict[str, Any]:
    uri = report.thumbnails.uri
    return {
        "summary": found.summary(folder / duplicates.FILE),
        "pairs": [
            row | {"images": [(row[key], uri(row[key])) for key in ("id", "twin")]}
            for row in found.pairs(PAIRS)
        ],
    }


def _reasons(report: Report) -> Iterator[tuple[str, int]]:
    counted = Counter(reason for source in report.sources for _, reason in source.rejected)
    yield from counted.most_common()


def _page(report: Report) -> dict[str, Any]:
    """Return what the page's script draws from."""
    ranking = report.comparison.ranking
    thumbnails = report.thumbnails
    return {
        "classes": ranking.splits.class_names,
        "shown": ranking.recommended,
        "candidates": [_candidate(report, rank) for rank in range(len(ranking.entries))],
        "images": [
            [image, thumbnails.uri(image), thumbnails.lost.get(image, "")]
            for image in report.mistakes.ids
        ],
        "figures": dict(_figures(report)),
    }


def _candidate(report: Report, rank: int) -> dict[str, Any]:
    comparison = report.comparison
    entry, matrix = comparison.ranking.entries[rank], comparison.confusion_of(rank)
    shown, names = report.mistakes.cells[rank], comparison.ranking.splits.class_names
    estimates = comparison.estimates[rank]
    errors = [
        estimates[name].value for name in ("calibration_error", "calibrated_calibration_error")
    ]
    return {
        "label": entry.label,
        "title": entry.record.title,
        "given": answer.learned_from(entry.record),
        "cells": [
            [a, b, int(matrix[a, b]), shown.get((a, b), [])]
            for a, b in np.argwhere(matrix).tolist()
        ],
        "pairs": metrics.confused_pairs(matrix, CONFUSED),
        "scores": [
            [row[key] for key in ("precision", "recall", "f1", "images")]
            for row in metrics.per_class(matrix, names)
        ],
        "errors": [number("calibration_error", error) for error in errors],
        "temperature": f"{entry.record.temperature:.2f}",
        "rounds": [one["name"] for one in report.histories.get(rank, [])],
    }  # fmt: skip


def _figures(report: Report) -> Iterator[tuple[str, charts.Figure]]:
    comparison = report.comparison
    yield "fit", charts.cost(comparison, "fit_seconds")
    yield "predict", charts.cost(comparison, "predict_1000_seconds")
    for rank, (before, after) in enumerate(comparison.reliability):
        yield f"reliability-{rank}", charts.reliability(before, after)
    for rank, rounds in report.histories.items():
        for turn, one in enumerate(rounds):
            for of in ("loss", "accuracy"):
                yield f"{of}-{rank}-{turn}", charts.history(one["epochs"], of)
    if series := layers(report):
        axis = {"title": {"text": "layer, shallow to deep"}, "type": "category"}
        yield "layers", charts.lines(series, "layer", axis)
    if curve := report.advice.get("learning_curve"):
        axis = {"title": {"text": "training images"}, "type": "log"}
        names = dict.fromkeys(point["layer"] for point in curve)
        series = {name: [point for point in curve if point["layer"] == name] for name in names}
        yield "learning", charts.lines(series, "rows", axis)


def layers(report: Report) -> dict[str, list[dict[str, Any]]]:
    """Return accuracies over layers: of `advise`, and of methods that learned from several."""
    found: dict[str, list[dict[str, Any]]] = {}
    if of_advice := report.advice.get("layers"):
        found["linear probe of advise"] = of_advice
    series: dict[tuple[str, str], list[dict[str, Any]]] = {}
    ranking = report.comparison.ranking
    for rank, (entry, estimates) in enumerate(
        zip(ranking.entries, report.comparison.estimates, strict=True)
    ):
        inputs = entry.record.inputs
        if "recipe" not in inputs or ranking.is_floor(rank):
            continue
        accuracy = estimates["accuracy"]
        point = {
            "layer": inputs["layer"],
            "place": inputs["recipe"]["layers"].index(inputs["layer"]),
            "accuracy": accuracy.value,
            "low": accuracy.low,
            "high": accuracy.high,
        }
        series.setdefault((inputs["backbone"], entry.record.title), []).append(point)
    several = [one for one in series.items() if len({point["layer"] for point in one[1]}) > 1]
    for (backbone, title), points in several[: SERIES - len(found)]:
        found[f"{title} on {backbone}"] = sorted(points, key=lambda point: point["place"])
    return found
