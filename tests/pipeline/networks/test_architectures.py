"""Architectures: the sizes they should have, and the tricks they can be without."""

import numpy as np
import pytest

from pipeline.networks import architectures
from pipeline.networks.architectures import ARCHITECTURES, build, scaling

FACTS = {
    "image_size": [32, 32], "classes": 10, "batchnorm": True, "dropout": True, "seed": 0,
    "scaling": {"mean": [100.0, 120.0, 140.0], "deviation": [50.0, 60.0, 70.0]},
    "precision": "float32",
}  # fmt: skip


def kinds(network):
    return {type(layer).__name__ for layer in network.layers}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_gives_logits_of_pixels(name):
    network = build(FACTS | {"architecture": name})
    assert network.output_shape == (None, 10)
    assert {"BatchNormalization", "Dropout"} <= kinds(network)
    bare = build(FACTS | {"architecture": name, "batchnorm": False, "dropout": False})
    assert not {"BatchNormalization", "Dropout"} & kinds(bare)
    smallest = [ARCHITECTURES[name].smallest] * 2
    build(FACTS | {"architecture": name, "image_size": smallest})


def test_resnet18_has_the_published_number_of_parameters():
    network = build(FACTS | {"architecture": "resnet18"})
    assert sum(np.prod(weight.shape) for weight in network.trainable_weights) == 11_173_962


def test_pixels_are_standardized_by_the_images_that_train():
    x = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    x[..., 1] //= 4
    rows = np.arange(0, 40, 2)
    statistics = scaling(x, rows)
    np.testing.assert_allclose(statistics["mean"], x[rows].mean(axis=(0, 1, 2)), atol=1e-3)
    np.testing.assert_allclose(statistics["deviation"], x[rows].std(axis=(0, 1, 2)), atol=1e-3)
    scaled = architectures._scaled(x.astype("float32"), statistics)
    np.testing.assert_allclose(np.asarray(scaled)[rows].mean(axis=(0, 1, 2)), 0, atol=1e-4)
    plain = architectures._scaled(x, None)
    np.testing.assert_allclose(np.asarray(plain), x / 255, atol=1e-6)
