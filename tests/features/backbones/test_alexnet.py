"""AlexNet against a plain NumPy implementation of torchvision's layers, and what it lacks."""

import numpy as np
import pytest

from features.backbones import weights
from features.backbones.catalog import SCALINGS, find
from features.backbones.network import build, randomize, with_taps
from features.config import ExtractConfig
from features.errors import DataError, UsageError
from pipeline.networks.blocks import blocks_of
from tests.features.backbones.conftest import draw_pixels

ALEXNET = find("alexnet")
# Stride and zeros on each side, as torchvision's `AlexNet.features` has them.
CONVOLUTIONS = {"conv1": (4, 2), "conv2": (1, 2), "conv3": (1, 1), "conv4": (1, 1), "conv5": (1, 1)}
POOLED = {"conv1": "pool1", "conv2": "pool2", "conv5": "pool5"}


def windows(x, side, stride):
    """Return (n, h, w, c, side, side): every window that fits, as PyTorch counts them."""
    view = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
    return view[:, ::stride, ::stride]


def by_numpy(pixels, network):
    """Return the map of each layer, float64."""
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x, maps = (pixels / 255 - mean) / deviation, {}
    for name, (stride, zeros) in CONVOLUTIONS.items():
        kernel, bias = (np.float64(w) for w in network.get_layer(name).get_weights())
        x = np.pad(x, ((0, 0), (zeros, zeros), (zeros, zeros), (0, 0)))
        x = np.einsum("nhwcij,ijco->nhwo", windows(x, len(kernel), stride), kernel, optimize=True)
        x = maps[name] = np.maximum(x + bias, 0)
        if name in POOLED:
            x = maps[POOLED[name]] = windows(x, 3, 2).max(axis=(4, 5))
    return maps


@pytest.mark.parametrize("size", [(63, 70), (98, 64)])
def test_every_layer_is_that_of_torchvision(size):
    base = build(ALEXNET, size)
    randomize(base, 0)
    for number in range(1, 6):
        bias = base.get_layer(f"conv{number}").bias
        bias.assign(np.linspace(-0.5, 0.5, bias.shape[0]))
    pixels = draw_pixels(*size)
    expected = by_numpy(pixels, base)
    names = [name for name, _ in ALEXNET.layers]
    found = with_taps(base, ALEXNET, names, "none", SCALINGS["torch"])(pixels)
    for name, channels in ALEXNET.layers:
        assert expected[name].shape[-1] == channels
        np.testing.assert_allclose(np.asarray(found[name]), expected[name], rtol=1e-3, atol=1e-4)


def test_the_table_describes_the_network():
    base = build(ALEXNET, (224, 224))
    assert base.count_params() == ALEXNET.parameters
    assert base.output.shape[1:] == (6, 6, 256)
    assert build(ALEXNET, (63, 63)).output.shape[1:] == (1, 1, 256)
    with pytest.raises(ValueError, match="dimension|size|negative"):
        from features.backbones import alexnet

        alexnet.build((62, 62))


def test_it_has_one_source_and_no_dense_layers(cache, monkeypatch):
    assert weights.weights_sources(ALEXNET) == ["torchvision"]

    def fail(package):
        raise DataError("pip is not installed")

    monkeypatch.setattr(weights, "fetch_package", fail)
    with pytest.raises(DataError, match=r"Tried torchvision: pip is not installed\."):
        weights.resolve(ALEXNET)
    with pytest.raises(UsageError, match="no such file, and none of imagenet, torchvision, none"):
        weights.resolve(ALEXNET, "keras")
    ExtractConfig("x", "y", "alexnet", layers="conv3", image_size=96)
    with pytest.raises(UsageError, match="at least 63 pixels"):
        ExtractConfig("x", "y", "alexnet", image_size=62)
    base = build(ALEXNET, (63, 63))
    with pytest.raises(UsageError, match="no layer of alexnet is called 'fc7'; known: pool1, "):
        with_taps(base, ALEXNET, ["fc7"], "avg", SCALINGS["torch"])


def test_each_convolution_is_a_block_to_unfreeze():
    names = [block.name for block in blocks_of(build(ALEXNET, (63, 63)))]
    assert names == ["conv1", "conv2", "conv3", "conv4", "conv5"]
