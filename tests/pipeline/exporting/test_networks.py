"""Networks in every format: families of backbones, single layers, and resizing as Pillow does it."""

import json
import zipfile

import numpy as np
import onnx
import pytest
from PIL import Image

from features.backbones import catalog
from features.backbones.folding import fold
from features.backbones.network import build, randomize, with_taps
from features.decoding.resizing import fit
from features.errors import UsageError
from features.processes.quiet import keras_here
from pipeline.exporting import onnx_file
from pipeline.exporting.resizing import Resizing
from pipeline.networks import architectures, transfer
from tests.pipeline.exporting.formats import FORMATS, SCALED, module, through, whole


def drawn(size, count=2, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 5, 5, 3), np.uint8)
    smooth = [
        Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC) for image in coarse
    ]
    noise = rng.integers(-20, 21, (count, *size, 3))
    return np.clip(np.stack(smooth).astype(int) + noise, 0, 255).astype(np.uint8)


# One of each family whose layers no other of these has; the rest are tried layer by layer below.
@pytest.mark.parametrize("name", ["mobilenetv3small", "efficientnetb0", "convnexttiny", "xception"])
def test_a_family_is_the_same_in_onnx(name, tmp_path):
    keras, backbone = keras_here(), catalog.find(name)
    size = (max(32, backbone.min_size),) * 2
    base = build(backbone, size)
    randomize(base, 0)
    network = with_taps(fold(base), backbone, (backbone.output,), "avg", catalog.SCALINGS["caffe"])
    network = keras.Model(network.input, network.output[backbone.output])
    pixels = drawn(size)
    expected = network.predict_on_batch(pixels)
    made = through("onnx", whole(network), pixels, tmp_path)
    np.testing.assert_allclose(made, expected, atol=1e-4 * np.abs(expected).max())


def scaled_sum(layer, x):
    from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

    return CustomScaleLayer(0.17)([x, layer.Conv2D(3, 1)(x)])


LAYERS = {
    "average pooling to the edges": lambda layer, x: layer.AveragePooling2D(3, 1, "same")(x),
    "maximum pooling": lambda layer, x: layer.MaxPooling2D(3, 2, "same")(x),
    "cropping": lambda layer, x: layer.Cropping2D(((1, 2), (0, 3)))(x),
    "padding": lambda layer, x: layer.ZeroPadding2D(((1, 0), (2, 3)))(x),
    "a scaled sum": scaled_sum,
    "one by one": lambda layer, x: layer.Subtract()([x, layer.Multiply()([x, x + 1.0])]),
    "a separable convolution": lambda layer, x: layer.SeparableConv2D(4, 3, 2, depth_multiplier=2)(
        x
    ),
    "a grouped convolution": lambda layer, x: layer.Conv2D(6, 3, groups=3, activation="silu")(x),
    "a batch norm": lambda layer, x: layer.BatchNormalization(scale=False)(x),
    "a dense layer on maps": lambda layer, x: layer.Dense(5, "gelu")(x),
    "a layer norm": lambda layer, x: layer.LayerNormalization()(x),
    "hard activations": lambda layer, x: layer.ReLU(6.0)(layer.Activation("hard_sigmoid")(x)),
    "concatenation": lambda layer, x: layer.Concatenate()([x, layer.Activation("hard_silu")(x)]),
    "standardization": lambda layer, x: layer.Normalization(mean=[1, 2, 3], variance=[4, 5, 6])(x),
    "reshaping": lambda layer, x: layer.Reshape((4, -1, 6))(x),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_the_same_in_onnx(name, tmp_path):
    keras = keras_here()
    keras.utils.set_random_seed(0)
    given = keras.Input((8, 9, 3), dtype="uint8")
    x = LAYERS[name](keras.layers, keras.layers.Rescaling(1 / 50, -2.0)(given))
    network = keras.Model(given, keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(x)))
    pixels = drawn((8, 9))
    expected = network.predict_on_batch(pixels)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(
        through("onnx", whole(network), pixels, tmp_path), expected, atol=1e-6
    )


