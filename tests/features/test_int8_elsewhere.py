"""int8 of networks from elsewhere: ONNX, OpenVINO and Keras files, and timm's models."""

import shutil

import numpy as np
import pytest

from features.backbones.openvino_graph import openvino
from features.config import ExtractConfig
from features.engines import quantizing
from features.errors import DataError
from features.extraction import int8
from features.extraction.planning import network_folder
from features.extraction.rebuilding import rebuild
from features.extraction.run import run
from features.storage.store import FeatureFile
from tests.features.backbones.own_networks import SIZE, attending, convolutional, single

COUNT = 40


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Smooth images of 32 x 32 pixels."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (COUNT, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
    pixels = np.clip(coarse + rng.integers(-20, 20, coarse.shape), 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("int8") / "images.npz"
    np.savez(path, images=pixels)
    return path


def extract(source, out, backbone, **settings):
    settings = {"precision": "int8", "force_int8": True, "batch_size": 8} | settings
    return run(
        ExtractConfig(source, out, str(backbone), image_size=SIZE, progress=False, **settings)
    )


def opened(path):
    with FeatureFile(path) as file:
        return file.recipe, file.features(), file.provenance


def as_xml(path):
    model = openvino().Core().read_model(convolutional(path.with_suffix(".onnx")))
    openvino().save_model(model, path, compress_to_fp16=False)
    return path


def nested_keras(path):
    import keras

    layers = keras.layers
    trunk = keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), layers.Conv2D(8, 3, strides=2, name="first"),
         layers.Conv2D(8, 3, activation="gelu", name="second")], name="trunk",
    )  # fmt: skip
    outer = [keras.Input((SIZE, SIZE, 3)), layers.Rescaling(1 / 255), trunk, layers.Flatten()]
    keras.Sequential(outer).save(path)
    return path


KINDS = {"my.onnx": convolutional, "vit.onnx": attending, "my.xml": as_xml,
         "my.keras": nested_keras}  # fmt: skip


@pytest.mark.parametrize("name", [*KINDS, "timm/test_vit", "timm/test_resnet"])
def test_it_is_quantized_by_the_same_way(source, tmp_path, cache, name):
    if name in KINDS:
        backbone = KINDS[name](tmp_path / name)
        settings = {} if name == "my.keras" else {"scaling": "unit"}
    else:
        pytest.importorskip("torch", reason='`pip install ".[timm]"` brings it')
        backbone, settings = name, {"weights": "none"}
    extract(source, tmp_path / "f.h5", backbone, **settings)
    extract(source, tmp_path / "exact.h5", backbone, precision="float32", **settings)
    recipe, found, provenance = opened(tmp_path / "f.h5")
    exact = opened(tmp_path / "exact.h5")[1]
    assert (recipe.engine, recipe.precision, recipe.calibration["images"]) == (
        "openvino", "int8", COUNT,
    )  # fmt: skip
    assert {"openvino", "nncf"} <= set(recipe.versions)
    loss = int8.compare("all", exact, found)
    assert not np.array_equal(exact, found) and loss.mean > 0.97
    assert loss.mean == pytest.approx(provenance["int8"][0]["mean"], abs=0.02)
    if name in KINDS:
        backbone.unlink()  # the converted network is all that new images need
    network = rebuild(recipe)
    assert network.differences == ()
    (again,) = network.compile().forward(np.load(source)["images"][:8]).values()
    np.testing.assert_allclose(again, found[:8], rtol=1e-4, atol=1e-5)


def test_the_same_images_give_the_same_network(source, tmp_path, cache):
    path = attending(tmp_path / "vit.onnx")
    contents = []
    for batch_size in (8, 5):
        out = extract(source, tmp_path / f"{batch_size}.h5", path, scaling="unit",
                      batch_size=batch_size)  # fmt: skip
        folder = network_folder(opened(out)[0])
        contents.append((folder / "network.bin").read_bytes())
        shutil.rmtree(folder)
    assert contents[0] == contents[1]
    with pytest.raises(DataError, match="the int8 network behind the features is not in"):
        rebuild(opened(out)[0])
    extract(source, out, path, scaling="unit", batch_size=5)  # is finished, and puts it back
    assert (folder / "network.bin").read_bytes() == contents[1]


def test_a_network_of_single_images_is_calibrated_on_one_at_a_time(source, tmp_path, cache):
    path = single(tmp_path / "my.onnx")
    settings = {"scaling": "unit", "batch_size": 1, "layers": "deeper"}
    found = opened(extract(source, tmp_path / "f.h5", path, **settings))[1]
    exact = opened(extract(source, tmp_path / "g.h5", path, precision="float32", **settings))[1]
    assert 0.97 < int8.compare("all", exact, found).mean < 1


@pytest.mark.parametrize(("build", "expected"), [(attending, True), (convolutional, False)])
def test_transformers_are_known_by_their_attention(tmp_path, build, expected):
    model = openvino().Core().read_model(build(tmp_path / "my.onnx"))
    assert quantizing.is_transformer(model) is expected


def test_timms_attention_is_one_operation():
    ops = openvino().opset13
    values = [ops.parameter([1, 2, 4, 8], np.float32) for _ in range(3)]
    attention = ops.scaled_dot_product_attention(*values)
    assert quantizing.is_transformer(openvino().Model([attention], values))
