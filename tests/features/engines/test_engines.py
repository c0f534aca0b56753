"""Every engine gives the features of plain Keras, and `auto` takes the right one."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from features import engines
from features.backbones.catalog import SCALINGS, find
from features.backbones.folding import fold
from features.backbones.network import build, randomize, with_taps
from features.backbones.tops import draw
from features.disk import sealed
from features.engines import Choice, choose, compile_network
from features.errors import MissingPackageError, UsageError

SMALL, SIZE = find("mobilenetv2"), (32, 32)
LAYERS = ("out_relu", "block_2_add", "logits", "block_12_add")  # not in the order of the alphabet
TOP = draw(SMALL, 1280, 0)
BATCH = (4, *SIZE, 3)
BY_KERAS = [name for name in ("tensorflow", "openvino") if find_spec(name)]


def make(precision: str):
    base = build(SMALL, SIZE)
    randomize(base, 0)
    return tapped(fold(base, LAYERS, precision))


def tapped(base):
    return with_taps(base, SMALL, LAYERS, "avg", SCALINGS[SMALL.scaling], top=TOP)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, BATCH, np.uint8)


@pytest.fixture(scope="module")
def expected(pixels):
    """Plain Keras: the unfolded network, float32, with `predict`."""
    base = build(SMALL, SIZE)
    randomize(base, 0)
    return tapped(base).predict(pixels, verbose=0)


def least_cosine(a, b) -> float:
    return float(
        ((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min()
    )


@pytest.mark.parametrize("engine", BY_KERAS)
@pytest.mark.parametrize(("precision", "least"), [("float32", 0.999999), ("bfloat16", 0.998)])
def test_features_are_those_of_keras(engine, precision, least, pixels, expected):
    compiled = compile_network(Choice(engine, precision, ""), make, BATCH)
    assert compiled.shapes == {
        "out_relu": (1280,), "block_2_add": (24,), "logits": (1000,), "block_12_add": (96,),
    }  # fmt: skip
    found = compiled.forward(pixels)
    assert set(found) == set(LAYERS)
    for layer in LAYERS:
        assert found[layer].dtype == np.float32
        assert least_cosine(found[layer], expected[layer]) > least


@pytest.mark.parametrize("engine", BY_KERAS)
def test_results_are_the_callers_own(engine, pixels):
    """A second batch must not change what the first one gave, nor differ when repeated."""
    forward = compile_network(Choice(engine, "float32", ""), make, BATCH).forward
    first = forward(pixels)["out_relu"]
    copy = first.copy()
    forward(255 - pixels)
    np.testing.assert_array_equal(first, copy)
    np.testing.assert_array_equal(forward(pixels)["out_relu"], copy)


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
def test_openvino_keeps_the_converted_network(tmp_path, pixels):
    choice, kept = Choice("openvino", "float32", ""), tmp_path / "networks" / "key"
    first = compile_network(choice, make, BATCH, kept).forward(pixels)
    assert [path.name for path in kept.parent.iterdir()] == ["key"], "no scratch is left"

    def fail(precision):
        raise AssertionError("the network was built again")

    again = compile_network(choice, fail, BATCH, kept)
    assert set(again.shapes) == set(LAYERS)
    for layer in LAYERS:
        np.testing.assert_array_equal(again.forward(pixels)[layer], first[layer])


def _zeroed(path):
    content = bytearray(path.read_bytes())
    content[1000:41000] = bytes(40_000)
    path.write_bytes(content)


def _bit_flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def _emptied(path):
    path.write_bytes(b"")


def _sealed_without_input(path):
    path.write_bytes(path.read_bytes().replace(b'type="', b'type="\xff'))
    sealed.write_note(path.parent, path.parent.name)


def _sealed_of_no_text(path):
    """Spoil the graph so that OpenVINO's message about it is no text, and seal it anew."""
    path.write_bytes(path.read_bytes().replace(b'type="Const"', b'type="Con\xff"'))
    sealed.write_note(path.parent, path.parent.name)


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
def test_a_converted_network_that_has_changed_is_made_anew(tmp_path, pixels, caplog):
    choice, kept = Choice("openvino", "float32", ""), tmp_path / "networks" / "key"
    expected = compile_network(choice, make, BATCH, kept).forward(pixels)
    ways = [
        (_zeroed, "network.bin"),
        (_truncated, "network.bin"),
        (_bit_flipped, "network.xml"),
        (_emptied, "network.xml"),
        (_sealed_without_input, "network.xml"),
        (_sealed_of_no_text, "network.xml"),
        (_bit_flipped, "note.json"),
        (Path.unlink, "note.json"),
    ]
    for damage, name in ways:
        damage(kept / name)
        caplog.clear()
        found = compile_network(choice, make, BATCH, kept).forward(pixels)
        assert caplog.text.count("is made anew") == 1, (damage, name)
        for layer in LAYERS:
            np.testing.assert_array_equal(found[layer], expected[layer])
    caplog.clear()
    other = kept.rename(kept.with_name("other key"))
    compile_network(choice, make, BATCH, other)
    assert "is made anew" in caplog.text, "it is no network of that key"
    caplog.clear()
    compile_network(choice, make, BATCH, other)
    assert caplog.text == ""


EXTRACT = """
import sys, features
features.extract({source!r}, sys.argv[1], backbone="mobilenetv2", weights="none",
                 image_size=(32, 32), batch_size=4, progress=False, **{options!r})
print(sorted(name for name in {names!r} if sys.modules.get(name)))
"""


