"""The frozen trunk: where it ends, that it is computed once, and that its rows are right."""

import dataclasses
import shutil
from collections import namedtuple

import numpy as np
import pytest

from features.backbones.catalog import find
from features.backbones.weights import resolve
from features.config import ExtractConfig
from features.errors import UsageError
from features.extraction import run as extraction
from features.storage import hdf5
from features.storage.store import FeatureFile
from pipeline.networks import transfer, trunk
from pipeline.networks.pixels import Pixels
from pipeline.networks.trunk import Views
from tests.pipeline.featurefiles import write_features
from tests.pipeline.networks.images import colours, split_codes

BACKBONE = find("mobilenet")
FLIPPED = Views(2, ("flip", "translation"), 5)


@pytest.fixture(scope="module")
def network():
    return make_network()


def make_network():
    weights = resolve(BACKBONE, "none")
    facts = {
        "backbone": "mobilenet", "image_size": [32, 32], "classes": 3, "seed": 0,
        "scaling": weights.scaling.to_dict(), "precision": "float32",
    }  # fmt: skip
    return transfer.assemble(facts, weights)


@pytest.fixture(scope="module")
def images():
    from pipeline.data.splitting import SplitConfig, make_splits

    x, labels = colours(60, 32)
    ids = tuple(f"{number:03d}" for number in range(60))
    splits = make_splits(
        ids,
        labels.astype(np.int32),
        ("a", "b", "c"),
        split_codes(60),
        np.arange(60),
        SplitConfig(folds=2),
    )
    return Pixels(x, splits, {"content": "some"})


def config(layer):
    return ExtractConfig(
        ".", ".", "mobilenet", "none", layers=(layer,), image_size=(32, 32), engine="tensorflow",
        precision="float32", progress=False,
    )  # fmt: skip


def activations(folder, network, images, views):
    cut = network.cut(len(network.blocks) - 2)
    return trunk.activations(
        folder, config(cut.layer), tuple(cut.tensor.shape[1:]), images, views, "w"
    )


def test_the_cut_is_where_one_tensor_carries_everything():
    import keras

    x = keras.Input((8, 8, 3))
    stem = keras.layers.Conv2D(4, 1, name="stem")(x)
    inner = keras.layers.Conv2D(4, 1, name="inner")(stem)
    end = keras.layers.Add(name="end")([stem, inner])
    last = keras.layers.Conv2D(4, 1, name="last")(end)
    model = keras.Model(x, keras.layers.GlobalAveragePooling2D()(last))
    tensors = {layer.name: layer.output for layer in model.layers[1:-1]}

    def cut(*trained):
        deepest = transfer._find_cut(model, tensors, trained)
        return deepest and deepest.layer

    assert cut("last") == "end"
    assert cut("inner", "last") == "stem"
    assert cut("stem") is None
    assert cut() == "last"
    del tensors["end"]  # a sum that Keras numbers cannot be tapped
    assert cut("last") == "stem"


def test_the_upper_layers_on_activations_give_what_the_whole_network_gives(
    network, images, tmp_path
):
    layer = network.cut(len(network.blocks) - 2).layer
    assert layer == "conv_pad_12"
    cached = activations(tmp_path, network, images, Views(0, (), 0))
    rest = images.splits.rest
    assert cached.shape == (len(rest), *network._tensors[layer].shape[1:])
    upper = network.above(layer)
    expected = network.whole.predict_on_batch(images.x[rest])
    logits = upper.predict_on_batch(cached[np.arange(len(rest))])
    np.testing.assert_allclose(logits, expected, atol=2e-3 * np.abs(expected).max())
    assert not list(tmp_path.glob("*/views.h5"))


