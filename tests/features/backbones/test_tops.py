"""Dense layers above the last map: those of keras.applications, their weights, who has them."""

import dataclasses
import functools

import h5py
import numpy as np
import pytest

from features.backbones import tops, weights
from features.backbones.anatomy import anatomy
from features.backbones.catalog import BACKBONES, LOGITS, SCALINGS, Top, find
from features.backbones.network import build, randomize, with_taps
from features.backbones.stored import arrays_sha256, top_path
from features.config import ExtractConfig
from features.errors import DataError, UsageError
from features.extraction.model import find_model
from tests.features.backbones.conftest import draw_pixels

NONE = SCALINGS["none"]
# VGG16 as it is, for small images: its dense layers are nine tenths of its weights.
TINY = dataclasses.replace(find("vgg16"), size=32)
# The MD5 of VGG16's and VGG19's files with top, from the source code of Keras.
CHECKSUMS = {
    "vgg16": "64373286793e3c8b2b4e3219cbf3544b",
    "vgg19": "cbe5617147190e668d6c5d5026f83318",
}


def keras_network(backbone, size, seed=2):
    """Return Keras' network with its top, which ends in logits, and random weights."""
    import keras

    whole = getattr(keras.applications, backbone.builder)(
        weights=None, input_shape=(*size, 3), classifier_activation=None
    )
    randomize(whole, seed)
    return whole


def hidden_of_keras(whole, backbone):
    """Return Keras' outputs of the dense layers below the logits, after their activation."""
    if backbone.family == "mobilenetv3":  # a convolution, and an activation with a numbered name
        names = [layer.name for layer in whole.layers]
        return [whole.layers[names.index("conv_2") + 1].output]
    return [whole.get_layer(name).output for name, _ in backbone.top.hidden]


def assert_close(found, expected):
    np.testing.assert_allclose(
        found.reshape(expected.shape), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()
    )


def test_dense_layers_are_those_of_keras(family):
    import keras

    backbone, base, pixels = family
    if backbone.top.flattens:
        backbone, pixels = TINY, draw_pixels(32, 32)
        base = build(backbone, (32, 32))
        randomize(base, 0)
    whole = keras_network(backbone, pixels.shape[1:3])
    above = whole.get_weights()[len(base.weights) :]
    whole.set_weights([*base.get_weights(), *above])
    for layer in whole.layers:
        if isinstance(layer, keras.layers.Normalization):  # derives values from its weights
            layer.finalize_state()
    top = tops.split(backbone, above)
    layers = [LOGITS, backbone.output, *backbone.dense[:-1]]
    found = with_taps(base, backbone, layers, "avg", NONE, top=top)(pixels)
    assert list(found) == layers
    theirs = keras.Model(whole.input, [*hidden_of_keras(whole, backbone), whole.output])
    expected = theirs(pixels.astype(np.float32), training=False)
    for name, values in zip(backbone.dense, keras.tree.flatten(expected), strict=True):
        assert_close(np.asarray(found[name]), np.squeeze(np.asarray(values)))


def test_pooling_does_not_change_a_dense_layer():
    backbone, pixels = find("mobilenetv3small"), draw_pixels(32, 32)
    base = build(backbone, (32, 32))
    randomize(base, 0)
    top = tops.draw(backbone, backbone.layers[-1][1], 0)
    expected = with_taps(base, backbone, ["conv_2"], "avg", NONE, top=top)(pixels)["conv_2"]
    assert expected.shape == (2, 1024)
    for pooling in ("avgmax", "flatten", "none"):
        found = with_taps(base, backbone, ["conv_2"], pooling, NONE, top=top)(pixels)["conv_2"]
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_facts_of_dense_layers():
    """The published number of VGG16's and MobileNetV3Small's weights, and MACs by hand."""
    facts = {layer.name: layer for layer in anatomy(find("vgg16"), recommended_only=True)}
    assert facts["fc1"].shape == (4096,)
    assert facts[LOGITS].parameters == 138_357_544
    assert facts["fc2"].macs - facts["fc1"].macs == 4096 * 4096
    assert facts["fc1"].receptive_field is None
    assert "fc1" not in {layer.name for layer in anatomy(find("vgg16"), (64, 64))}
    assert anatomy(find("mobilenetv3small"), (64, 64))[-1].parameters == 2_554_968


