"""Own networks in ONNX and OpenVINO files: layers, pixels, identity, and files that do harm."""

import dataclasses

import numpy as np
import onnx
import pytest

import features
from features.backbones import elsewhere
from features.backbones.elsewhere import Wanted
from features.backbones.onnx_parts import read_parts
from features.backbones.opening import find
from features.config import ExtractConfig
from features.engines import choose, compile_network
from features.errors import DataError, UsageError
from features.extraction.rebuilding import rebuild
from features.processes import bounded
from features.storage.store import FeatureFile
from pipeline.commands.main import main
from tests.features.backbones.own_networks import (
    SIZE,
    channels_last,
    convolutional,
    reference,
    transformer,
)

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture
def images(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)
    np.savez(tmp_path / "x.npz", images=pixels)
    return tmp_path / "x.npz"


def pixels_of(images):
    return np.load(images)["images"].astype(np.float64)


def channels_first(pixels):
    return np.moveaxis(pixels, -1, 1).astype(np.float32)


def extract(images, out, backbone, **options):
    settings = {"precision": "float32", "batch_size": 2, "progress": False, "engine": "auto"}
    return features.extract(images, out, backbone=backbone, **settings | options)


def opened(path, **options):
    settings = {"weights": "imagenet", "scaling": None, "image_size": None, "batch_size": 4}
    return find(Wanted(str(path), seed=0, **settings | options))


def test_layers_are_those_of_onnx_own_evaluator(images, tmp_path, cache):
    path = convolutional(tmp_path / "my.onnx")
    layers = ["/stem/relu", "block.relu", "scores"]
    out = extract(images, tmp_path / "f.h5", path, scaling="torch", layers=layers, pooling="avg")
    scaled = channels_first((pixels_of(images) / 255 - MEAN) / DEVIATION)
    expected = reference(path, scaled)
    with FeatureFile(out) as file:
        assert file.problems() == []
        assert file.layers == ("stem.relu", "block.relu", "scores")
        for name, values in (
            ("stem.relu", expected["/stem/relu_out"].mean(axis=(2, 3))),
            ("block.relu", expected["/block/relu_out"].mean(axis=(2, 3))),
            ("scores", expected["scores"]),
        ):
            np.testing.assert_allclose(file.features(name), values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("pooling", "pooled"),
    [
        ("max", lambda maps: maps.max(axis=(2, 3))),
        ("avgmax", lambda maps: np.hstack([maps.mean(axis=(2, 3)), maps.max(axis=(2, 3))])),
        ("flatten", lambda maps: np.moveaxis(maps, 1, -1).reshape(len(maps), -1)),
        ("none", lambda maps: np.moveaxis(maps, 1, -1)),
    ],
)
def test_the_deepest_map_is_pooled_as_asked_for(images, tmp_path, cache, pooling, pooled):
    path = convolutional(tmp_path / "my.onnx")
    out = extract(images, tmp_path / "f.h5", path, scaling="none", pooling=pooling)
    maps = reference(path, channels_first(pixels_of(images)))["/block/relu_out"]
    with FeatureFile(out) as file:
        assert file.layers == ("block.relu",)
        found = file.features((pooling == "none" and "block.relu") or None)
        np.testing.assert_allclose(found, pooled(maps), rtol=1e-4, atol=1e-2)


def test_the_class_token_is_the_first_one(images, tmp_path, cache):
    path = transformer(tmp_path / "vit.onnx")
    expected = reference(path, channels_first(pixels_of(images)))["normed"]  # (5, 17, 12)
    for pooling, values in (("token", expected[:, 0]), ("avg", expected.mean(axis=1))):
        out = extract(images, tmp_path / f"{pooling}.h5", path, scaling="none", pooling=pooling)
        with FeatureFile(out) as file:
            assert file.layers == ("normed",)
            np.testing.assert_allclose(file.features(), values, rtol=1e-3, atol=1e-4)
    with pytest.raises(UsageError, match="embed has no class token, its shape is 4x4x12"):
        extract(images, tmp_path / "x.h5", path, scaling="none", layers="embed", pooling="token")


def test_channels_may_be_last_and_turned_round_within(images, tmp_path, cache):
    path = channels_last(tmp_path / "my.onnx")
    out = extract(images, tmp_path / "f.h5", path, scaling="unit", layers="conv,activated")
    expected = reference(path, (pixels_of(images) / 255).astype(np.float32))
    with FeatureFile(out) as file:
        for name, values in (
            ("conv", expected["maps"].mean(axis=(2, 3))),
            ("activated", expected["activated"].mean(axis=(1, 2))),
        ):
            np.testing.assert_allclose(file.features(name), values, rtol=1e-4, atol=1e-5)


