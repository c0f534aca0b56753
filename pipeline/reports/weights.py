"""Weights in the cache, as text for a terminal."""

from pipeline.reports.tables import render
from pipeline.results.listings import WeightsFacts, WeightsList


def text(result: WeightsList) -> str:
    """Return the folder of the cache, and a row for each backbone and weights source."""
    header = ("backbone", "weights source", "scaling", "sha256")
    return f"{result.folder}\n\n{render(header, [_row(weights) for weights in result.weights])}"


def _row(weights: WeightsFacts) -> tuple[str, ...]:
    name = (weights.backbone, weights.weights_source)
    if weights.status == "cached":
        return (*name, weights.scaling or "", (weights.sha256 or "")[:16])
    return (*name, weights.status, weights.problem or "")
