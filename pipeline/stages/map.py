"""The map stage: a feature file in, a page or a picture with its images in the plane out."""

import logging
from dataclasses import replace

import numpy as np

from features.disk import durable
from features.disk.leftovers import scratch_folder
from features.errors import UsageError, unknown_name
from features.processes.progress import progress_bar
from features.storage.store import FeatureFile
from pipeline.config import MapConfig
from pipeline.config.choices import MAP_SUFFIXES, MOST_DRAWN
from pipeline.data.layers import Layer, check_values, find_layers, stored_rows, write_matrix
from pipeline.maps import layouts
from pipeline.maps.layouts import METHODS
from pipeline.maps.placing import placer, sample
from pipeline.maps.points import read_points
from pipeline.maps.quality import measure
from pipeline.maps.reduction import Components, principal
from pipeline.reports import map_page, map_picture
from pipeline.reports.map_text import csv_text
from pipeline.results.in_stores import in_stores
from pipeline.results.map import TITLES, Map, Points, Quality

log = logging.getLogger("offshelf")

PNG = MAP_SUFFIXES[1]
PCA = "PCA"  # the first two components, a map that others must surpass


@in_stores(reads=("results",), files=("out",))
def run(config: MapConfig) -> Map:
    """Lay out the images of a feature file; write the map, and its coordinates beside it.

    Equal features, settings and versions give equal coordinates on one kind of processor, however
    many cores it has. Of more than `MOST_DRAWN` images a sample is laid out, among which the
    others are placed.

    Raises:
        UsageError: an unknown layer, method or suffix, features that are no vectors, too few
            images for the perplexity, or results of other images.
        DataError: a file is damaged or not complete.
        MissingPackageError: the method, or the picture, needs a package that is not installed.
    """
    _check(config)
    layer = _layer(config)
    points = read_points(config.features, config.limit, config.results)
    count = config.sample if len(points) > MOST_DRAWN else len(points)
    perplexity = config.perplexity or layouts.default_perplexity(count)
    config = replace(config, perplexity=perplexity)
    layouts.check_perplexity(perplexity, count)
    durable.prepare_folder(config.out.parent)
    result = (_of_all if count == len(points) else _of_a_sample)(config, layer, points)
    durable.write(result.files[0], _drawn(result.drawn))
    with durable.replacing(result.files[1]) as draft:
        for lines in csv_text(result):
            draft.write(lines.encode())
    return result


def _of_all(config: MapConfig, layer: Layer, points: Points) -> Map:
    with scratch_folder(config.out.parent, "map") as scratch:
        write_matrix(layer, points.rows, scratch / "features.npy")
        x = np.load(scratch / "features.npy", mmap_mode="r")
        components, coordinates = _laid_out(config, layer, x)
        maps = {TITLES[config.method]: coordinates, PCA: components.scores[:, :2]}
        log.info("measuring how well the neighbourhoods are kept")
        quality = measure(x, maps, points.labels, config.seed)
        del x  # some systems cannot remove a file that is mapped
    return _map(config, layer, points, components, coordinates, quality, None)


def _of_a_sample(config: MapConfig, layer: Layer, points: Points) -> Map:
    """Lay out a stratified sample, and place the others among it, read in blocks.

    Quality is measured in another sample of as many images, of which most were placed.
    """
    rows = stored_rows(layer, points.rows)
    check_values(layer, rows)
    chosen = sample(points.labels, config.sample, config.seed)
    components, laid_out = _laid_out(config, layer, rows[chosen])
    place, coordinates = placer(components.scores, laid_out), np.empty((len(points), 2), np.float32)
    with progress_bar(len(points), 0, "image", config.progress) as bar:
        bar.set_description("placing")
        for part, block in rows.blocks():
            coordinates[part] = place(components.of(block))
            bar.update(len(block))
    coordinates[chosen] = laid_out
    log.info("measuring how well the neighbourhoods are kept")
    judged = sample(points.labels, config.sample, config.seed + 1)
    x = rows[judged]
    maps = {TITLES[config.method]: coordinates[judged], PCA: components.of(x)[:, :2]}
    quality = measure(x, maps, points.labels[judged], config.seed)
    return _map(config, layer, points, components, coordinates, quality, chosen)


def _map(
    config: MapConfig,
    layer: Layer,
    points: Points,
    components: Components,
    coordinates: np.ndarray,
    quality: tuple[Quality, ...],
    chosen: np.ndarray | None,
) -> Map:
    return Map(
        config, layer, points, coordinates.astype(np.float32), components.scores.shape[1],
        components.share, quality, (config.out, config.out.with_suffix(".csv")), chosen,
    )  # fmt: skip


def _check(config: MapConfig) -> None:
    if config.out.is_dir():
        raise UsageError(f"{config.out} is a folder, expected a file")
    if config.out.suffix.lower() == PNG:
        map_picture.check()


def _layer(config: MapConfig) -> Layer:
    """Return the layer that the config names, or the deepest; it holds vectors."""
    with FeatureFile(config.features) as file:
        name = file.layers[-1] if config.layer is None else config.layer
        if name not in file.layers:
            raise unknown_name(f"layer in {config.features}", name, list(file.layers))
    (layer,) = find_layers(config.features, (name,))
    return layer


def _laid_out(config: MapConfig, layer: Layer, x: np.ndarray) -> tuple[Components, np.ndarray]:
    """Return components and coordinates, float64 (n, 2), while a bar shows the iterations."""
    components = principal(x, config.components, config.seed)
    log.info(
        "%s images; %d principal components hold %.1f %% of the variance of %s",
        f"{len(x):,}", components.scores.shape[1], 100 * components.share, layer.title,
    )  # fmt: skip
    total = layouts.EARLY + layouts.LATE
    with progress_bar(total, 0, "iteration", config.progress) as bar:
        bar.set_description(TITLES[config.method])
        return components, METHODS[config.method](
            components.scores, config.perplexity or layouts.PERPLEXITY, config.seed,
            lambda done: bar.update(done - bar.n),
        )  # fmt: skip


def _drawn(result: Map) -> bytes:
    """Return the page or the picture."""
    if result.config.out.suffix.lower() == PNG:
        return map_picture.png(result)
    return map_page.html(result).encode()
