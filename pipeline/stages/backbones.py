"""The backbones stage: the networks that can be used, and what each layer of one gives."""

from features import descriptors, handcrafted
from features.backbones.catalog import BACKBONES, check_image_size, find
from features.backbones.weights import cached
from features.errors import DataError
from pipeline.config import BackbonesConfig
from pipeline.results.listings import (
    BackboneFacts,
    BackboneLayers,
    BackboneList,
    DescriptorFacts,
    TappableLayer,
)


def run(config: BackbonesConfig) -> BackboneList | BackboneLayers:
    """List all backbones, without TensorFlow, or the layers of the one that is named.

    Raises:
        UsageError: no backbone has that name, or the image size is below its minimum.
        MissingPackageError: the package that computes a hand-crafted descriptor is not installed.
    """
    if config.name is None:
        return list_backbones()
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
    )


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
    return BackboneLayers(backbone.name, size, "", {}, layers)


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
