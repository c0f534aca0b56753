"""The plan of an extraction: everything that is decided before the first image is computed."""

from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from features.config import INT8, ExtractConfig
from features.decoding.trial import Look
from features.disk import durable
from features.engines.base import Calibrate, Compiled
from features.errors import DataError, UsageError
from features.extraction import calibration
from features.extraction.model import Model, find_model
from features.extraction.shards import partial_folder
from features.extraction.watch import Watch
from features.processes.packages import cache_folder
from features.records import Recipe, describe_decoding
from features.remote.outputs import check_remote, working_path
from features.sources.base import Source
from features.storage.store import FeatureFile


@dataclass(frozen=True)
class Plan:
    """One extraction, decided whole: nothing in it is looked up, fetched or computed later.

    Attributes:
        config: the settings, as the user gave them.
        source: the images, open for reading.
        model: the network or descriptor, its weights, and the engine that runs it.
        given_size: height and width in which images are given to the model.
        recipe: everything that can change a number in the output.
        watch: finds images that end the process which decodes them.
    """

    config: ExtractConfig
    source: Source
    model: Model
    given_size: tuple[int, int]
    recipe: Recipe
    watch: Watch


def plan_extraction(
    config: ExtractConfig, source: Source, contents: dict[str, Any] | None = None
) -> Plan:
    """Return the plan; weights are fetched where they are not cached.

    Args:
        config: the settings.
        source: the images.
        contents: what the recipe says of them, where that is known.

    Raises:
        UsageError: what `find_model` raises.
        DataError: what `find_model` raises.
        MissingPackageError: the engine is not installed.
    """
    model = find_model(config)
    given_size = choose_given_size(config, model, source.common_size)
    if model.choice.precision == INT8:
        model = replace(model, calibration=calibration.describe(config, source))
    contents = contents or {
        "kind": source.kind,
        "count": len(source),
        "fingerprint": source.fingerprint(),
    }
    recipe = write_recipe(config, model, given_size, contents)
    look = Look(
        given_size, config.resize, config.interpolation, config.exact_decode, config.accept_damaged
    )
    watch = Watch(partial_folder(config.out), look)
    return Plan(config, source, model, given_size, recipe, watch)


def choose_given_size(
    config: ExtractConfig, model: Model, common_size: tuple[int, int] | None
) -> tuple[int, int]:
    """Return height and width in which images are given to the model, which may enlarge them.

    A GPU enlarges small images of one size itself: fewer bytes travel, and few CPUs keep pace
    with one. On a CPU that was measured to be slower than Pillow. It is done only where the
    result is the same as Pillow's.

    Args:
        config: the settings.
        model: the model that will see the images.
        common_size: height and width of all images, None where they differ or are not known.
    """
    size = model.image_size
    if common_size is None or config.interpolation != "bilinear" or not model.choice.on_gpu:
        return size
    has_same_ratio = common_size[0] * size[1] == common_size[1] * size[0]
    enlarges = common_size[0] <= size[0] and common_size[1] <= size[1]
    return common_size if enlarges and (config.resize == "stretch" or has_same_ratio) else size


def write_recipe(
    config: ExtractConfig, model: Model, given_size: tuple[int, int], source: dict[str, Any]
) -> Recipe:
    """Return the recipe of features; `source` holds kind, count and fingerprint of the images."""
    packages = ("offshelf", *model.packages, "numpy", "pillow", "simplejpeg", "h5py")
    return Recipe(
        backbone=model.backbone,
        weights=model.weights,
        layers=model.layers,
        pooling=model.pooling,
        image_size=model.image_size,
        decoding=describe_decoding(config.exact_decode, config.accept_damaged),
        given_size=given_size,
        resize=config.resize,
        interpolation=config.interpolation,
        scaling=model.scaling.to_dict(),
        engine=model.choice.engine,
        precision=model.choice.precision,
        store=config.store,
        batch_size=config.batch_size,
        source=source,
        versions={name: version(name) for name in packages},
        calibration=model.calibration,
    )


def network_folder(recipe: Recipe) -> Path:
    """Return the folder of the cache in which an engine keeps the network of a recipe."""
    return cache_folder() / "networks" / recipe.network_digest


def compile_model(model: Model, recipe: Recipe, calibrate: Calibrate | None = None) -> Compiled:
    """Return the model ready to run; a network that an engine has converted before is not built."""
    batch_shape = (recipe.batch_size, *recipe.given_size, 3)
    return model.compile(batch_shape, network_folder(recipe), calibrate)


def check_output(out: Path) -> None:
    """Make the output's folder; raise UsageError where the output could not be written there."""
    check_remote(out)
    durable.prepare_folder(working_path(out).parent)
    if out.exists():
        try:
            FeatureFile(out).close()
        except DataError as error:
            raise UsageError(f"{error}; it is not overwritten, choose another --out") from None
