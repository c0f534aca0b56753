"""Backbones and their layers, as text for a terminal."""

from pipeline.reports.tables import render
from pipeline.results.listings import BackboneLayers, BackboneList


def text(result: BackboneList | BackboneLayers) -> str:
    """Return the table of all backbones, or of the layers of one."""
    return _overview(result) if isinstance(result, BackboneList) else _layers(result)


def _overview(backbones: BackboneList) -> str:
    networks = render(
        ("name", "input", "least", "features", "parameters", "scaling", "weights"),
        [
            (
                network.name,
                network.image_size,
                network.min_size,
                network.features,
                f"{network.parameters / 1e6:.1f} M",
                network.scaling,
                network.weights or "-",
            )
            for network in backbones.networks
        ],
    )
    descriptors = render(
        ("name", "input", "least", "what"),
        [(each.name, each.image_size, each.min_size, each.about) for each in backbones.descriptors],
    )
    elsewhere = render(("name", "what"), list(backbones.elsewhere.items()))
    return (
        f"{networks}\n\nmade by hand, without weights:\n{descriptors}\n\n"
        f"from elsewhere (`backbones NAME` lists the layers):\n{elsewhere}"
    )


def _shapes(backbone: BackboneLayers) -> str:
    return render(
        ("layer", "output", "avg", "flatten"),
        [
            (each.name, "x".join(map(str, each.shape)), each.pooled, each.flattened)
            for each in backbone.layers
        ],
    )


def _layers(backbone: BackboneLayers) -> str:
    height, width = backbone.image_size
    heading = f"{backbone.backbone} at {height} x {width} pixels"
    if backbone.settings:
        settings = ", ".join(f"{name} {value}" for name, value in backbone.settings.items())
        table = render(
            ("layer", "features"), [(layer.name, layer.pooled) for layer in backbone.layers]
        )
        return f"{heading}: {backbone.about}\n{settings}\n\n{table}"
    if backbone.layers[0].parameters is None:  # a network from elsewhere
        return f"{heading}: {backbone.about}\n\n{_shapes(backbone)}"
    header = ("layer", "output", "avg", "flatten", "receptive field", "parameters", "MACs")
    rows = [
        (
            layer.name,
            "x".join(map(str, layer.shape)),
            layer.pooled,
            layer.flattened,
            "whole image" if layer.receptive_field is None else f"{layer.receptive_field} px",
            f"{layer.parameters:,}",
            f"{(layer.macs or 0) / 1e6:,.0f} M",
        )
        for layer in backbone.layers
    ]
    about = f"\n\n{backbone.about}" if backbone.about else ""
    return f"{heading}\n\n{render(header, rows)}{about}"