def test_an_operation_that_openvino_does_not_have_is_one_line(tmp_path):
    with pytest.raises(DataError, match="my.onnx: OpenVINO cannot read it: .*Tanh") as raised:
        opened(channels_last(tmp_path / "my.onnx", domain="own.company"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("metadata", "order", "scale", "offset"),
    [
        ({"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "Normalized_1_1"},
         "BGR", [2 / 255] * 3, [-1] * 3),
        ({"image.bitmappixelformat": "RGB8", "image.nominalpixelrange": "nominalrange_0_255"},
         "RGB", [1] * 3, [0] * 3),
        ({"model_info mean_values": "1 2 3", "model_info scale_values": "2",
          "model_info reverse_input_channels": "True"}, "RGB", [0.5] * 3, [-0.5, -1, -1.5]),
        ({"model_info embedded_processing": "YES"}, "BGR", [1] * 3, [0] * 3),
    ],
)  # fmt: skip
def test_what_a_file_says_of_its_pixels_is_taken(
    images, tmp_path, cache, metadata, order, scale, offset
):
    path = convolutional(tmp_path / "my.onnx", metadata=metadata)
    with FeatureFile(extract(images, tmp_path / "f.h5", path)) as file:
        scaling = file.recipe.scaling
        found = file.features()
    assert (scaling["name"], scaling["order"]) == ("file", order)
    assert (scaling["scale"], scaling["offset"]) == (scale, offset)
    pixels = pixels_of(images)[..., ::-1] if order == "BGR" else pixels_of(images)
    expected = reference(path, channels_first(pixels * scale + offset))["/block/relu_out"]
    np.testing.assert_allclose(found, expected.mean(axis=(2, 3)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"Image.BitmapPixelFormat": "Rgb8"},
        {"model_info mean_values": "1 2", "model_info reverse_input_channels": "1"},
        {"model_info mean_values": "nan", "model_info reverse_input_channels": "1"},
        {"model_info scale_values": "0 0 0", "model_info reverse_input_channels": "1"},
    ],
)
def test_a_scaling_that_is_not_said_is_asked_for_in_one_line(tmp_path, photos, metadata, capsys):
    path = convolutional(tmp_path / "my.onnx", metadata=metadata)
    argv = ["extract", str(photos), "--backbone", str(path), "--out", str(tmp_path / "f.h5")]
    assert main(argv) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert "say it with --scaling caffe|torch|" in line


def test_a_scaling_for_rgb_is_turned_round_where_the_file_says_bgr(tmp_path):
    path = convolutional(tmp_path / "my.onnx", metadata={"Image.BitmapPixelFormat": "Bgr8"})
    scaling = opened(path, scaling="torch").scaling
    assert scaling.order == "BGR"
    np.testing.assert_allclose(scaling.scale, 1 / (255 * DEVIATION[::-1]))


def test_openvinos_own_format_says_scaling_and_layout(images, tmp_path, cache):
    import openvino

    path = convolutional(tmp_path / "my.onnx", channels=3, size=-1)
    model = openvino.Core().read_model(path)
    model.get_parameters()[0].set_layout(openvino.Layout("NCHW"))
    model.set_rt_info("127.5", ["model_info", "mean_values"])
    model.set_rt_info("127.5 127.5 127.5", ["model_info", "scale_values"])
    model.set_rt_info("YES", ["model_info", "reverse_input_channels"])
    openvino.save_model(model, tmp_path / "my.xml", compress_to_fp16=False)
    out = extract(images, tmp_path / "f.h5", tmp_path / "my.xml", image_size=SIZE, layers="scores")
    expected = reference(path, channels_first(pixels_of(images) / 127.5 - 1))["scores"]
    with FeatureFile(out) as file:
        np.testing.assert_allclose(file.features(), expected, rtol=1e-3, atol=1e-4)
        weights = file.recipe.weights
    assert [len(digest) for digest in (weights["sha256"], *weights["parts"])] == [64, 64]
    with pytest.raises(UsageError, match="images of any size; name one with --image-size"):
        opened(tmp_path / "my.xml")
    (tmp_path / "my.bin").unlink()
    with pytest.raises(DataError, match="weights in my.bin, which is not beside it"):
        opened(tmp_path / "my.xml", image_size=(SIZE, SIZE))


def test_the_layers_are_listed(tmp_path, capsys):
    path = convolutional(tmp_path / "my.onnx")
    assert main(["backbones", str(path), "--all"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[4:]]
    assert lines == [
        ["stem.conv", "16x16x8", "8", "2048"], ["stem.relu", "16x16x8", "8", "2048"],
        ["block.conv", "8x8x16", "16", "1024"], ["block.relu", "8x8x16", "16", "1024"],
        ["pool", "1x1x16", "16", "16"], ["flatten", "16", "16", "16"], ["scores", "5", "5", "5"],
    ]  # fmt: skip
    assert main(["backbones", str(path)]) == 0
    assert "stem.conv" not in capsys.readouterr().out


def test_an_unknown_layer_is_one_line_with_near_ones(tmp_path):
    network = opened(convolutional(tmp_path / "my.onnx"))
    with pytest.raises(UsageError, match="no layer 'block.rellu', .* such as .*block.relu"):
        network.resolve(["block.rellu"])
    with pytest.raises(UsageError, match="name each layer once"):
        network.resolve(["block.relu", "/block/relu"])


@pytest.mark.parametrize("build", [convolutional, transformer])
@pytest.mark.parametrize("pooling", ["flatten", "none"])
def test_what_was_converted_takes_batches_of_other_sizes(tmp_path, build, pooling):
    network = opened(build(tmp_path / "my.onnx"), scaling="tf")
    layers, values = network.resolve(None), {}
    pixels = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), np.uint8)
    for count in (4, 1):
        shape = (count, SIZE, SIZE, 3)
        compiled = compile_network(
            choose("openvino", "float32", network.engines),
            lambda precision, shape=shape: network.make(layers, pooling, precision, shape),
            shape,
            tmp_path / "cache",
        )
        (values[count],) = compiled.forward(pixels[:count]).values()
    np.testing.assert_allclose(values[1], values[4][:1], rtol=1e-4, atol=1e-5)


