"""Stored models: the round trip, and the refusal of changed, damaged and hostile files."""

import json
import os
import zipfile

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import Pipeline

from features.errors import DataError
from features.processes.packages import sha256_of
from pipeline.classifiers import SUITE, find, storage
from pipeline.classifiers.base import Task, probabilities

ALL = [c.name for member in SUITE for c in (member, *member.fallbacks)]


def data():
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    return (np.eye(3, 6)[y] * 3 + rng.normal(size=(90, 6))).astype(np.float32), y


def fitted(name):
    x, y = data()
    classifier = find(name)
    model = classifier.build(Task(90, 6, 3, 0)).set_params(**classifier.default)
    if "boosting" in name:
        model.set_params(model__max_iter=20)
    quick = {"n_estimators": 20, "epochs": 3, "hidden": (8, 4)}
    known = model[-1].get_params()
    return model.set_params(
        **{f"model__{key}": value for key, value in quick.items() if key in known}
    ).fit(x, y)


def facts(path):
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}


@pytest.mark.parametrize("name", ALL)
def test_round_trip(name, tmp_path):
    x, _ = data()
    model = fitted(name)
    saved = storage.save(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [saved["file"]]
    assert saved == facts(tmp_path / saved["file"])
    loaded = storage.load(tmp_path, saved)
    assert np.allclose(probabilities(loaded, x, 3), probabilities(model, x, 3), atol=1e-4)
    assert loaded[-1].get_params().items() <= model[-1].get_params().items()
    assert "sklearnex" not in type(loaded[-1]).__module__


def test_a_dense_head_of_tiny_features_is_read_as_it_was(tmp_path):
    x, y = data()
    x *= np.float32(1e-30)
    model = find("dense-head").build(Task(90, 6, 3, 0)).set_params(model__hidden=(8,))
    model.set_params(model__epochs=3).fit(x, y)
    loaded = storage.load(tmp_path, storage.save(model, tmp_path))
    assert np.ptp(model.predict_proba(x)[:, 0]) > 0.01
    assert np.allclose(loaded.predict_proba(x), model.predict_proba(x), atol=1e-6)


def test_a_dense_head_opens_in_keras_too(tmp_path):
    import keras

    x, _ = data()
    model = fitted("dense-head")
    storage.save(model, tmp_path)
    network = keras.saving.load_model(tmp_path / storage.KERAS)
    assert np.allclose(network.predict(x, verbose=0), model.predict_proba(x), atol=1e-6)


def test_a_changed_or_missing_file_is_refused(tmp_path):
    saved = storage.save(fitted("ridge"), tmp_path)
    path = tmp_path / saved["file"]
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DataError, match="has changed since it was written"):
        storage.load(tmp_path, saved)
    path.unlink()
    with pytest.raises(DataError, match="there is no"):
        storage.load(tmp_path, saved)
    with pytest.raises(DataError, match="names a model '../model.skops'"):
        storage.load(tmp_path, saved | {"file": "../model.skops"})


@pytest.mark.parametrize(
    ("name", "array"), [("nearest-centroid", "centroids_"), ("ridge", "coef_")]
)
def test_a_model_of_numbers_that_are_not_finite_is_refused(name, array, tmp_path):
    """Sealed anew, as only somebody does who means it."""
    model = fitted(name)
    getattr(model[-1], array)[0, 0] = np.nan
    with pytest.raises(DataError, match="model"):
        storage.load(tmp_path, storage.save(model, tmp_path))


@pytest.mark.parametrize("name", ["ridge", "dense-head"])
def test_a_truncated_file_is_refused_in_one_line(name, tmp_path):
    path = tmp_path / storage.save(fitted(name), tmp_path)["file"]
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match="cannot be read as a model") as caught:
        storage.load(tmp_path, facts(path))
    assert "\n" not in str(caught.value)


class Hostile:
    def __reduce__(self):
        return os.system, ("touch owned",)


