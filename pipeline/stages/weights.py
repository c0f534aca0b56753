"""The weights stage: list what is in the cache, fetch, verify."""

import logging
from collections.abc import Iterable, Iterator, Sequence

from features.backbones import golden
from features.backbones.catalog import BACKBONES, Backbone, find
from features.backbones.names import is_timm
from features.backbones.weights import ANY, KERAS, cached, cached_or_fetched, weights_sources
from features.errors import DataError, UsageError
from features.processes.packages import cache_folder
from pipeline.results.listings import WeightsFacts, WeightsList

log = logging.getLogger("offshelf")


def list_weights(names: Sequence[str] = ()) -> WeightsList:
    """List the weights in the cache, and those that only a package holds.

    Args:
        names: the backbones; none means all.

    Raises:
        UsageError: no backbone has that name.
    """
    return WeightsList(str(cache_folder() / "weights"), tuple(_facts(_backbones(names))))


def _backbones(names: Sequence[str]) -> list[Backbone]:
    return [find(name) for name in names] or list(BACKBONES.values())


def _facts(backbones: Iterable[Backbone]) -> Iterator[WeightsFacts]:
    for backbone in backbones:
        for source in weights_sources(backbone):
            try:
                weights = cached(backbone, source)
            except DataError as error:
                yield WeightsFacts(backbone.name, source, "damaged", problem=str(error))
                continue
            if weights is not None:
                scaling, sha256 = weights.scaling.name, weights.sha256
                yield WeightsFacts(backbone.name, source, "cached", scaling, sha256)
            elif source != KERAS:  # from which all but one can be fetched
                yield WeightsFacts(backbone.name, source, "not fetched")


def fetch_weights(names: Sequence[str], weights_source: str = ANY) -> None:
    """Fetch the weights of the named backbones into the cache, where they are not there yet.

    Raises:
        UsageError: no backbone is named, or none has that name; or an unknown weights source.
        DataError: the weights could not be fetched.
    """
    if not names:
        raise UsageError(
            "no backbone is named; `python -m pipeline weights fetch resnet50` fetches one, "
            "`backbones` lists all"
        )
    models = [name for name in names if is_timm(name)]
    for backbone in [find(name) for name in names if name not in models]:
        weights = cached_or_fetched(backbone, weights_source)
        log.info("%s: weights from %s, %s", backbone.name, weights.weights_source, weights.path)
    for model in models:
        from features.backbones import timm_network

        for line in timm_network.fetch(model, weights_source):
            log.info("%s", line)


def verify_weights(names: Sequence[str]) -> list[str]:
    """Run the golden check on cached weights (all of them without names); return its lines.

    Raises:
        DataError: a check fails, or nothing is there to be checked.
    """
    in_cache = [
        weights
        for backbone in _backbones(names)
        for source in weights_sources(backbone)
        if (weights := cached(backbone, source)) is not None
    ]
    if not in_cache:
        raise DataError(
            f"no weights of {', '.join(names) or 'any backbone'} in {cache_folder()}; "
            "fetch some with `python -m pipeline weights fetch resnet50`"
        )
    return [line for weights in in_cache for line in golden.check(weights)]
