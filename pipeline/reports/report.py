"""A report as one HTML page: what its template shows, and what its script draws."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data import duplicates
from pipeline.reports import answer, charts, provenance
from pipeline.reports.comparison import warned
from pipeline.reports.evaluation import warning
from pipeline.reports.hiding import Hiding
from pipeline.reports.page import render
from pipeline.reports.report_tables import columns, rows, tests
from pipeline.reports.scores import TITLES, number
from pipeline.results import openings, thumbnails
from pipeline.results.comparison import Comparison
from pipeline.results.mistakes import ALL, MOST
from pipeline.results.report import PAIRS, Report
from pipeline.statistics import metrics

CONFUSED = 8  # pairs of classes shown of each candidate, the most confused
REJECTED = 100  # rejected images that are listed
SERIES = 4  # lines in a chart over layers, those of the best candidates


def html(report: Report, paths: bool = False) -> str:
    """Return the page; equal reports give equal text.

    Args:
        report: its content.
        paths: whether paths are shown whole, not their last names alone.
    """
    comparison, table, hiding = report.comparison, rows(report), Hiding.of(report, paths)
    return render(
        "report.html",
        answer=answer.answer(comparison),
        dataset=answer.dataset(report),
        tiles=answer.tiles(report),
        comparison=comparison,
        splits=comparison.ranking.splits,
        columns=columns(report),
        warned=warned(comparison.ranking),
        rows=table,
        floors=any(row["floor"] for row in table) and len(table) > 1,
        percent=answer.percent,
        titles=TITLES,
        limits={"most": MOST, "all": ALL},
        lost=hiding.inside(thumbnails.summary(report.thumbnails.lost, _asked(report))),
        missing=hiding.inside(_missing(report)),
        evidence=hiding.text(report.evidence.note) if report.evidence else "",
        tests=tests(report),
        uncounted=hiding.inside(report.uncounted),
        openings=[opening for opened in report.openings.values() for opening in opened],
        warning=warning(sum(map(openings.contenders, report.openings.values()))),
        duplicates=[_duplicates(report, folder) for folder in report.duplicates],
        sources=hiding.inside(provenance.recipes(report)),
        rejected=_reasons(report),
        listed=REJECTED,
        sought=_sought(comparison),
        histories=[(rank, comparison.ranking.entries[rank]) for rank in report.histories],
        advice=_advice(report, hiding),
        settings=[
            (entry, provenance.settings(entry.record)) for entry in comparison.ranking.entries
        ],
        commands=hiding.commands(provenance.commands(report)),
        versions=provenance.versions(report),
        page=_page(report, hiding),
    )  # fmt: skip


def _advice(report: Report, hiding: Hiding) -> dict[str, Any]:
    """Return what the page shows of `advice.json`."""
    if (recommendation := report.advice.get("recommendation")) is None:
        return report.advice
    told = {
        "reason": hiding.text(recommendation["reason"]),
        "command": hiding.command(recommendation["command"]),
    }
    return report.advice | {"recommendation": told}


def _sought(comparison: Comparison) -> str:
    """Return the name of the class that is looked for among two, else nothing."""
    number = comparison.sought
    return "" if number is None else comparison.ranking.splits.class_names[number]


def _missing(report: Report) -> dict[str, list[str]]:
    """Return the images that cannot be shown, by the reason."""
    missing: dict[str, list[str]] = {}
    for image, reason in sorted(report.thumbnails.lost.items()):
        missing.setdefault(reason, []).append(image)
    return missing


def _asked(report: Report) -> int:
    return len(report.thumbnails.encoded) + len(report.thumbnails.lost)


def _duplicates(report: Report, folder: Path) -> dict[str, Any]:
    """Return how many duplicates a results folder lists, and the most similar pairs."""
    listed, uri = report.duplicates[folder], report.thumbnails.uri
    return {
        "summary": listed.summary(folder / duplicates.FILE),
        "pairs": [
            row | {"images": [(row[key], uri(row[key])) for key in ("id", "twin")]}
            for row in listed.pairs(PAIRS)
        ],
    }


def _reasons(report: Report) -> list[tuple[str, int]]:
    """Return why images were rejected, and how many were, the commonest reason first."""
    reasons = Counter(reason for source in report.sources for _, reason in source.rejected)
    return reasons.most_common()


def _page(report: Report, hiding: Hiding) -> dict[str, Any]:
    """Return the data of the page's script."""
    ranking, small = report.comparison.ranking, report.thumbnails
    return {
        "classes": ranking.splits.class_names,
        "shown": ranking.shown,
        "candidates": [_candidate(report, rank) for rank in range(len(ranking.entries))],
        "images": [
            [image, small.uri(image), hiding.text(small.lost.get(image, ""))]
            for image in report.mistakes.ids
        ],
        "figures": dict(_figures(report)),
        "evidence": _evidence(report),
    }


