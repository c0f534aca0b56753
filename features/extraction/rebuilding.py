"""A recipe made to run again: the same pixels, network and layers for images that are new."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NoReturn

from features import descriptors
from features.backbones import catalog
from features.backbones.names import is_elsewhere, is_timm
from features.config import INT8, ExtractConfig
from features.engines import choose, compile_network
from features.engines.base import Compiled
from features.errors import DataError, UsageError
from features.extraction.model import Model, find_model
from features.extraction.planning import compile_model, network_folder, write_recipe
from features.records import Recipe

# What must be the same, or the features are others; the rest is shown to make no difference.
_IDENTITY = (
    "backbone", "weights", "layers", "pooling", "image_size", "decoding", "resize", "interpolation",
    "scaling", "store",
)  # fmt: skip
_NOT_COMPARED = ("source", "given_size", "batch_size")  # they do not change what an image gives
# Of no use when the network has been converted.
_OF_CONVERSION = tuple(
    f"versions.{package}" for package in ("keras", "tensorflow", "nncf", "timm", "torch")
)
CONVERTS = "openvino"  # the engine that keeps converted networks
_RANDOM = "seed "  # what the recipe has in place of a checksum of random weights


@dataclass(frozen=True)
class Rebuilt:
    """What a recipe describes, found again.

    Attributes:
        config: the settings; source and output play no role.
        model: the network or descriptor.
        recipe: the recipe of features that it makes now, without a source.
        differences: a line 'setting: then -> now' for each version, the engine and the precision
            that are not as in the old recipe.
        converted: a folder with the network as OpenVINO keeps it, which needs neither weights nor
            Keras; None builds the network. That of int8 is never built again.
    """

    config: ExtractConfig
    model: Model
    recipe: Recipe
    differences: tuple[str, ...]

    converted: Path | None = None

    def compile(self) -> Compiled:
        """Return the network ready to run, from the cache where it was converted before."""
        if self.converted is None:
            return compile_model(self.model, self.recipe)
        batch_shape = (self.recipe.batch_size, *self.recipe.given_size, 3)
        return self.model.compile(batch_shape, self.converted, None)


def rebuild(
    recipe: Recipe,
    weights: str | None = None,
    engine: str | None = None,
    precision: str | None = None,
    converted: Path | None = None,
) -> Rebuilt:
    """Find what made some features; its weights are fetched where they are not cached.

    Args:
        recipe: the recipe of the features.
        weights: the weights file, where they were made from one.
        engine: another engine than theirs; None takes theirs.
        precision: another precision than theirs; None takes theirs.
        converted: a folder with the network as OpenVINO keeps it, if it is at hand.

    Raises:
        UsageError: the weights came from a file, and `weights` does not name it.
        DataError: the weights or another setting that decides the features differ, and the message
            has both values; or the int8 network of the features is not at hand.
        MissingPackageError: the engine is not installed.
    """
    precision = precision or recipe.precision
    if precision == INT8 and converted is None:
        converted = _quantized(recipe)
    is_file = _is_own(recipe.backbone) or recipe.weights["origin"] == "file"
    if weights is None and converted is None and is_file:
        raise UsageError(
            "the features were made from a weights file, whose path is not recorded; name it with "
            f"--weights FILE (SHA-256 {recipe.weights['sha256']})"
        )
    config = _config(recipe, weights, engine or recipe.engine, precision)
    model = find_model(config) if converted is None else _converted(config, recipe)
    if is_elsewhere(recipe.backbone):  # a file may have been renamed; its checksum tells
        model = replace(model, backbone=recipe.backbone)
    now = write_recipe(config, model, model.image_size, source={})
    _check(recipe, now)
    ignored = _NOT_COMPARED if converted is None else (*_NOT_COMPARED, *_OF_CONVERSION)
    soft = [line for line in recipe.differences(now) if not line.startswith(ignored)]
    return Rebuilt(config, model, now, tuple(soft), converted)


def _converted(config: ExtractConfig, recipe: Recipe) -> Model:
    """Return a network that OpenVINO has converted; without a look at weights, or at Keras."""
    choice = choose(config.engine, config.precision)
    if choice.engine != CONVERTS:
        raise UsageError(
            f"--engine {choice.engine}: the network at hand was converted for {CONVERTS}; leave "
            "the option out"
        )

    if recipe.precision == INT8 != choice.precision:
        raise UsageError(
            f"--precision {choice.precision}: the network at hand is {INT8}; leave the option out"
        )

    def make(precision: str) -> NoReturn:
        raise DataError(
            "the converted network is damaged; pack the candidate again, or repeat the extraction"
        )

    return Model(
        backbone=recipe.backbone,
        weights=recipe.weights,
        licence="",
        layers=recipe.layers,
        pooling=recipe.pooling,
        image_size=recipe.image_size,
        scaling=catalog.PixelScaling.from_dict(recipe.scaling),
        choice=choice,
        packages=(choice.engine,),
        compile=lambda batch_shape, folder, _: compile_network(choice, make, batch_shape, folder),
        calibration=recipe.calibration,
    )


def _quantized(recipe: Recipe) -> Path:
    """Return the folder of the int8 network that made some features."""
    folder = network_folder(recipe)
    if not folder.is_dir():
        raise DataError(
            f"the {INT8} network behind the features is not in {folder.parent}; repeat their "
            "extraction, which makes it again from the same images, or take a pack --with-weights"
        )
    return folder


def _check(recipe: Recipe, now: Recipe) -> None:
    """Raise DataError where the features would be others."""
    then, today = ({name: asdict(one)[name] for name in _IDENTITY} for one in (recipe, now))
    for name in _IDENTITY:
        if then[name] != today[name]:
            raise DataError(
                f"{name} was {then[name]} when the features were made and is {today[name]} here; "
                "predictions would be others, so that none are made"
            )


def _is_own(backbone: str) -> bool:
    """Tell whether a backbone is a file, which a recipe cannot find: it has no path."""
    return is_elsewhere(backbone) and not is_timm(backbone)


def _config(recipe: Recipe, weights: str | None, engine: str, precision: str) -> ExtractConfig:
    decoding, _, damaged = recipe.decoding.partition(",")
    exact, accepts = decoding == "exact", bool(damaged)
    if descriptors.find(recipe.backbone) is not None:
        return ExtractConfig(
            Path(), Path(), recipe.backbone, image_size=recipe.image_size, resize=recipe.resize,
            interpolation=recipe.interpolation, exact_decode=exact, accept_damaged=accepts,
            batch_size=recipe.batch_size, store=recipe.store,
        )  # fmt: skip
    origin, scaling = recipe.weights["origin"], recipe.scaling["name"]
    is_random = origin == "random"
    is_own = _is_own(recipe.backbone) and weights is not None
    seed = recipe.weights["sha256"].removeprefix(_RANDOM) if is_random else "0"
    if not (seed.isascii() and seed.isdigit()):
        raise DataError(f"its recipe names random weights of {recipe.weights['sha256']!r:.60}")
    return ExtractConfig(
        Path(), Path(), weights if is_own and weights else recipe.backbone,
        weights="none" if is_random else "imagenet" if is_own else (weights or origin),
        scaling=scaling if (is_random or weights) and scaling in catalog.SCALINGS else None,
        layers=recipe.layers, pooling=recipe.pooling, image_size=recipe.image_size,
        resize=recipe.resize, interpolation=recipe.interpolation, exact_decode=exact,
        accept_damaged=accepts, engine=engine, precision=precision,
        batch_size=recipe.batch_size, store=recipe.store,
        seed=int(seed),
    )  # fmt: skip
