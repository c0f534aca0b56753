"""What the reports of validation and of the locked test share."""

from collections.abc import Sequence

import numpy as np

from pipeline.reports.tables import render
from pipeline.statistics import metrics

CLASSES = 20  # at most in a terminal; files have all
PAIRS = 5  # most confused, in a terminal

TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "roc_auc": "ROC AUC, one class against the rest",
    "calibration_error": "expected calibration error",
    "calibrated_log_loss": "log loss after temperature scaling",
    "calibrated_calibration_error": "expected calibration error after it",
    "accuracy_without_twins": "accuracy without suspected twins",
}
PLAIN = ("log_loss", "roc_auc", "calibrated_log_loss")  # numbers; all others are shares


def number(name: str, value: float) -> str:
    """Return a metric's value as people read it: shares in percent."""
    return f"{value:.4f}" if name in PLAIN else f"{100 * value:.1f}"


def class_table(confusion: np.ndarray, class_names: Sequence[str]) -> str:
    """Return a table of classes, the hardest first, the first `CLASSES` of them."""
    found = sorted(metrics.per_class(confusion, class_names), key=lambda row: row["f1"])
    rows = [
        (row["class"], *(f"{100 * row[key]:.1f}" for key in ("precision", "recall", "f1")),
         row["images"])
        for row in found[:CLASSES]
    ]  # fmt: skip
    table = render(("class", "precision %", "recall %", "F1 %", "images"), rows)
    left = len(found) - len(rows)
    return table + (f"\n... and {left} easier classes" if left else "")


def confused(confusion: np.ndarray, class_names: Sequence[str]) -> str:
    """Return a line of the most frequent mistakes."""
    pairs = metrics.confused_pairs(confusion, PAIRS)
    said = [f"{class_names[a]} for {class_names[b]} ({count})" for a, b, count in pairs]
    return "most often taken: " + (", ".join(said) or "none for another")
