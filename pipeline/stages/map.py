"""The map stage: a feature file in, a page or a picture of its images in the plane out."""

import csv
import io
import logging
import tempfile
from pathlib import Path

import numpy as np

from features import durable
from features.errors import UsageError, unknown_name
from features.progress import progress_bar
from features.store import FeatureFile
from pipeline.config import MapConfig
from pipeline.config.choices import MAP_SUFFIXES
from pipeline.data.layers import Layer, find_layers, write_matrix
from pipeline.maps import layouts
from pipeline.maps.layouts import METHODS
from pipeline.maps.points import points
from pipeline.maps.quality import measure
from pipeline.maps.reduction import Components, principal
from pipeline.reports import map_page, map_picture
from pipeline.results.map import TITLES, Map

log = logging.getLogger("offshelf")

HTML, PNG = MAP_SUFFIXES
PCA = "PCA"  # the first two components: what any other map must surpass
MOST = 250_000  # points that a page holds with their images


def run(config: MapConfig) -> Map:
    """Lay the images of a feature file out; write the map and, beside it, its coordinates.

    Equal features, settings and versions give equal coordinates on one kind of processor, however
    many cores it has.

    Raises:
        UsageError: an unknown layer, method or suffix, features that are maps themselves, too few
            images for the perplexity, or results of other images.
        DataError: a file is damaged or not complete.
        MissingPackageError: the method, or the picture, needs a package that is not installed.
    """
    _check(config)
    layer = _layer(config)
    who = points(config.features, config.limit, config.results)
    layouts.check_perplexity(config.perplexity, len(who))
    if len(who) > MOST and config.out.suffix.lower() == HTML:
        raise UsageError(
            f"{len(who):,} images, more than the {MOST:,} that a page can hold; --limit {MOST}, "
            f"or write a {PNG}"
        )
    durable.prepare_folder(config.out.parent)
    with tempfile.TemporaryDirectory(prefix=".map-", dir=config.out.parent) as scratch:
        write_matrix(layer, who.rows, Path(scratch) / "features.npy")
        x = np.load(Path(scratch) / "features.npy", mmap_mode="r")
        components = principal(x, config.components, config.seed)
        log.info(
            "%s images; %d principal components hold %.1f %% of the variance of %s",
            f"{len(who):,}", components.scores.shape[1], 100 * components.share, layer.title,
        )  # fmt: skip
        coordinates = _laid_out(config, components)
        log.info("measuring what is left of the neighbourhoods")
        maps = {TITLES[config.method]: coordinates, PCA: components.scores[:, :2]}
        quality = measure(x, maps, who.labels, config.seed)
        del x  # some systems remove no file that is mapped
    made = Map(
        config, layer, who, coordinates.astype(np.float32), components.scores.shape[1],
        components.share, quality, (config.out, config.out.with_suffix(".csv")),
    )  # fmt: skip
    durable.write(made.files[0], _drawn(made))
    durable.write(made.files[1], _csv(made))
    return made


def _check(config: MapConfig) -> None:
    if config.out.is_dir():
        raise UsageError(f"{config.out} is a folder, expected a file")
    if config.out.suffix.lower() == PNG:
        map_picture.check()


def _layer(config: MapConfig) -> Layer:
    """Return the one layer that is meant, after a look at whether it holds vectors."""
    with FeatureFile(config.features) as file:
        name = file.layers[-1] if config.layer is None else config.layer
        if name not in file.layers:
            raise unknown_name(f"layer in {config.features}", name, list(file.layers))
    (layer,) = find_layers(config.features, (name,))
    return layer


def _laid_out(config: MapConfig, components: Components) -> np.ndarray:
    """Return coordinates, float64 (N, 2), while a bar tells of the iterations."""
    total = layouts.EARLY + layouts.LATE
    with progress_bar(total, 0, "iteration", config.progress) as bar:
        bar.set_description(TITLES[config.method])
        return METHODS[config.method](
            components.scores, config.perplexity, config.seed, lambda done: bar.update(done - bar.n)
        )


def _drawn(made: Map) -> bytes:
    """Return the page or the picture."""
    if made.config.out.suffix.lower() == PNG:
        return map_picture.png(made)
    return map_page.html(made).encode()


def _csv(made: Map) -> bytes:
    """Return the coordinates as a table: id, x, y, class ("" where not known) and part."""
    names = (*made.points.class_names, "")  # -1 takes the last
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "x", "y", "class", "part"))
    places = ((f"{x:.6g}", f"{y:.6g}") for x, y in made.coordinates.tolist())
    who = zip(made.points.ids, places, made.points.labels.tolist(), made.points.parts, strict=True)
    writer.writerows((image, *place, names[label], part) for image, place, label, part in who)
    return text.getvalue().encode()