def test_a_network_for_single_images_asks_for_that(tmp_path, images, cache):
    path = convolutional(tmp_path / "my.onnx", batch=1)
    out = extract(images, tmp_path / "f.h5", path, scaling="none")  # OpenVINO can change it
    one = extract(images, tmp_path / "g.h5", path, scaling="none", batch_size=1)
    with FeatureFile(out) as many, FeatureFile(one) as single:
        np.testing.assert_allclose(many.features(), single.features(), rtol=1e-4)


def test_the_same_network_is_known_by_its_checksum_whatever_its_name(images, tmp_path, cache):
    path = convolutional(tmp_path / "my.onnx")
    out = extract(images, tmp_path / "f.h5", path, scaling="torch")
    with FeatureFile(out) as file:
        recipe = file.recipe
    assert recipe.backbone == "my.onnx"
    assert "keras" not in recipe.versions
    moved = path.rename(tmp_path / "other.onnx")
    assert rebuild(recipe, str(moved)).recipe.weights == recipe.weights
    with pytest.raises(UsageError, match="name it with --weights FILE"):
        rebuild(recipe)
    named = dataclasses.replace(recipe, backbone=str(moved), weights={"origin": "x", "sha256": ""})
    with pytest.raises(UsageError, match="name it with --weights FILE"):
        rebuild(named)  # a recipe is not asked for paths
    other = convolutional(tmp_path / "third.onnx", metadata={"one": "more"})
    with pytest.raises(DataError, match="weights was .* when the features were made"):
        rebuild(recipe, str(other))
    refused = [{"engine": "tensorflow"}, {"weights": "keras"}, {"layers": "nothing"}]
    for options in refused:
        with pytest.raises(UsageError):
            extract(images, tmp_path / "g.h5", moved, scaling="torch", **options)


def test_a_file_is_looked_through_once_while_it_stays_the_same(tmp_path, monkeypatch):
    asked, ask = [], bounded.ask
    monkeypatch.setattr(bounded, "ask", lambda *arguments: asked.append(1) or ask(*arguments))
    path = convolutional(tmp_path / "my.onnx")
    assert opened(path).taps == opened(path, scaling="tf").taps and len(asked) == 1
    convolutional(path, size=16)
    assert opened(path).image_size == (16, 16) and len(asked) == 2


def test_a_file_that_changes_after_it_was_looked_through_is_refused(tmp_path):
    path = convolutional(tmp_path / "my.onnx")
    network = opened(path, scaling="none")
    convolutional(path, metadata={"one": "more"})
    with pytest.raises(DataError, match="has changed since it was looked through"):
        network.make(network.resolve(None), "avg", "float32", (4, SIZE, SIZE, 3))