@pytest.mark.parametrize("content", [os.system, Hostile(), Pipeline([("model", Hostile())])])
def test_skops_files_that_name_foreign_types_are_refused(content, tmp_path, monkeypatch):
    import skops.io

    monkeypatch.chdir(tmp_path)
    path = tmp_path / storage.SKOPS
    skops.io.dump(content, path)
    with pytest.raises(DataError, match="(?i)untrusted") as caught:
        storage.load(tmp_path, facts(path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "owned").exists()


def test_a_skops_file_that_holds_no_pipeline_is_refused(tmp_path):
    import skops.io

    path = tmp_path / storage.SKOPS
    skops.io.dump(PCA(), path)
    with pytest.raises(DataError, match="holds a PCA, expected a pipeline"):
        storage.load(tmp_path, facts(path))


def forge_forest(model):
    tree = model.estimators_[0].tree_
    state = tree.__getstate__()
    state["nodes"]["left_child"][0] = 10**6
    tree.__setstate__(state)


def forge_loop(model):
    tree = model.estimators_[0].tree_
    state = tree.__getstate__()
    state["nodes"]["left_child"][0] = 0
    tree.__setstate__(state)


def forge_feature(model):
    tree = model.estimators_[0].tree_
    state = tree.__getstate__()
    state["nodes"]["feature"][0] = 10**6
    tree.__setstate__(state)


def forge_boosting(model):
    model._predictors[0][0].nodes["left"][0] = 10**6


@pytest.mark.parametrize(
    "kind, forge",
    [
        (RandomForestClassifier, forge_forest),
        (RandomForestClassifier, forge_loop),
        (RandomForestClassifier, forge_feature),
        (HistGradientBoostingClassifier, forge_boosting),
    ],
)
def test_forged_trees_are_refused(kind, forge, tmp_path):
    x, y = data()
    model = Pipeline([("model", kind(random_state=0).fit(x, y))])
    assert storage.load(tmp_path, storage.save(model, tmp_path))
    forge(model[-1])
    with pytest.raises(DataError, match="a tree that points to nodes or features"):
        storage.load(tmp_path, storage.save(model, tmp_path))


def rewrite(path, member, content):
    """Put another content in the place of a member of an archive."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents[member] = content
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)


def test_of_a_keras_file_only_the_arrays_are_read(tmp_path, monkeypatch):
    import keras

    monkeypatch.chdir(tmp_path)
    model = fitted("dense-head")
    path = tmp_path / storage.save(model, tmp_path)["file"]
    code = keras.layers.Lambda(lambda x: os.system("touch owned"))
    rewrite(path, "config.json", json.dumps(keras.saving.serialize_keras_object(code)))
    x, _ = data()
    loaded = storage.load(tmp_path, facts(path))  # the configuration is not looked at
    assert np.array_equal(loaded.predict_proba(x), model.predict_proba(x))
    assert not (tmp_path / "owned").exists()


def test_foreign_keras_files_are_refused(tmp_path):
    import keras

    path = tmp_path / storage.KERAS
    keras.Sequential([keras.Input((6,)), keras.layers.Lambda(lambda x: x * 2)]).save(path)
    with pytest.raises(DataError, match="is no dense head of ours"):
        storage.load(tmp_path, facts(path))


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": [8, 5]},
        {"hidden": [8]},
        {"hidden": [10**9, 4]},
        {"hidden": "os.system"},
        {"loss": "os.system"},
    ],
    ids=str,
)
def test_a_dense_head_of_other_parameters_than_its_arrays_is_refused(change, tmp_path):
    path = tmp_path / storage.save(fitted("dense-head"), tmp_path)["file"]
    with zipfile.ZipFile(path) as archive:
        description = json.loads(archive.read("offshelf.json"))
    description["parameters"] |= change
    rewrite(path, "offshelf.json", json.dumps(description))
    with pytest.raises(DataError) as caught:
        storage.load(tmp_path, facts(path))
    assert "\n" not in str(caught.value)
