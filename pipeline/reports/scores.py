"""Names and tables that the reports on validation and on the locked test share."""

import math
from collections.abc import Sequence

import numpy as np

from features.text import in_line
from pipeline.reports.tables import render
from pipeline.statistics import metrics
from pipeline.statistics.selection import Selected

CLASSES = 20  # shown in a terminal at most; files have all
PAIRS = 5  # pairs of classes shown in a terminal, the most confused

TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "roc_auc": "ROC AUC, one class against the rest",
    "average_precision": "average precision",
    "rarest_recall": "recall of the rarest class",
    "calibration_error": "expected calibration error",
    "calibrated_log_loss": "log loss after temperature scaling",
    "calibrated_calibration_error": "expected calibration error after it",
    "accuracy_without_twins": "accuracy without near-duplicates",
}
PLAIN = (
    "log_loss",
    "roc_auc",
    "average_precision",
    "calibrated_log_loss",
)  # plain numbers; all others are shares


def number(name: str, value: float) -> str:
    """Return a metric's value as people read it: shares in percent."""
    return f"{value:.4f}" if name in PLAIN else f"{100 * value:.1f}"


def bounds(name: str, low: float | None, high: float | None) -> str:
    """Return the bounds of a metric's interval, such as "79.1 to 83.1", or that there are none."""
    if low is None or high is None or math.isnan(low):
        return "no interval"
    return f"{number(name, low)} to {number(name, high)}"


def with_article(metric: str) -> str:
    """Return a metric's title with its article, such as "an accuracy"."""
    title = TITLES[metric]
    return f"{'an' if title[0] in 'ae' else 'a'} {title}"


def expected(metric: str, selected: Selected) -> str:
    """Return what new images will give, such as "79.8 % (77.1 to 82.2)"."""
    unit = "" if metric in PLAIN else " %"
    shown = bounds(metric, selected.low, selected.high)
    return f"{number(metric, selected.value)}{unit} ({shown})"


def interval(value: float, low: float, high: float) -> str:
    """Return a share in percent with its interval, such as "81.1 [79.1, 83.1]"."""
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def class_table(confusion: np.ndarray, class_names: Sequence[str]) -> str:
    """Return a table of classes, the hardest first, the first `CLASSES` of them."""
    ordered = sorted(metrics.per_class(confusion, class_names), key=lambda row: row["f1"])
    rows = [
        (row["class"], *(f"{100 * row[key]:.1f}" for key in ("precision", "recall", "f1")),
         row["images"])
        for row in ordered[:CLASSES]
    ]  # fmt: skip
    table = render(("class", "precision %", "recall %", "F1 %", "images"), rows)
    left = len(ordered) - len(rows)
    return table + (f"\n... and {left} easier classes" if left else "")


def confused(confusion: np.ndarray, class_names: Sequence[str]) -> str:
    """Return a line that names the most frequent mistakes."""
    pairs = metrics.confused_pairs(confusion, PAIRS)
    named = [f"{class_names[a]} for {class_names[b]} ({count})" for a, b, count in pairs]
    return in_line("most often taken: " + (", ".join(named) or "none for another"))