@pytest.mark.parametrize("name", ["fc1", "fc2", "logits"])
def test_the_size_that_they_need_is_told(name):
    with pytest.raises(UsageError, match=rf"^{name} of vgg19 needs images of 224x224 .* 96x96; "):
        ExtractConfig("x", "y", "vgg19", layers=name, image_size=96)
    ExtractConfig("x", "y", "vgg19", layers=name)
    ExtractConfig("x", "y", "resnet50", layers="logits", image_size=96)


def test_probabilities_are_no_layer():
    with pytest.raises(UsageError, match="`logits` are the values before the softmax"):
        ExtractConfig("x", "y", "resnet50", layers="predictions")


def test_random_ones_are_seeded_and_leave_the_others_as_they_were():
    backbone = find("mobilenetv2")
    chosen = weights.resolve(backbone, "none", seed=3, needs_top=True)
    base = build(backbone, (32, 32))
    chosen.load_into(base)
    alone = build(backbone, (32, 32))
    weights.resolve(backbone, "none", seed=3).load_into(alone)
    assert arrays_sha256(base.get_weights()) == arrays_sha256(alone.get_weights())
    kernel, bias = chosen.load_top(backbone, base)[LOGITS]
    assert (kernel.shape, bias.shape) == ((1280, 1000), (1000,))
    assert kernel.std() == pytest.approx((2 / 1280) ** 0.5, rel=0.01)
    again = weights.resolve(backbone, "none", seed=3).load_top(backbone, base)[LOGITS][0]
    np.testing.assert_array_equal(kernel, again)
    assert tops.draw(TINY, 512, 0)["fc1"][0].shape == (512, 4096)


def test_the_mirror_of_vgg16_has_none(monkeypatch):
    with pytest.raises(UsageError, match=r"from torchvision end with block5_pool .* keras"):
        weights.resolve(find("vgg16"), "torchvision", needs_top=True)


def test_who_has_none_is_not_tried(cache, monkeypatch):
    def fail(*asked):
        raise DataError("no connection")

    monkeypatch.setattr(weights, "_from_keras", fail)
    with pytest.raises(DataError, match=r"vgg16 with fc1, fc2, logits. Tried keras: ") as caught:
        weights.resolve(find("vgg16"), needs_top=True)
    assert "torchvision" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def vgg_served(server, monkeypatch):
    """VGG16's two files, random, for images of 32 pixels, and the checksums that Keras expects."""
    import keras
    from keras.src.applications import mobilenet_v2, vgg16
    from keras.src.legacy.saving import legacy_h5_format
    from keras.src.utils import file_utils

    whole = keras_network(TINY, (32, 32))
    for name, layers in (("with.h5", whole.layers), ("without.h5", whole.layers[:19])):
        with h5py.File(server / name, "w") as file:
            part = keras.Model(whole.input, layers[-1].output)
            legacy_h5_format.save_weights_to_hdf5_group(file, part)
    monkeypatch.setattr(
        vgg16.imagenet_utils, "obtain_input_shape", lambda shape, **_: shape or (32, 32, 3)
    )
    url = mobilenet_v2.BASE_WEIGHT_PATH  # of the local server
    monkeypatch.setattr(vgg16, "WEIGHTS_PATH", "with.h5")
    monkeypatch.setattr(vgg16, "WEIGHTS_PATH_NO_TOP", "without.h5")
    asked = []
    download = file_utils.get_file

    def get_file(name, origin, file_hash=None, **options):
        asked.append((origin, file_hash))
        return download(origin, f"{url}{origin}", **options)

    monkeypatch.setattr(file_utils, "get_file", get_file)
    return whole, asked