def run_extract(source, out, names, environment=None, **options):
    code = EXTRACT.format(source=str(source), options=options, names=names)
    result = subprocess.run(
        [sys.executable, "-c", code, str(out)], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1]


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
def test_a_second_run_imports_no_tensorflow_and_nothing_reports_home(photos, tmp_path, cache):
    names = ["tensorflow", "keras", "openvino_telemetry"]
    first = run_extract(photos, tmp_path / "a.h5", names, engine="openvino")
    second = run_extract(photos, tmp_path / "b.h5", names, engine="openvino")
    assert first == "['keras', 'tensorflow']"
    assert second == "[]"


@pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed")
def test_jax_works_where_there_is_no_tensorflow(photos, tmp_path, cache):
    """TensorFlow is hidden from the process; its features come from another one.

    Dense layers are built on Keras' JAX backend, too.
    """
    import os

    from features.storage.store import FeatureFile

    hidden = tmp_path / "hidden" / "tensorflow"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('hidden')")
    environment = {**os.environ, "PYTHONPATH": f"{hidden.parent}:{os.getcwd()}"}
    used = run_extract(
        photos, tmp_path / "jax.h5", ["tensorflow", "jax"], environment,
        engine="jax", precision="float32", layers="logits,out_relu",
    )  # fmt: skip
    assert used == "['jax']"
    run_extract(
        photos, tmp_path / "tf.h5", [],
        engine="tensorflow", precision="float32", layers="logits,out_relu",
    )  # fmt: skip
    with FeatureFile(tmp_path / "jax.h5") as a, FeatureFile(tmp_path / "tf.h5") as b:
        assert a.recipe.engine == "jax"
        for layer in ("logits", "out_relu"):
            assert least_cosine(a.features(layer), b.features(layer)) > 0.999999


EVERY = ("openvino", "tensorflow", "jax", "torch")


@pytest.mark.parametrize(
    ("installed", "gpu", "x86", "bfloat16", "engine", "precision"),
    [
        (EVERY, False, True, True, "openvino", "bfloat16"),
        (EVERY, False, True, False, "openvino", "float32"),
        (EVERY, False, False, False, "tensorflow", "float32"),
        (EVERY, True, True, False, "tensorflow", "bfloat16"),
        (("openvino", "jax"), True, True, True, "jax", "bfloat16"),
        (("jax",), False, True, True, "jax", "float32"),
        (("torch",), True, True, False, "torch", "bfloat16"),
        (("torch",), False, True, True, "torch", "bfloat16"),
        (("jax", "torch"), False, False, False, "torch", "float32"),
        (("tensorflow", "jax"), False, True, True, "tensorflow", "bfloat16"),
    ],
)
def test_auto(monkeypatch, installed, gpu, x86, bfloat16, engine, precision):
    monkeypatch.setattr(engines, "find_spec", lambda name: name in installed or None)
    monkeypatch.setattr(engines, "gpu_names", lambda: ["A GPU"] if gpu else [])
    monkeypatch.setattr(engines, "is_x86", lambda: x86)
    monkeypatch.setattr(engines, "cpu_has_bfloat16", lambda: bfloat16)
    found = choose()
    assert (found.engine, found.precision) == (engine, precision)
    assert ("GPU (A GPU), where none was measured" in found.reason) == gpu
    assert choose("jax" if "jax" in installed else engine, "float16").precision == "float16"


def test_what_is_not_there(monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    for engine in ("auto", "tensorflow", "jax", "torch"):
        with pytest.raises(MissingPackageError, match="pip install"):
            choose(engine)
    with pytest.raises(UsageError, match="no engine is called 'onnx'"):
        choose("onnx")
    with pytest.raises(UsageError, match="did you mean bfloat16"):
        choose(precision="bfloat")


def test_a_backend_that_is_running_already(monkeypatch):
    import keras

    monkeypatch.setattr(keras.config, "backend", lambda: "tensorflow")
    with pytest.raises(UsageError, match="start a new process"):
        engines.use_keras_on("jax")


SEVERAL = """
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
import numpy as np
from features.engines import Choice, compile_network
from tests.features.engines.test_engines import BATCH, LAYERS, make

engine, batch = {engine!r}, ({batch}, *BATCH[1:])
if engine == "tensorflow":
    from features.processes.quiet import quiet_import
    tf = quiet_import("tensorflow")
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
pixels = np.random.default_rng(0).integers(0, 256, batch, np.uint8)
found = compile_network(Choice(engine, "float32", ""), make, batch).forward(pixels)
np.savez({out!r}, **found)
"""


@pytest.mark.parametrize("batch", [4, 5])
@pytest.mark.parametrize("engine", ["tensorflow", "jax"])
def test_several_devices_share_a_batch(tmp_path, engine, batch):
    """Two devices made of one CPU stand in for two GPUs."""
    if find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")
    out = tmp_path / "found.npz"
    code = SEVERAL.format(engine=engine, batch=batch, out=str(out))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    shape = (batch, *BATCH[1:])
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    alone = compile_network(Choice("tensorflow", "float32", ""), make, shape).forward(pixels)
    with np.load(out) as found:
        for layer in LAYERS:
            assert found[layer].shape == alone[layer].shape
            assert least_cosine(found[layer], alone[layer]) > 0.999999
