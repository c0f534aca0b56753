"""An ablation as a table for a terminal."""

from pipeline.reports.tables import render
from pipeline.results.ablation import FILE, Ablation


def text(ablation: Ablation) -> str:
    """Return what was left out, and what that changed: a row a candidate."""
    header = ("left out", "accuracy %", "change", "p", "seconds")
    rows = [
        (row["left_out"], f"{100 * row['accuracy']:.2f}", f"{100 * row['change']:+.2f}",
         f"{row['p_value']:.2g}", f"{row['seconds']:.0f}")
        for row in ablation.rows
    ]  # fmt: skip
    return f"{render(header, rows)}\n\nwritten: {ablation.folder / FILE}"