def test_the_larger_file_is_fetched_only_where_it_is_needed(vgg_served, unchecked, cache):
    whole, asked = vgg_served
    first = weights.resolve(TINY, "keras")
    assert [origin for origin, _ in asked] == ["without.h5"]
    assert not first.has_top
    second = weights.resolve(TINY, "keras", needs_top=True)
    assert asked[1] == ("with.h5", CHECKSUMS["vgg16"])
    assert second.sha256 == first.sha256, "the network below is the same"
    base = build(TINY, (32, 32))
    top = second.load_top(TINY, base)
    found = [array for pair in top.values() for array in pair]
    for array, expected in zip(found, whole.get_weights()[26:], strict=True):
        np.testing.assert_array_equal(array, expected)
    assert second.top_sha256 == arrays_sha256(found)
    assert weights.resolve(TINY, needs_top=True) == second
    assert len(asked) == 2


def test_a_changed_top_is_noticed_when_it_is_loaded(vgg_served, unchecked, cache):
    chosen = weights.resolve(TINY, "keras", needs_top=True)
    base = build(TINY, (32, 32))
    other = tops.draw(TINY, 512, 5)
    with top_path(chosen.path).open("wb", buffering=0) as file:
        tops.save(other, file)
    with pytest.raises(DataError, match="has changed since it was checked"):
        chosen.load_top(TINY, base)
    top_path(chosen.path).write_bytes(b"PK")
    with pytest.raises(DataError, match="does not hold the top of vgg16"):
        chosen.load_top(TINY, base)


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_checksums_are_those_in_keras(name, monkeypatch):
    import keras
    from keras.src.utils import file_utils

    class AskedError(Exception):
        pass

    def get_file(*names, file_hash, **options):
        raise AskedError(file_hash)

    monkeypatch.setattr(file_utils, "get_file", get_file)
    builder = getattr(keras.applications, find(name).builder)
    monkeypatch.setattr(keras.layers, "Dense", functools.partial(keras.layers.Dense, units=1))
    with pytest.raises(AskedError, match=CHECKSUMS[name]):
        builder(weights="imagenet", include_top=True)


@pytest.mark.parametrize("kind", ["legacy.h5", "own.weights.h5", "own.keras"])
def test_a_file_with_a_top_gives_it(tmp_path, kind):
    """Also one in the layout of Keras' own downloads."""
    from keras.src.legacy.saving import legacy_h5_format

    whole, path = keras_network(TINY, (32, 32)), tmp_path / kind
    if kind == "legacy.h5":
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, whole)
    else:
        whole.save_weights(path) if kind.endswith("weights.h5") else whole.save(path)
    base = build(TINY, (32, 32))
    chosen = weights.resolve(TINY, str(path), needs_top=True)
    chosen.load_into(base)
    kernel, bias = chosen.load_top(TINY, base)["fc2"]
    expected = whole.get_layer("fc2").get_weights()
    np.testing.assert_array_equal(kernel, expected[0])
    np.testing.assert_array_equal(bias, expected[1])


def test_a_file_without_a_top_is_refused_in_one_line(tmp_path):
    build(TINY, (32, 32)).save_weights(tmp_path / "base.weights.h5")
    chosen = weights.resolve(TINY, str(tmp_path / "base.weights.h5"), needs_top=True)
    with pytest.raises(DataError, match=r"holds no top of vgg16 \(fc1, fc2, logits\)") as caught:
        chosen.load_top(TINY, build(TINY, (32, 32)))
    assert "\n" not in str(caught.value)


def test_the_recipe_names_the_dense_layers_weights(real_weights, tmp_path):
    real_weights("resnet50")
    config = ExtractConfig(tmp_path, tmp_path / "f.h5", layers="logits,conv5_block3_out")
    assert find_model(config).weights["top_sha256"].startswith("350593a69024100f")
    without = ExtractConfig(tmp_path, tmp_path / "f.h5", layers="conv5_block3_out")
    assert "top_sha256" not in find_model(without).weights


def test_every_network_of_keras_has_logits():
    for backbone in BACKBONES.values():
        assert (backbone.dense[-1:] == (LOGITS,)) == backbone.by_keras
    assert Top().layers == ((LOGITS, 1000),)
