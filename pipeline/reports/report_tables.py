"""The tables of a report page: all candidates on validation, and those on the locked test."""

from typing import Any

import numpy as np

from pipeline.reports import answer, comparison
from pipeline.reports.comparison import SHORT
from pipeline.reports.scores import TITLES, number
from pipeline.results.report import Report

COSTS = {
    "fit_seconds": ("fit", "seconds of the last fit"),
    "train_seconds": ("train", "from the bytes of the images to the model, without the search"),
    "images_1000_seconds": ("1,000 images", "from their bytes to the prediction, where known"),
    "predict_1000_seconds": ("predict", "1,000 images, a classifier with features at hand"),
    "model_bytes": ("model", "size of its file"),
    "peak_bytes": ("memory", "peak of resident memory during the fit"),
}

# Columns that are left out on paper, which is narrow.
_MINOR = {*SHORT, "peak_bytes", "p_value"} - {"calibrated_calibration_error"}


def columns(report: Report) -> list[dict[str, str]]:
    """Return key, name and meaning of the columns right of the accuracy."""
    scores = [
        {"key": key, "name": SHORT[key], "help": TITLES[key]}
        for key in comparison.columns(report.comparison)
    ]
    flat = report.comparison.rows
    costs = [
        {"key": key, "name": name, "help": title}
        for key, (name, title) in COSTS.items()
        if any(key in row for row in flat)
    ]
    help_p = "how well the images agree with its being the best: from 0.05 on it could be"
    p = {"key": "p_best", "name": "p", "help": help_p}
    mcnemar = {
        "key": "p_value",
        "name": "McNemar",
        "help": "p of accuracy against the first, after Holm's correction",
    }
    threshold = {
        "key": "threshold",
        "name": "from",
        "help": "the calibrated probability from which the rarer class is predicted",
    }
    kept = any(entry.record.threshold for entry in report.comparison.ranking.entries)
    first, last = costs[:-1], costs[-1:]  # those that decide come first
    ordered = [p, *[threshold] * kept, *first, *scores, *last, mcnemar]
    return [column | {"rank": " minor" if column["key"] in _MINOR else ""} for column in ordered]


def rows(report: Report) -> list[dict[str, Any]]:
    """Return a row for each candidate, best first: its values, and these as text."""
    ranking, flat = report.comparison.ranking, report.comparison.rows
    shown = [row for rank, row in enumerate(flat) if not ranking.is_floor(rank)] or flat
    low = min(np.fmin(row["accuracy_low"], row["accuracy"]) for row in shown)
    high = max(np.fmax(row["accuracy_high"], row["accuracy"]) for row in shown)

    def place(share: float) -> float:  # on the scale of the intervals, in percent of its width
        return round(float(np.clip(4 + 92 * (share - low) / max(high - low, 1e-9), -9, 109)), 2)

    return [
        row
        | {
            "name": entry.record.title,
            "given": answer.learned_from(entry.record),
            "conditions": ranking.conditions[rank],
            "reason": entry.record.reason,
            "warned": entry.record.warned,
            "floor": ranking.is_floor(rank),
            "whisker": [
                place(row["accuracy"] if np.isnan(row[name]) else row[name])
                for name in ("accuracy_low", "accuracy", "accuracy_high")
            ],
            "texts": {
                "accuracy": number("accuracy", row["accuracy"]),
                "low": number("accuracy", row["accuracy_low"]),
                "high": number("accuracy", row["accuracy_high"]),
                "p_best": _p(row["p_best"]),
                "threshold": f"{row['threshold']:.3f}" if "threshold" in row else "",
                "p_value": _p(row["p_value"]) if rank else "–",
            }
            | {key: number(key, row[key]) for key in SHORT if key in row}
            | {key: answer.cost(row, key) for key in COSTS},
        }
        for rank, (row, entry) in enumerate(zip(flat, ranking.entries, strict=True))
    ]


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-4 else "< 0.0001"


def tests(report: Report) -> list[dict[str, Any]]:
    """Return the results on the locked test of each candidate that it was opened for."""
    entries, flat = report.comparison.ranking.entries, report.comparison.rows
    return [
        {
            "label": entries[rank].label,
            "title": entries[rank].record.title,
            "given": answer.learned_from(entries[rank].record),
            "images": facts["images"],
            "validation": answer.percent("accuracy", flat[rank]["accuracy"]),
            "metrics": {
                name: {
                    key: "–" if estimate[key] is None else answer.percent(name, estimate[key])
                    for key in ("value", "low", "high")
                }
                for name, estimate in facts["metrics"].items()
            },
            "opening": facts["opening"],
        }
        for rank, facts in report.tests.items()
    ]
