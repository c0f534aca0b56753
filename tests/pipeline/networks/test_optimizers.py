"""Discriminative rates: how far the weights of each layer really move."""

import numpy as np
import pytest

from pipeline.networks import checkpoints
from pipeline.networks.optimizers import discriminative_adamw

FACTORS = {"deep": 0.01, "middle": 0.1, "top": 1.0}


@pytest.fixture
def network():
    import keras

    layers = [keras.layers.Dense(16, activation="tanh", name=name) for name in FACTORS]
    return keras.Sequential([keras.Input((16,)), *layers, keras.layers.Dense(3, name="frozen")])


@pytest.fixture
def examples():
    rng = np.random.default_rng(0)
    return rng.standard_normal((64, 16), np.float32), rng.integers(0, 3, 64)


def compiled(network, decay=0.0):
    import keras

    keras.utils.set_random_seed(0)
    network.get_layer("frozen").trainable = False
    factors = [FACTORS[name] for name in FACTORS for _ in ("kernel", "bias")]
    optimizer_of = discriminative_adamw(factors, decay)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(optimizer_of(1e-3), loss, jit_compile=False)
    return network


def kernels(network):
    return {layer.name: np.array(layer.get_weights()[0]) for layer in network.layers}


def test_weights_move_in_proportion_to_their_rates(network, examples):
    before = kernels(network)
    compiled(network).fit(*examples, batch_size=64, epochs=5, verbose=0)
    moved = {name: np.abs(after - before[name]).mean() for name, after in kernels(network).items()}
    assert moved["top"] > 1e-3
    assert moved["middle"] / moved["top"] == pytest.approx(0.1, rel=0.3)
    assert moved["deep"] / moved["top"] == pytest.approx(0.01, rel=0.3)
    assert moved["frozen"] == 0


def test_kernels_decay_by_rate_and_factor_and_biases_do_not(network, examples):
    x, y = np.zeros_like(examples[0]), examples[1]
    start = [np.full(array.shape, 0.5, np.float32) for array in network.get_weights()]
    network.set_weights(start)
    # No gradient passes this one on its way to "deep", which decay alone moves.
    network.get_layer("middle").set_weights([np.zeros((16, 16)), np.full(16, 0.5)])
    compiled(network, decay=0.5).fit(x, y, batch_size=64, epochs=1, verbose=0)
    kernel, bias = network.get_layer("deep").get_weights()
    assert kernel == pytest.approx(0.5 * (1 - 1e-3 * 0.01 * 0.5), abs=1e-8)
    assert (bias == 0.5).all()


def test_its_state_is_kept_and_given_back(network, examples, tmp_path):
    whole = compiled(network)
    start = whole.get_weights()
    whole.fit(*examples, batch_size=16, epochs=4, shuffle=False, verbose=0)
    expected = whole.get_weights()
    whole.set_weights(start)
    first = compiled(whole)
    first.fit(*examples, batch_size=16, epochs=2, shuffle=False, verbose=0)
    kept = checkpoints.values(first.optimizer.variables)
    second = compiled(first)
    second.optimizer.build(second.trainable_variables)
    checkpoints.assign(second.optimizer.variables, kept, tmp_path)
    second.fit(*examples, batch_size=16, epochs=2, shuffle=False, verbose=0)
    for resumed, whole in zip(second.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(resumed, whole)


def test_a_factor_for_each_variable_is_expected(network):
    with pytest.raises(ValueError, match="2 factors for 8 trainable variables"):
        discriminative_adamw((1.0, 0.1))(1e-3).build(network.trainable_variables)
