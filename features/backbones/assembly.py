"""The whole network in one call: built, weights loaded, batch norms folded, layers tapped."""

from collections.abc import Sequence
from typing import Any

from features.backbones.catalog import Backbone
from features.backbones.folding import fold
from features.backbones.network import build, with_taps
from features.backbones.stored import Weights


def assemble(
    backbone: Backbone,
    image_size: tuple[int, int],
    weights: Weights,
    layers: Sequence[str],
    pooling: str = "avg",
    precision: str = "float32",
    given_size: tuple[int, int] | None = None,
) -> Any:
    """Return a keras.Model from uint8 pixels (h, w, 3) to {layer: float32 features}.

    Args:
        backbone: an entry of the catalog.
        image_size: height and width that the network sees, in pixels.
        weights: the weights to load.
        layers: names of the layers to tap.
        pooling: a name from `catalog.POOLINGS`.
        precision: dtype of weights and operations, such as "bfloat16"; pixel scaling and pooling
            are in float32 in any case.
        given_size: height and width of the pixels where the network is to enlarge them itself;
            None where they come in `image_size`.

    Raises:
        UsageError: as `network.build` and `network.with_taps`.
        DataError: as `Weights.load_into` and `Weights.load_top`.
        MissingPackageError: Keras, or its backend, is not installed.
    """
    base = build(backbone, image_size)
    weights.load_into(base)
    folded = fold(base, layers, precision)
    has_dense = any(name in backbone.dense for name in layers)
    top = weights.load_top(backbone, base) if has_dense else None
    return with_taps(folded, backbone, layers, pooling, weights.scaling, given_size, top)
