"""A map as text for a terminal: how far it can be trusted, and what was written."""

from pipeline.reports.tables import render
from pipeline.results.map import Map


def text(laid_out: Map) -> str:
    """Return the quality of the map beside that of the features."""
    rows = [
        (quality.title, _percent(quality.accuracy), _number(quality.trustworthiness))
        for quality in laid_out.quality
    ]
    table = render(("", "10-NN accuracy", "trustworthiness"), rows)
    return f"{laid_out.title}\n\n{table}\n\nwritten: {', '.join(map(str, laid_out.files))}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
