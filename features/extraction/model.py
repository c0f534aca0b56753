"""What turns pixels into features: a pretrained network, or a hand-crafted descriptor."""

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from features import descriptors
from features.backbones import catalog
from features.backbones.assembly import assemble
from features.backbones.catalog import PixelScaling
from features.backbones.names import is_elsewhere
from features.backbones.stored import Weights
from features.backbones.weights import resolve
from features.config import INT8, QUANTIZER, ExtractConfig
from features.descriptors import Descriptor
from features.engines import choose, compile_network
from features.engines.base import BatchShape, Calibrate, Choice, Compiled
from features.errors import MissingPackageError, UsageError
from features.extraction import handcrafted

log = logging.getLogger("offshelf")


@dataclass(frozen=True)
class Model:
    """A network or a descriptor: chosen, with its weights at hand, and not built yet.

    Attributes:
        backbone: its name.
        weights: what the recipe keeps of its weights: "origin" and "sha256", "top_sha256" where a
            dense layer is tapped; of a descriptor also its parameters.
        licence: the licence of the weights, as far as known.
        layers: names of the layers whose outputs are the features.
        pooling: how a layer's positions become one vector, a name from `catalog.POOLINGS`.
        image_size: height and width that it sees, in pixels.
        scaling: the pixel scaling that its weights expect.
        choice: the engine and the precision.
        packages: names of the packages that its numbers depend on.
        compile: makes it ready to run. It takes the shape of a batch of pixels (batch size,
            height, width, 3), the folder in which an engine may keep a converted network, and what
            gives the images that int8 is calibrated on, or None.
        calibration: what the recipe keeps of these images: "images" and "digest"; None for all but
            int8.
        network: builds the Keras network in float32, from uint8 pixels of `image_size` to
            {layer: float32 features} of the layers that it takes; None where there is none.
    """

    backbone: str
    weights: dict[str, Any]
    licence: str
    layers: tuple[str, ...]
    pooling: str
    image_size: tuple[int, int]
    scaling: PixelScaling
    choice: Choice
    packages: tuple[str, ...]
    compile: Callable[[BatchShape, Path, Calibrate | None], Compiled]
    calibration: dict[str, Any] | None = None
    network: Callable[[Sequence[str]], Any] | None = None


def find_model(config: ExtractConfig) -> Model:
    """Return the model that a config names; its weights are fetched where they are not cached.

    Raises:
        UsageError: the weights file is not there, or its suffix is not known; or an own network
            does not say something that has to be known, and the message asks for it.
        DataError: the weights could not be fetched, or are not what they should be.
        MissingPackageError: the engine is not installed, or what int8 needs.
    """
    if config.precision == INT8 and find_spec(QUANTIZER) is None:
        raise MissingPackageError(
            f'`pip install "offshelf[int8]"` brings what {INT8} needs ({QUANTIZER})'
        )
    if is_elsewhere(config.backbone):
        return _from_elsewhere(config)
    descriptor = descriptors.find(config.backbone)
    return _network(config) if descriptor is None else _handcrafted(config, descriptor)


def _network(config: ExtractConfig) -> Model:
    choice = choose(config.engine, config.precision)
    backbone = catalog.find(config.backbone)
    layers = catalog.resolve_layers(backbone, config.layers)
    size = config.image_size or (backbone.size, backbone.size)
    needs_top = any(name in backbone.dense for name in layers)
    weights = resolve(backbone, config.weights, config.scaling, config.seed, needs_top)

    def compile_for(batch_shape: BatchShape, cache: Path, calibrate: Calibrate | None) -> Compiled:
        def make(precision: str) -> Any:
            given_size = batch_shape[1:3]
            return assemble(backbone, size, weights, layers, config.pooling, precision, given_size)

        return compile_network(choice, make, batch_shape, cache, calibrate)

    return Model(
        backbone=backbone.name,
        weights=_identity(weights),
        licence=weights.licence,
        layers=layers,
        pooling=config.pooling,
        image_size=size,
        scaling=weights.scaling,
        choice=choice,
        packages=("keras", *_packages(choice)),
        compile=compile_for,
        network=lambda tapped: assemble(backbone, size, weights, tapped, config.pooling),
    )


def _packages(choice: Choice) -> tuple[str, ...]:
    """Return the names of the engine's package, and of the one that quantizes for int8."""
    return (choice.engine, *([QUANTIZER] if choice.precision == INT8 else []))


def _from_elsewhere(config: ExtractConfig) -> Model:
    from features.backbones import elsewhere, opening

    network = opening.find(
        elsewhere.Wanted(
            config.backbone, config.weights, config.scaling, config.image_size,
            config.batch_size, config.seed,
        )
    )  # fmt: skip
    if network.scaling is None:
        raise UsageError(
            f"{config.backbone} does not say how its pixels are to be scaled; say it with "
            f"--scaling {'|'.join(catalog.SCALINGS)}"
        )
    choice = choose(config.engine, config.precision, network.engines)
    layers = network.resolve(config.layers)
    elsewhere.check_pooling([tap for tap in network.taps if tap.name in layers], config.pooling)
    height, width = network.image_size
    _tell(
        f"{network.name}: {height} x {width} pixels, {network.scaling.order}, scaling "
        f"{network.scaling.name!r}, layer {', '.join(layers)}"
    )

    def compile_for(batch_shape: BatchShape, cache: Path, calibrate: Calibrate | None) -> Compiled:
        def make(precision: str) -> Any:
            return network.make(layers, config.pooling, precision, batch_shape)

        return compile_network(choice, make, batch_shape, cache, calibrate)

    def in_keras(tapped: Sequence[str]) -> Any:
        return network.make(tapped, config.pooling, "float32", (1, *network.image_size, 3))

    return Model(
        backbone=network.name,
        weights=network.weights,
        licence=network.licence,
        layers=layers,
        pooling=config.pooling,
        image_size=network.image_size,
        scaling=network.scaling,
        choice=choice,
        packages=(*network.packages, *_packages(choice)),
        compile=compile_for,
        network=in_keras if "tensorflow" in network.engines else None,
    )


@functools.cache
def _tell(what: str) -> None:
    """Say once what was read from a network, or guessed of it."""
    log.info("%s", what)


def _identity(weights: Weights) -> dict[str, Any]:
    """Return what the recipe keeps of weights."""
    top = {"top_sha256": weights.top_sha256} if weights.top_sha256 else {}
    return {"origin": weights.weights_source, "sha256": weights.sha256} | top


def _handcrafted(config: ExtractConfig, descriptor: Descriptor) -> Model:
    choice = handcrafted.choose()
    size = config.image_size or (descriptor.size, descriptor.size)
    return Model(
        backbone=descriptor.name,
        weights={"origin": "handcrafted", "sha256": ""} | descriptor.parameters,
        licence="",
        layers=(descriptor.output,),
        pooling="none",
        image_size=size,
        scaling=catalog.SCALINGS["none"],
        choice=choice,
        packages=(choice.engine,),
        compile=lambda batch_shape, cache, calibrate: handcrafted.compiled(descriptor, size),
    )