def _evidence(report: Report) -> dict[str, Any]:
    """Return the candidate of which there are pictures of evidence, and these by image."""
    evidence = report.evidence
    if evidence is None:
        return {"rank": -1, "pictures": {}}
    pictures = {
        place: [thumbnails.data_uri(picture), sentence]
        for place, (picture, sentence) in evidence.pictures.items()
    }
    return {"rank": evidence.rank, "pictures": pictures}


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
        "precision": number("average_precision", estimates["average_precision"].value),
        "rounds": [turn["name"] for turn in report.histories.get(rank, [])],
    }  # fmt: skip


def _figures(report: Report) -> Iterator[tuple[str, charts.Figure]]:
    comparison = report.comparison
    yield "fit", charts.cost(comparison, "fit_seconds")
    yield "predict", charts.cost(comparison, "predict_1000_seconds")
    for rank, (before, after) in enumerate(comparison.reliability):
        yield f"reliability-{rank}", charts.reliability(before, after)
    yield from _precision_recall(comparison)
    for rank, rounds in report.histories.items():
        for round_number, turn in enumerate(rounds):
            for of in ("loss", "accuracy"):
                yield f"{of}-{rank}-{round_number}", charts.history(turn["epochs"], of)
    if series := layers(report):
        axis = {"title": {"text": "layer, shallow to deep"}, "type": "category"}
        yield "layers", charts.lines(series, "layer", axis)
    if curve := report.advice.get("learning_curve"):
        axis = {"title": {"text": "training images"}, "type": "log"}
        names = list(dict.fromkeys(point["layer"] for point in curve))
        series = {name: [point for point in curve if point["layer"] == name] for name in names}
        yield "learning", charts.lines(series, "rows", axis)


def _precision_recall(comparison: Comparison) -> Iterator[tuple[str, charts.Figure]]:
    """Yield the curve of each candidate, where there are two classes."""
    if (sought := comparison.sought) is None:
        return
    for rank in range(len(comparison.ranking.entries)):
        matrix = comparison.confusion_of(rank)
        hits, images, called = matrix[sought, sought], matrix[sought].sum(), matrix[:, sought].sum()
        decided = float(hits / images), float(hits / max(called, 1))
        curve = comparison.precision_recall(rank, sought)
        yield f"precision-{rank}", charts.precision_recall(curve, decided, images / matrix.sum())


def layers(report: Report) -> dict[str, list[dict[str, Any]]]:
    """Return accuracies by layer: of `advise`, and of methods that learned from several layers."""
    shown: dict[str, list[dict[str, Any]]] = {}
    if probes := report.advice.get("layers"):
        shown["linear probe of advise"] = probes
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
    several = [
        (name, points)
        for name, points in series.items()
        if len({point["layer"] for point in points}) > 1
    ]
    for (backbone, title), points in several[: SERIES - len(shown)]:
        shown[f"{title} on {backbone}"] = sorted(points, key=lambda point: point["place"])
    return shown
