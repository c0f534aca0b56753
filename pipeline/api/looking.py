"""Data sets and feature files: fetched, inspected, consolidated, laid out in the plane."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.config import ConsolidateConfig, FetchConfig, MapConfig
from pipeline.results.inspection import Inspection
from pipeline.results.map import Map
from pipeline.stages import consolidate as consolidate_stage
from pipeline.stages import fetch as fetch_stage
from pipeline.stages import inspect as inspect_stage
from pipeline.stages import map as map_stage


def fetch(
    name: str, out: str | Path | None = FetchConfig.out, *, progress: bool = FetchConfig.progress
) -> Path:
    """Write a public data set to an HDF5 file, as the command `fetch` does.

    Nothing is downloaded where the file is there already.

    Args:
        name: "cifar10", "mnist" or "fashion-mnist".
        out: the file to write; None writes data/NAME.h5.
        progress: whether to show a progress bar.

    Returns:
        The path of the file, which `features.extract` takes as a source.

    Raises:
        UsageError: no data set has that name; the file exists and holds something else; its
            folder cannot be written to.
        DataError: the data set could not be downloaded, or the disk is full.
    """
    return fetch_stage.run(FetchConfig(**locals()))


def inspect(file: str | Path) -> Inspection:
    """Look at what a feature file holds and check it, as the command `inspect` does.

    Args:
        file: a feature file.

    Returns:
        Its facts, layers, classes and columns, and the problems that were found.

    Raises:
        UsageError: `file` is no path.
        DataError: it is no feature file.
    """
    return inspect_stage.run(file)


def consolidate(
    features: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    layout: str | None = ConsolidateConfig.layout,
    progress: bool = ConsolidateConfig.progress,
) -> Path:
    """Write a feature file in the other layout, or join several, as the command `consolidate` does.

    The new one equals the old one in every dataset, and has the rows of several in their order; the
    old ones stay.

    Args:
        features: a feature file, of one in shards the index; or several that differ in nothing but
            their images.
        out: the feature file to write.
        layout: "single" for one file, "sharded" for an index and a folder of shards beside it;
            None takes that which `features` does not have, and of several "sharded" where one has
            it.
        progress: whether to show a progress bar.

    Returns:
        `out` as a Path.

    Raises:
        UsageError: a value is not what its option expects; `features` has that layout already;
            or there is something at `out`.
        DataError: a file is damaged, or `out` cannot be written; or files cannot be joined, as
            they differ in their settings or an id is in two of them.
    """
    return consolidate_stage.run(ConsolidateConfig(**locals()))


def map_features(
    features: str | Path,
    out: str | Path,
    *,
    layer: str | None = MapConfig.layer,
    method: str = MapConfig.method,
    results: str | Path | None = MapConfig.results,
    images: str | Path | None = MapConfig.images,
    limit: int | None = MapConfig.limit,
    sample: int = MapConfig.sample,
    components: int = MapConfig.components,
    perplexity: float | None = MapConfig.perplexity,
    seed: int = MapConfig.seed,
    progress: bool = MapConfig.progress,
) -> Map:
    """Lay images out so that similar ones lie together, as the command `map` does.

    Args:
        features: a feature file.
        out: the map: an .html page, or a .png picture; a .csv of coordinates goes with it.
        layer: a layer of the feature file; None takes the deepest.
        method: "tsne", or "umap", which needs an extra.
        results: a results folder of these images, which knows who is locked and what candidates
            predicted; None: the source's own test split is locked.
        images: where the images lie now; None: where the feature file says that they were.
        limit: take that many images only, spread evenly over the file.
        sample: of more than 250,000 images, how many are laid out and drawn, a stratified sample;
            the others are placed among them.
        components: the number of principal components that the method sees.
        perplexity: about how many neighbours an image has; UMAP takes it as their number. None
            takes 30, or a third of the other images where they are few.
        seed: the seed of everything random.
        progress: whether to show a progress bar.

    Returns:
        The coordinates, and how far they can be trusted.

    Raises:
        UsageError: a value is not what its option expects; features that are maps themselves; too
            few images for the perplexity; or results of other images.
        DataError: a file is damaged or not complete.
        MissingPackageError: the method, or the picture, needs a package that is not installed.
    """
    return map_stage.run(MapConfig(**locals()))