def with_data_in(path, location, folder):
    """Move the weights of an ONNX file into another one, at `location` as the file names it."""
    model = onnx.load(convolutional(path))
    onnx.save_model(
        model, path, save_as_external_data=True, location="w.data", size_threshold=0,
        convert_attribute=False,
    )  # fmt: skip
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    (path.parent / "w.data").rename(folder / "w.data")
    return path


def test_weights_beside_an_onnx_file_are_read_and_part_of_its_identity(images, tmp_path, cache):
    (tmp_path / "own").mkdir()
    path = with_data_in(tmp_path / "own" / "my.onnx", "w.data", tmp_path / "own")
    out = extract(images, tmp_path / "f.h5", path, scaling="none")
    plain = convolutional(tmp_path / "plain.onnx")
    expected = extract(images, tmp_path / "g.h5", plain, scaling="none")
    with FeatureFile(out) as file, FeatureFile(expected) as other:
        np.testing.assert_allclose(file.features(), other.features(), rtol=1e-5)
        assert len(file.recipe.weights["parts"]) == 1


@pytest.mark.parametrize("place", ["../w.data", "{folder}/w.data", "link"])
def test_weights_outside_the_folder_are_not_read(tmp_path, place):
    (tmp_path / "own").mkdir()
    path = tmp_path / "own" / "my.onnx"
    with_data_in(path, place.format(folder=tmp_path), tmp_path)
    (tmp_path / "own" / "link").symlink_to(tmp_path / "w.data")
    with pytest.raises(DataError, match="weights outside its folder"):
        opened(path)


def test_weights_that_are_not_there_are_one_line(tmp_path):
    path = with_data_in(tmp_path / "my.onnx", "w.data", tmp_path)
    (tmp_path / "w.data").unlink()
    with pytest.raises(DataError, match="which is not beside it"):
        opened(path)


@pytest.mark.parametrize("spoil", ["cut", "empty", "text", "deep", "claims"])
def test_a_damaged_file_is_one_line(tmp_path, spoil, capsys):
    path = convolutional(tmp_path / "my.onnx")
    content = path.read_bytes()
    path.write_bytes(
        {
            "cut": content[:-100],
            "empty": b"",
            "text": b"this is no network " * 100,
            "deep": nested(60),
            "claims": content.replace(b"\x0a\x05image", b"\xff\xff\xff\xff", 1),
        }[spoil]
    )
    assert main(["backbones", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "my.onnx" in line


def nested(depth):
    """A graph in an attribute of a node of a graph, and so on: Model.graph, node, attribute, g."""
    content = b""
    for _ in range(depth):
        for number in (6, 5, 1):
            content = bytes([number << 3 | 2]) + varint(len(content)) + content
    return b"\x3a" + varint(len(content)) + content


def varint(number):
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def test_flipped_bytes_never_pass_as_a_crash(tmp_path):
    content = bytearray(convolutional(tmp_path / "my.onnx").read_bytes())
    rng, path = np.random.default_rng(0), tmp_path / "spoilt.onnx"
    for _ in range(6):
        spoilt = bytearray(content)
        for place in rng.integers(0, len(content), 20):
            spoilt[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(spoilt)
        try:
            opened(path)
        except (DataError, UsageError) as error:
            assert "\n" not in str(error)


def test_every_flip_is_walked_over_in_bounds(tmp_path):
    content = bytearray(convolutional(tmp_path / "my.onnx", metadata={"k": "v"}).read_bytes())
    assert read_parts(tmp_path / "my.onnx").metadata == {"k": "v"}
    path = tmp_path / "spoilt.onnx"
    for place in range(0, len(content), 17):
        content[place] ^= 255
        path.write_bytes(content)
        try:
            read_parts(path)
        except DataError:
            pass
        content[place] ^= 255


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda path: convolutional(path, channels=1), "expected 3 channels"),
        (lambda path: convolutional(path, size=2**17), "needs more than|cannot run"),
    ],
)
def test_what_takes_no_images_or_no_bounded_ones_is_refused(tmp_path, build, match, monkeypatch):
    monkeypatch.setattr(elsewhere, "_MEMORY", 2**29)
    monkeypatch.setattr(elsewhere, "_SECONDS", 20)
    with pytest.raises(DataError, match=match):
        opened(build(tmp_path / "my.onnx"))


def test_other_commands_say_that_they_take_keras_applications():
    with pytest.raises(UsageError, match="takes a network of keras.applications"):
        from features.backbones import catalog

        catalog.find("my.onnx")
    config = ExtractConfig("x", "y", "my.onnx", scaling="unit")
    assert dataclasses.replace(config, pooling="token").pooling == "token"
    with pytest.raises(UsageError, match="resnet50 has no class token"):
        ExtractConfig("x", "y", pooling="token")
