"""Inside a network: what its last layer takes, and where its gradients see a class."""

import keras
import numpy as np
import pytest

from pipeline.networks import architectures, transfer
from pipeline.networks.inference import embeddings, logits
from pipeline.networks.inside import LEAST_SIDE, halves, with_embedding

SIDE, PATCH = 64, 16  # pixels of images, and of the corner that tells the class
SCALING = {"name": "test", "order": "BGR", "scale": [1.0, 1.0, 1.0], "offset": [-100.0] * 3}


def scratch(name, size=32):
    return architectures.build(
        {
            "architecture": name, "image_size": [size, size], "classes": 2, "scaling": None,
            "batchnorm": True, "dropout": True, "seed": 0, "precision": "float32",
        }
    )  # fmt: skip


def tuned(name="mobilenet", size=SIDE):
    facts = {
        "backbone": name, "image_size": [size, size], "classes": 2, "scaling": SCALING, "seed": 0,
        "precision": "float32",
    }  # fmt: skip
    return transfer.build(facts)


def noise(count, size, seed=0):
    return np.random.default_rng(seed).integers(60, 120, (count, size, size, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def vgg():
    """VGG16 with weights that are drawn, whose head tells images with a bright corner."""
    keras.utils.set_random_seed(0)
    network = tuned("vgg16")
    x = noise(16, SIDE)
    x[::2, :PATCH, :PATCH] = 255
    features = embeddings(with_embedding(network), x, np.arange(16))  # (16, 512)
    towards = features[::2].mean(axis=0) - features[1::2].mean(axis=0)
    network.layers[-1].set_weights([np.stack([-towards, towards], axis=1), np.zeros(2)])
    return network


@pytest.mark.parametrize("make", [*architectures.ARCHITECTURES, "mobilenet"])
def test_halves_and_embedding_give_the_networks_own_logits(make):
    network = tuned() if make == "mobilenet" else scratch(make)
    x = noise(3, network.input.shape[1])
    expected = logits(network, x, np.arange(3))
    cut = halves(network)
    maps = cut.lower(x)
    assert min(maps.shape[1:3]) >= LEAST_SIDE
    np.testing.assert_allclose(np.asarray(cut.upper(maps)), expected, rtol=1e-4, atol=1e-6)
    inner = with_embedding(network)
    embedding, again = inner.predict_on_batch(x)
    np.testing.assert_allclose(again, expected, rtol=1e-5, atol=1e-7)
    kernel, bias = network.layers[-1].get_weights()
    np.testing.assert_allclose(embedding @ kernel + bias, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(embeddings(inner, x, np.arange(3)), embedding, rtol=1e-6)


def test_after_an_average_the_map_is_the_sum_of_maps_weighted_by_the_head(vgg):
    (pixels,) = noise(1, SIDE, seed=3)
    maps = np.asarray(halves(vgg).lower(pixels[None]))[0]  # (4, 4, 512): block5_conv3
    kernel, _ = vgg.layers[-1].get_weights()
    assert maps.shape == (4, 4, 512)
    for label in (0, 1):
        expected = np.maximum(maps @ kernel[:, label] / 16, 0)
        made = halves(vgg).gradient_map(pixels, label)
        np.testing.assert_allclose(made, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_a_corner_that_tells_the_class_lights_up_in_a_fine_tuned_network(vgg):
    (plain,) = noise(1, SIDE, seed=5)
    before = halves(vgg).gradient_map(plain, 1)  # (4, 4)
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
        pixels, (top, left) = plain.copy(), (side * (SIDE - PATCH) for side in corner)
        pixels[top : top + PATCH, left : left + PATCH] = 255
        values = halves(vgg).gradient_map(pixels, 1)
        brightest = np.unravel_index(values.argmax(), values.shape)
        assert tuple(int(place) // 2 for place in brightest) == corner
        gained = np.maximum(values - before, 0).reshape(2, 2, 2, 2).sum(axis=(1, 3))
        assert np.unravel_index(gained.argmax(), (2, 2)) == corner


def test_what_has_no_positions_has_no_halves():
    pixels = keras.Input((8, 8, 3))
    network = keras.Model(pixels, keras.layers.Dense(2)(keras.layers.Flatten()(pixels)))
    assert halves(network) is None
