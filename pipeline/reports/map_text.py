"""A map as text: its quality for a terminal, its coordinates as CSV."""

import csv
import io

from features.text import for_csv
from pipeline.reports.tables import render
from pipeline.results.map import Map


def text(layout: Map) -> str:
    """Return the quality of the map beside that of the features."""
    rows = [
        (quality.title, _percent(quality.accuracy), _number(quality.trustworthiness))
        for quality in layout.quality
    ]
    table = render(("", "10-NN accuracy", "trustworthiness"), rows)
    return f"{layout.title}\n\n{table}\n\nwritten: {', '.join(map(str, layout.files))}"


def csv_text(layout: Map) -> str:
    """Return the coordinates as CSV: id, x, y, class ("" where not known) and part (the split).

    Ids and classes are written by `features.text.for_csv`.
    """
    points = layout.points
    names = (*points.class_names, "")  # -1 takes the last
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(("id", "x", "y", "class", "part"))
    coordinates = ((f"{x:.6g}", f"{y:.6g}") for x, y in layout.coordinates.tolist())
    rows = zip(points.ids, coordinates, points.labels.tolist(), points.splits, strict=True)
    writer.writerows(
        (for_csv(image), *place, for_csv(names[label]), split)
        for image, place, label, split in rows
    )
    return target.getvalue()


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
