"""Own networks in `.keras` files: nested models, their pixels, and code that is never run."""

import io
import json
import zipfile

import numpy as np
import pytest

import features
from features.backbones import keras_guard
from features.backbones.elsewhere import Wanted
from features.backbones.opening import find
from features.errors import DataError, UsageError
from features.extraction.rebuilding import rebuild
from features.storage.store import FeatureFile
from pipeline.commands.main import main

SIZE = 24


def extract(images, out, backbone, **options):
    settings = {"precision": "float32", "batch_size": 4, "progress": False}
    return features.extract(images, out, backbone=backbone, **settings | options)


@pytest.fixture(scope="module")
def trunk():
    import keras

    keras.utils.set_random_seed(5)
    layers = keras.layers
    pixels = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(8, 3, strides=2, use_bias=False, name="first_conv")(pixels)
    x = layers.BatchNormalization(name="first_norm")(x)
    x = first = layers.ReLU(name="first_relu")(x)
    x = layers.Conv2D(8, 3, padding="same", activation="gelu", name="second_conv")(x)
    trunk = keras.Model(pixels, layers.Add(name="second_sum")([x, first]), name="trunk")
    trunk.get_layer("first_norm").set_weights(
        [np.random.default_rng(n).uniform(0.5, 1.5, 8) for n in range(4)]
    )
    return trunk


@pytest.fixture(scope="module")
def saved(trunk, tmp_path_factory):
    """A classifier around the trunk, as people write them: augmentation, scaling, a head."""
    import keras

    pixels = keras.Input((SIZE, SIZE, 3))
    flips = [keras.layers.RandomFlip(), keras.layers.RandomRotation(0.2)]
    x = keras.Sequential(flips, name="sequential")(pixels)
    x = trunk(keras.layers.Rescaling(1 / 127.5, offset=-1)(x), training=False)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(0.5)(x)
    model = keras.Model(pixels, keras.layers.Dense(5, activation="softmax", name="classes")(x))
    model.compile(loss="categorical_crossentropy")
    path = tmp_path_factory.mktemp("keras") / "my.keras"
    model.save(path)
    return path


@pytest.fixture
def images(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)
    np.savez(tmp_path / "x.npz", images=pixels)
    return tmp_path / "x.npz"


def test_the_nested_model_is_opened_and_named(trunk, saved, images, tmp_path, cache, caplog):
    caplog.set_level("INFO", "offshelf")
    layers = ["first_relu", "second_sum", "pool"]
    out = extract(images, tmp_path / "f.h5", saved, layers=layers)
    assert "the nested model sequential, trunk is opened" in caplog.text
    scaled = np.load(images)["images"].astype(np.float32) / 127.5 - 1
    deep = np.asarray(trunk(scaled, training=False)).mean(axis=(1, 2))
    with FeatureFile(out) as file:
        assert file.problems() == []
        assert file.recipe.scaling["name"] == "none"  # the file scales pixels itself
        np.testing.assert_allclose(file.features("second_sum"), deep, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(file.features("pool"), deep, rtol=1e-3, atol=1e-5)
        assert file.features("first_relu").shape == (5, 8)
        again = rebuild(file.recipe, str(saved))
    assert again.recipe.weights == {"origin": "file", "sha256": again.recipe.weights["sha256"]}


def test_what_does_not_scale_pixels_asks_for_it(trunk, images, tmp_path, cache, capsys):
    trunk.save(tmp_path / "trunk.keras")
    argv = ["extract", str(images), "--backbone", str(tmp_path / "trunk.keras")]
    assert main([*argv, "--out", str(tmp_path / "f.h5")]) == 2
    assert "say it with --scaling" in capsys.readouterr().err
    assert main(["backbones", str(tmp_path / "trunk.keras"), "--all"]) == 0
    found = [line.split()[0] for line in capsys.readouterr().out.splitlines()[4:]]
    assert found == ["first_conv", "first_norm", "first_relu", "second_conv", "second_sum"]


def rewritten(saved, path, change):
    """The file with another config."""
    with zipfile.ZipFile(saved) as archive, zipfile.ZipFile(path, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            copy.writestr(name, change(content) if name == keras_guard.CONFIG else content)
    return path


def lambdas(tmp_path):
    import keras

    pixels = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(pixels, keras.layers.Lambda(lambda x: x + 1)(pixels))
    model.save(tmp_path / "lambda.keras")
    return (tmp_path / "lambda.keras").read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b'"class_name": "ReLU"', b'"class_name": "Lambda"'),
        lambda text: text.replace(b'"class_name": "ReLU"', b'"class_name": "TFSMLayer"'),
        lambda text: text.replace(b'"class_name": "ReLU"', b'"class_name": {"ReLU": 1}'),
        lambda text: text.replace(
            b'"module": "keras.layers", "class_name": "ReLU"',
            b'"module": "subprocess", "class_name": "Popen"',
        ),
        lambda text: text.replace(b'"registered_name": null', b'"registered_name": "own>Layer"', 1),
        lambda text: text.replace(
            b'"activation": "gelu"',
            b'"activation": {"module": "keras.utils", "class_name": "function",'
            b' "config": "get_file", "registered_name": "get_file"}',
        ),
        lambda text: text.replace(b'"class_name": "Functional"', b'"class_name": "Own"', 1),
        lambda text: text[:-50],
        lambda text: b"[]",
        lambda text: b'{"class_name": "Model", "config": ' + b"[" * 300 + b"]" * 300 + b"}",
    ],
)
def test_nothing_but_layers_of_keras_is_built(saved, tmp_path, change):
    path = rewritten(saved, tmp_path / "bad.keras", change)
    with pytest.raises(DataError) as raised:
        keras_guard.read_config(path.read_bytes())
    assert "\n" not in str(raised.value)


def test_a_lambda_is_refused_and_an_honest_file_is_not(saved, tmp_path):
    with pytest.raises(DataError, match="'Lambda' of 'keras.layers'; no code that a file holds"):
        keras_guard.read_config(lambdas(tmp_path))
    assert "compile_config" not in keras_guard.read_config(saved.read_bytes())
    with pytest.raises(DataError, match="no file that Keras 3 wrote"):
        keras_guard.read_config(io.BytesIO(b"text").getvalue())


def test_a_layer_that_takes_all_memory_is_refused(saved, tmp_path):
    def grown(text):
        config = json.loads(text)
        (dense,) = [layer for layer in config["config"]["layers"] if layer["name"] == "classes"]
        dense["config"]["units"] = 10**11
        return json.dumps(config).encode()

    path = rewritten(saved, tmp_path / "large.keras", grown)
    with pytest.raises(DataError, match="large.keras: "):
        find(Wanted(str(path), "imagenet", None, None, 4, 0))


def test_whole_models_in_the_older_format_are_one_line(tmp_path):
    with pytest.raises(UsageError, match="save it as .keras"):
        find(Wanted("my.h5", "imagenet", None, None, 4, 0))
