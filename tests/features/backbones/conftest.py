"""One network of every family, with weights that are random and yet do something everywhere."""

import numpy as np
import pytest

from features.backbones.catalog import BACKBONES
from features.backbones.network import build, randomize

SMALLEST = {
    backbone.family: backbone
    for backbone in sorted(BACKBONES.values(), key=lambda b: b.parameters, reverse=True)
}


def draw_pixels(height: int, width: int, count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def draw_statistics(network) -> None:
    """Give batch norms, layer norms, layer scales and biases values that matter."""
    rng = np.random.default_rng(1)
    for layer in network.layers:
        kind = type(layer).__name__
        if kind in ("BatchNormalization", "LayerNormalization", "LayerScale"):
            for weight in layer.weights:
                spread = weight.name in ("beta", "moving_mean")
                low, high = (-0.5, 0.5) if spread else (0.5, 1.5)
                weight.assign(rng.uniform(low, high, weight.shape))
        elif kind == "Normalization" and layer.weights:  # as in EfficientNet's weights files
            mean, deviation = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
            layer.set_weights([mean, deviation, np.array(0)])
            layer.finalize_state()


@pytest.fixture(scope="session", params=SMALLEST.values(), ids=list(SMALLEST))
def family(request):
    """The smallest backbone of a family, seeded weights in its network, and pixels for it.

    The images have the least height, and a width that makes the last map 1 x 2 or more.
    """
    backbone = request.param
    size = (backbone.min_size, backbone.min_size + 32)
    base = build(backbone, size)
    randomize(base, 0)
    draw_statistics(base)
    return backbone, base, draw_pixels(*size)