def test_the_head_alone_on_the_frozen_backbone_is_the_head_on_features(network, images, tmp_path):
    network.train_only(())
    source = tmp_path / "x.npz"
    np.savez(source, images=images.x)
    out = tmp_path / "f.h5"
    extraction.run(dataclasses.replace(config(BACKBONE.output), source=source, out=out))
    with FeatureFile(out) as file:
        features = file.features()  # (60, 1024)
    kernel, bias = network.whole.get_layer("head").get_weights()
    expected = features @ kernel + bias
    logits = network.whole.predict_on_batch(images.x)
    np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())
    assert (logits.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_views_are_drawn_from_the_seed_and_the_first_is_plain(network, images, tmp_path):
    plain = activations(tmp_path / "plain", network, images, Views(0, (), 0))
    cached, again = (
        activations(tmp_path / name, network, images, FLIPPED) for name in ("one", "two")
    )
    count = len(images.splits.rest)
    rows = np.arange(count)
    assert len(cached) == 3 * count
    np.testing.assert_array_equal(cached[rows], plain[rows])
    views = [cached[rows + view * count] for view in range(3)]
    assert all((views[a] != views[b]).any() for a, b in ((0, 1), (0, 2), (1, 2)))
    np.testing.assert_array_equal(again[np.arange(3 * count)], cached[np.arange(3 * count)])


def test_it_is_computed_once_and_gone_on_with_after_a_kill(network, images, tmp_path, monkeypatch):
    run = extraction.run

    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(extraction, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        activations(tmp_path, network, images, FLIPPED)
    (views,) = tmp_path.glob("*/views.h5")
    monkeypatch.setattr(extraction, "run", run)
    monkeypatch.setattr(trunk, "_write_views", None)  # they are there
    copy_rows = trunk.copy_rows
    monkeypatch.setattr(trunk, "copy_rows", stopped)
    with pytest.raises(KeyboardInterrupt):
        activations(tmp_path, network, images, FLIPPED)
    monkeypatch.setattr(trunk, "copy_rows", copy_rows)
    monkeypatch.setattr(extraction, "run", None)  # it has finished
    first = activations(tmp_path, network, images, FLIPPED)
    names = {path.name for path in views.parent.iterdir()}
    assert names == {"trunk.npy", "note.json"}
    np.testing.assert_array_equal(
        activations(tmp_path, network, images, FLIPPED)[[0, 5]], first[[0, 5]]
    )


@pytest.mark.parametrize("name", ["views.h5", "trunk.h5", "trunk.npy"])
def test_what_has_changed_meanwhile_is_made_anew(
    network, images, tmp_path, monkeypatch, caplog, name
):
    expected = np.array(activations(tmp_path / "sound", network, images, FLIPPED))

    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        where = {"views.h5": (extraction, "run"), "trunk.h5": (trunk, "copy_rows")}
        if name in where:
            patch.setattr(*where[name], stopped)
            with pytest.raises(KeyboardInterrupt):
                activations(tmp_path, network, images, FLIPPED)
        else:
            activations(tmp_path, network, images, FLIPPED)
    (path,) = tmp_path.glob(f"trunk-*/{name}")
    with path.open("rb+") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\x5a" * 99)
    found = activations(tmp_path, network, images, FLIPPED)
    np.testing.assert_array_equal(np.array(found), expected)
    assert f"{name} is made anew" in caplog.text


def test_the_cache_is_no_source_of_the_user_and_is_not_announced(network, images, tmp_path, caplog):
    with caplog.at_level("INFO", "offshelf"):
        activations(tmp_path, network, images, Views(0, (), 0))
    assert "the frozen layers up to" in caplog.text
    assert "found" not in caplog.text


def test_a_disk_too_small_is_told_before_anything_is_written(
    network, images, tmp_path, monkeypatch
):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(10**6, 0, 10**5))
    with pytest.raises(UsageError, match=r"needs 0\.\d GB while it is made, .*--no-cache-trunk"):
        activations(tmp_path, network, images, FLIPPED)
    assert not list(tmp_path.glob("*/*"))


def test_rows_are_copied_as_they_lie_in_the_feature_file(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "BLOCK_BYTES", 2**20)  # three blocks
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 6, 6, 64)).astype(np.float16)  # five chunks
    path = write_features(tmp_path / "f.h5", x, np.zeros(500, int), pooling="none")
    trunk.copy_rows(path, tmp_path / "rows.npy")
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert (mapped.shape, mapped.dtype, len(mapped)) == (x.shape, x.dtype, 500)
    rows = rng.permutation(500)[:77]
    np.testing.assert_array_equal(mapped[rows], x[rows])
