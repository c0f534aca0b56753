"""The weights command: list what is in the cache, fetch, verify."""

import logging

from features.backbones import golden
from features.backbones.catalog import BACKBONES, find
from features.backbones.weights import ANY, cached, fetch, weights_sources
from features.errors import DataError
from features.packages import cache_folder
from pipeline.reports.tables import render

log = logging.getLogger("offshelf")


def listing() -> str:
    """Return the table of weights in the cache, and of those a package mirror has."""
    rows = []
    for backbone in BACKBONES.values():
        for source in weights_sources(backbone):
            try:
                weights = cached(backbone, source)
            except DataError as error:
                rows.append((backbone.name, source, "damaged", str(error)))
                continue
            if weights is not None:
                rows.append((backbone.name, source, weights.scaling.name, weights.sha256[:16]))
            elif source != weights_sources(backbone)[0]:
                rows.append((backbone.name, source, "not fetched", ""))
    table = render(("backbone", "weights source", "scaling", "sha256"), rows)
    return f"{cache_folder() / 'weights'}\n\n{table}"


def bring(names: list[str], weights_source: str = ANY) -> None:
    """Fetch the weights of the named backbones into the cache, where they are not there yet."""
    for name in names:
        backbone = find(name)
        weights = cached(backbone, weights_source) or fetch(backbone, weights_source)
        log.info("%s: weights by %s, %s", backbone.name, weights.weights_source, weights.path)


def verify(names: list[str]) -> list[str]:
    """Run the golden check on cached weights (all of them without names); return its lines.

    Raises:
        DataError: a check fails, or nothing is there to be checked.
    """
    chosen = [find(name) for name in names] or list(BACKBONES.values())
    there = [
        weights
        for backbone in chosen
        for source in weights_sources(backbone)
        if (weights := cached(backbone, source)) is not None
    ]
    if not there:
        raise DataError(
            f"no weights of {', '.join(names) or 'any backbone'} in {cache_folder()}; "
            "fetch some with `python -m pipeline weights fetch resnet50`"
        )
    return [line for weights in there for line in golden.check(weights)]
