"""The map stage: a feature file in, a page or a picture with its images in the plane out."""

import logging
from dataclasses import replace

import numpy as np

from features import durable
from features.errors import UsageError, unknown_name
from features.leftovers import scratch_folder
from features.progress import progress_bar
from features.store import FeatureFile
from pipeline.config import MapConfig
from pipeline.config.choices import MAP_SUFFIXES
from pipeline.data.layers import Layer, find_layers, write_matrix
from pipeline.maps import layouts
from pipeline.maps.layouts import METHODS
from pipeline.maps.points import read_points
from pipeline.maps.quality import measure
from pipeline.maps.reduction import Components, principal
from pipeline.reports import map_page, map_picture
from pipeline.reports.map_text import csv_text
from pipeline.results.map import TITLES, Map

log = logging.getLogger("offshelf")

HTML, PNG = MAP_SUFFIXES
PCA = "PCA"  # the first two components, a map that others must surpass
MOST = 250_000  # images that a page can hold


def run(config: MapConfig) -> Map:
    """Lay out the images of a feature file; write the map, and its coordinates beside it.

    Equal features, settings and versions give equal coordinates on one kind of processor, however
    many cores it has.

    Raises:
        UsageError: an unknown layer, method or suffix, features that are no vectors, too few
            images for the perplexity, or results of other images.
        DataError: a file is damaged or not complete.
        MissingPackageError: the method, or the picture, needs a package that is not installed.
    """
    _check(config)
    layer = _layer(config)
    points = read_points(config.features, config.limit, config.results)
    perplexity = config.perplexity or layouts.default_perplexity(len(points))
    config = replace(config, perplexity=perplexity)
    _check_count(config, perplexity, len(points))
    durable.prepare_folder(config.out.parent)
    with scratch_folder(config.out.parent, "map") as scratch:
        write_matrix(layer, points.rows, scratch / "features.npy")
        x = np.load(scratch / "features.npy", mmap_mode="r")
        components = principal(x, config.components, config.seed)
        log.info(
            "%s images; %d principal components hold %.1f %% of the variance of %s",
            f"{len(points):,}", components.scores.shape[1], 100 * components.share, layer.title,
        )  # fmt: skip
        coordinates = _laid_out(config, components, perplexity)
        log.info("measuring how well the neighbourhoods are kept")
        maps = {TITLES[config.method]: coordinates, PCA: components.scores[:, :2]}
        quality = measure(x, maps, points.labels, config.seed)
        del x  # some systems cannot remove a file that is mapped
    result = Map(
        config, layer, points, coordinates.astype(np.float32), components.scores.shape[1],
        components.share, quality, (config.out, config.out.with_suffix(".csv")),
    )  # fmt: skip
    durable.write(result.files[0], _drawn(result))
    durable.write(result.files[1], csv_text(result).encode())
    return result


def _check(config: MapConfig) -> None:
    if config.out.is_dir():
        raise UsageError(f"{config.out} is a folder, expected a file")
    if config.out.suffix.lower() == PNG:
        map_picture.check()


def _check_count(config: MapConfig, perplexity: float, count: int) -> None:
    """Raise UsageError where the images are too few for the perplexity, or too many for a page."""
    layouts.check_perplexity(perplexity, count)
    if count > MOST and config.out.suffix.lower() == HTML:
        raise UsageError(
            f"{count:,} images, more than the {MOST:,} that a page can hold; --limit {MOST}, or "
            f"write a {PNG}"
        )


def _layer(config: MapConfig) -> Layer:
    """Return the layer that the config names, or the deepest; it holds vectors."""
    with FeatureFile(config.features) as file:
        name = file.layers[-1] if config.layer is None else config.layer
        if name not in file.layers:
            raise unknown_name(f"layer in {config.features}", name, list(file.layers))
    (layer,) = find_layers(config.features, (name,))
    return layer


def _laid_out(config: MapConfig, components: Components, perplexity: float) -> np.ndarray:
    """Return coordinates, float64 (N, 2), while a bar shows the iterations."""
    total = layouts.EARLY + layouts.LATE
    with progress_bar(total, 0, "iteration", config.progress) as bar:
        bar.set_description(TITLES[config.method])
        return METHODS[config.method](
            components.scores, perplexity, config.seed, lambda done: bar.update(done - bar.n)
        )


def _drawn(result: Map) -> bytes:
    """Return the page or the picture."""
    if result.config.out.suffix.lower() == PNG:
        return map_picture.png(result)
    return map_page.html(result).encode()
