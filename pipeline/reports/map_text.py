"""A map as text: its quality for a terminal, its coordinates as CSV."""

import csv
import io
from collections.abc import Iterator

from features.text import for_csv, in_line
from pipeline.reports.tables import render
from pipeline.results.map import Map

_LINES = 2**16  # at a time


def text(layout: Map) -> str:
    """Return the quality of the map beside that of the features."""
    rows = [
        (quality.title, _percent(quality.accuracy), _number(quality.trustworthiness))
        for quality in layout.quality
    ]
    table = render(("", "10-NN accuracy", "trustworthiness"), rows)
    sampled = f"\n\n{in_line(layout.sampled)}" if layout.sampled else ""
    written = in_line(f"written: {', '.join(map(str, layout.files))}")
    return f"{in_line(layout.title)}\n\n{table}{sampled}\n\n{written}"


def csv_text(layout: Map) -> Iterator[str]:
    """Yield the coordinates as CSV, in blocks of lines.

    The columns are id, x, y, class ("" where not known) and part (the split). Ids and classes are
    written by `features.text.for_csv`.
    """
    points = layout.points
    names = (*points.class_names, "")  # -1 takes the last
    yield "id,x,y,class,part\n"
    for start in range(0, len(points), _LINES):
        part, target = slice(start, start + _LINES), io.StringIO()
        coordinates = ((f"{x:.6g}", f"{y:.6g}") for x, y in layout.coordinates[part].tolist())
        rows = zip(
            points.ids[part], coordinates, points.labels[part].tolist(), points.splits[part],
            strict=True,
        )  # fmt: skip
        csv.writer(target, lineterminator="\n").writerows(
            (for_csv(image), *place, for_csv(names[label]), split)
            for image, place, label, split in rows
        )
        yield target.getvalue()


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