def test_a_layer_that_is_not_known_is_refused_in_one_line(tmp_path):
    keras = keras_here()
    given = keras.Input((8, 8, 3), dtype="uint8")
    x = keras.layers.UpSampling2D()(keras.layers.Rescaling(1.0)(given))
    network = keras.Model(given, keras.layers.GlobalMaxPooling2D()(x))
    with pytest.raises(UsageError, match="kind UpSampling2D cannot be written; .keras and"):
        through("onnx", whole(network), drawn((8, 8)), tmp_path)


def test_a_graph_of_more_than_two_gigabytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "_LARGEST", 100)
    keras = keras_here()
    given = keras.Input((4, 4, 3), dtype="uint8")
    network = keras.Model(given, keras.layers.Dense(3)(keras.layers.Flatten()(given)))
    with pytest.raises(UsageError, match="2 GB that a file of ONNX can have"):
        through("onnx", whole(network), drawn((4, 4)), tmp_path)
    assert not list(tmp_path.iterdir())


SCRATCH = {
    "kind": "scratch", "architecture": "lenet", "image_size": [16, 20], "classes": 3,
    "scaling": {"mean": [100.0, 110.0, 120.0], "deviation": [50.0, 60.0, 70.0]}, "batchnorm": True,
    "dropout": True, "seed": 0, "precision": "float32",
}  # fmt: skip
TUNED = {
    "kind": "finetune", "backbone": "mobilenet", "image_size": [32, 32], "classes": 3, "seed": 0,
    "scaling": catalog.SCALINGS["tf"].to_dict(), "precision": "float32",
}  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("facts", [SCRATCH, TUNED], ids=["scratch", "finetune"])
def test_a_trained_network_is_the_same_in_every_format(facts, form, tmp_path):
    keras_here().utils.set_random_seed(0)
    build_network = {"scratch": architectures.build, "finetune": transfer.build}[facts["kind"]]
    network = build_network(facts)
    pixels = drawn(tuple(facts["image_size"]))
    expected = network.predict_on_batch(pixels)
    made = through(form, whole(network, resizing=SCALED), pixels, tmp_path)
    np.testing.assert_allclose(made, expected, atol=1e-4 * np.abs(expected).max())


def mirror(size, resizing):
    """A network that gives its pixels back, to see what a file resizes."""
    keras = keras_here()
    given = keras.Input((*size, 3), dtype="uint8", name="pixels")
    x = keras.layers.Flatten()(keras.ops.cast(given, "float32"))
    return whole(keras.Model(given, x), size[0] * size[1] * 3, resizing)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_resizing_inside_is_pillows_but_for_rounding(form, interpolation, tmp_path):
    size, resizing = (24, 20), Resizing("stretch", interpolation)
    path = tmp_path / FORMATS[form]
    module(form).write(mirror(size, resizing), path, {})
    for given in ((24, 20), (12, 10), (61, 83), (24, 90), (9, 40)):
        photo = drawn(given, 1)
        expected = fit(Image.fromarray(photo[0]), size, "stretch", interpolation).astype(int)
        made = module(form).probabilities(path, photo).reshape(*size, 3)
        levels = np.abs(made - expected)
        if given == size or (given, interpolation) == ((12, 10), "bilinear"):
            assert levels.max() == 0
        assert levels.max() <= 1, given
        assert (levels > 0).mean() < 0.02, given


@pytest.mark.parametrize("resizing", [Resizing("crop", "bilinear"), Resizing("stretch", "lanczos")])
def test_what_no_file_can_resize_takes_one_size(resizing, tmp_path):
    through("onnx", mirror((6, 7), resizing), drawn((6, 7)), tmp_path)
    shape = onnx.load(tmp_path / "m.onnx").graph.input[0].type.tensor_type.shape
    assert [side.dim_value or side.dim_param for side in shape.dim] == ["n", 6, 7, 3]


def test_facts_are_read_back(tmp_path):
    facts = {"class_names": '["ant", "bee"]', "example": "two\nlines"}
    for form in FORMATS:
        through(form, mirror((6, 7), SCALED), drawn((6, 7)), tmp_path, facts)
    model = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(model)
    assert {entry.key: entry.value for entry in model.metadata_props} == facts
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert json.loads(archive.read("offshelf.json")) == facts
    import openvino

    model = openvino.Core().read_model(tmp_path / "m" / "model.xml")
    assert {name: model.get_rt_info(["offshelf", name]).astype(str) for name in facts} == facts
