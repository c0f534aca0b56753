"""The backbones stage: the networks that can be used, and what each layer of one gives."""

import math
from importlib.util import find_spec
from typing import TYPE_CHECKING

from features import descriptors
from features.backbones.catalog import BACKBONES, LOGITS, Backbone, check_image_size, find
from features.backbones.names import is_elsewhere
from features.backbones.weights import cached, weights_sources
from features.config import ExtractConfig
from features.errors import DataError
from features.extraction import handcrafted
from pipeline.config import BackbonesConfig
from pipeline.results.listings import (
    BackboneFacts,
    BackboneLayers,
    BackboneList,
    DescriptorFacts,
    TappableLayer,
)

if TYPE_CHECKING:
    from features.backbones.elsewhere import Network


def run(config: BackbonesConfig) -> BackboneList | BackboneLayers:
    """List all backbones, without TensorFlow, or the layers of the one that is named.

    Raises:
        UsageError: no backbone has that name, or the image size is below its minimum; or there is
            no file of that name, or it does not say the size of its images.
        DataError: the file of an own network is damaged, or is no network that takes images.
        MissingPackageError: the package that computes a hand-crafted descriptor is not installed.
    """
    if config.name is None:
        return list_backbones()
    if is_elsewhere(config.name):
        return _describe_own(config.name, config.image_size, config.recommended_only)
    if descriptor := descriptors.find(config.name):
        return _describe_descriptor(descriptor, config.image_size)
    return _describe_network(config.name, config.image_size, config.recommended_only)


def list_backbones() -> BackboneList:
    """List all pretrained networks and hand-crafted descriptors."""
    return BackboneList(
        tuple(
            BackboneFacts(
                backbone.name,
                backbone.size,
                backbone.min_size,
                backbone.layers[-1][1],
                backbone.parameters,
                backbone.scaling,
                _cached_weights(backbone.name),
            )
            for backbone in BACKBONES.values()
        ),
        tuple(
            DescriptorFacts(descriptor.name, descriptor.size, descriptor.min_size, descriptor.about)
            for descriptor in descriptors.DESCRIPTORS.values()
        ),
        _elsewhere(),
    )


def _elsewhere() -> dict[str, str]:
    """Return how networks from elsewhere are named, and what each kind needs that is not here."""
    kinds = {
        "timm/NAME": (
            "any of timm's models, by openvino or torch",
            ("timm", "torch"),
            "offshelf[timm]",
        ),
        "FILE.onnx, FILE.xml": ("a network of your own, by openvino", ("openvino",), "openvino"),
        "FILE.keras": ("a network of your own, by any engine", ("keras",), "keras"),
    }
    return {
        kind: what
        if all(find_spec(package) for package in packages)
        else f'{what}; `pip install "{name}"` brings what it needs'
        for kind, (what, packages, name) in kinds.items()
    }


def _cached_weights(name: str) -> str | None:
    try:
        weights = cached(BACKBONES[name])
    except DataError:
        return "damaged"
    return weights.weights_source if weights else None


def _describe_network(
    name: str, image_size: tuple[int, int] | None, recommended_only: bool
) -> BackboneLayers:
    from features.backbones.anatomy import anatomy

    backbone = find(name)
    size = image_size or (backbone.size, backbone.size)
    layers = tuple(
        TappableLayer(
            facts.name, facts.shape, facts.pooled, facts.flattened, facts.receptive_field,
            facts.parameters, facts.macs,
        )
        for facts in anatomy(backbone, size, recommended_only=recommended_only)
    )  # fmt: skip
    return BackboneLayers(backbone.name, size, _about_dense(backbone), {}, layers)


def _about_dense(backbone: Backbone) -> str:
    """Return what the dense layers need: a size of images, and weights that have them."""
    if not backbone.dense:
        return ""
    own = f"of images of {backbone.size} x {backbone.size} pixels alone"
    size = own if backbone.top.flattens else "of images of any size"
    sources = " or ".join(weights_sources(backbone, needs_top=True))
    return (
        f"{', '.join(backbone.dense)}: dense, {size}; {LOGITS} are the values before the softmax; "
        f"weights that have them: {sources}, or a file saved with them"
    )


def _describe_own(
    name: str, image_size: tuple[int, int] | None, recommended_only: bool
) -> BackboneLayers:
    from features.backbones import elsewhere, opening

    network = opening.find(
        elsewhere.Wanted(name, elsewhere.NO_WEIGHTS, None, image_size, ExtractConfig.batch_size, 0)
    )
    taps = list(network.taps)
    if recommended_only:  # the last layer of each shape
        last = {tap.shape: tap for tap in taps}
        taps = [tap for tap in taps if last[tap.shape] is tap or tap.name == network.output]
    layers = tuple(
        TappableLayer(
            tap.name, tap.shape, tap.shape[-1], math.prod(tap.shape), None, None, None
        )
        for tap in taps
    )  # fmt: skip
    return BackboneLayers(network.name, network.image_size, _about(network), {}, layers)


def _about(network: "Network") -> str:
    scaling = network.scaling
    pixels = (
        f"pixels scaled by {scaling.name!r}, {scaling.order}"
        if scaling
        else "it does not say how its pixels are to be scaled (--scaling)"
    )
    return f"{pixels}; by default {network.output} is tapped; run by {' or '.join(network.engines)}"


def _describe_descriptor(
    descriptor: descriptors.Descriptor, image_size: tuple[int, int] | None
) -> BackboneLayers:
    size = image_size or (descriptor.size, descriptor.size)
    check_image_size(descriptor, size)
    handcrafted.choose()  # raises the error that names the missing package
    count = descriptor.dimensions(size)
    layer = TappableLayer(descriptor.output, (count,), count, count, None, None, None)
    return BackboneLayers(
        descriptor.name, size, descriptor.about, dict(descriptor.parameters), (layer,)
    )
