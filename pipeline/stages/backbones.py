"""The backbones command: what can be used, and what each layer of a network gives."""

from features import descriptors, handcrafted
from features.backbones.catalog import BACKBONES, check_image_size, find
from features.backbones.weights import cached
from features.errors import DataError
from pipeline.reports.tables import render


def overview() -> str:
    """Return the table of all backbones; imports no TensorFlow."""
    header = ("name", "input", "least", "features", "parameters", "scaling", "weights")
    rows = [
        (
            backbone.name,
            backbone.size,
            backbone.min_size,
            backbone.layers[-1][1],
            f"{backbone.parameters / 1e6:.1f} M",
            backbone.scaling,
            _at_hand(backbone.name),
        )
        for backbone in BACKBONES.values()
    ]
    return f"{render(header, rows)}\n\nmade by hand, without weights:\n{_by_hand()}"


def _by_hand() -> str:
    header = ("name", "input", "least", "what")
    return render(
        header,
        [(one.name, one.size, one.min_size, one.about) for one in descriptors.DESCRIPTORS.values()],
    )


def _at_hand(name: str) -> str:
    try:
        weights = cached(BACKBONES[name])
    except DataError:
        return "damaged"
    return weights.weights_source if weights else "-"


def layers(
    name: str, image_size: tuple[int, int] | None = None, recommended_only: bool = True
) -> str:
    """Return what is to be known of a backbone's tappable layers at an input size.

    Args:
        name: of the backbone.
        image_size: height and width in pixels, None for the backbone's own.
        recommended_only: list only the recommended layers, else all of them.
    """
    from features.backbones.anatomy import anatomy

    if descriptor := descriptors.find(name):
        return _described(descriptor, image_size)
    backbone = find(name)
    size = image_size or (backbone.size, backbone.size)
    header = ("layer", "output", "avg", "flatten", "receptive field", "parameters", "MACs")
    rows = [
        (
            facts.name,
            "x".join(map(str, facts.shape)),
            facts.pooled,
            facts.flattened,
            "whole image" if facts.receptive_field is None else f"{facts.receptive_field} px",
            f"{facts.parameters:,}",
            f"{facts.macs / 1e6:,.0f} M",
        )
        for facts in anatomy(backbone, size, recommended_only=recommended_only)
    ]
    return f"{backbone.name} at {size[0]} x {size[1]} pixels\n\n{render(header, rows)}"


def _described(descriptor: descriptors.Descriptor, image_size: tuple[int, int] | None) -> str:
    size = image_size or (descriptor.size, descriptor.size)
    check_image_size(descriptor, size)
    handcrafted.choose()  # which says what is missing
    facts = ", ".join(f"{name} {value}" for name, value in descriptor.parameters.items())
    table = render(("layer", "features"), [(descriptor.output, descriptor.dimensions(size))])
    return (
        f"{descriptor.name} at {size[0]} x {size[1]} pixels: {descriptor.about}\n{facts}\n\n{table}"
    )
