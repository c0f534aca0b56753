"""The whole network from its parts: built, weights loaded, folded, tapped."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from features.backbones.catalog import Backbone
from features.backbones.folding import fold
from features.backbones.network import build, with_taps

if TYPE_CHECKING:
    from features.backbones.stored import Weights


def assemble(
    backbone: Backbone,
    image_size: tuple[int, int],
    weights: "Weights",
    layers: Sequence[str],
    pooling: str = "avg",
    precision: str = "float32",
    given_size: tuple[int, int] | None = None,
) -> Any:
    """Return a keras.Model from uint8 pixels (h, w, 3) to {layer: float32 features}.

    The pixels are of `image_size`, or of `given_size` if the network is to enlarge them.
    Its operations and weights are in `precision`, the scaling of pixels and the pooling in
    float32; raises what `network.build`, `network.with_taps` and `Weights.load_into` raise.
    """
    base = build(backbone, image_size)
    weights.load_into(base)
    folded = fold(base, layers, precision)
    return with_taps(folded, backbone, layers, pooling, weights.scaling, given_size)
