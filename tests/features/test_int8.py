"""int8: calibrated on the source itself, judged against float32, the same network ever after."""

import dataclasses
import shutil

import numpy as np
import pytest

import features
from features.config import ExtractConfig
from features.engines import Choice, choose, compile_network
from features.errors import DataError, MissingPackageError, UsageError
from features.extraction import calibration, int8, model
from features.extraction import run as extraction
from features.extraction.planning import network_folder
from features.extraction.rebuilding import rebuild
from features.records import Recipe, Split
from features.sources import open_source
from features.storage.store import FeatureFile

COUNT = 40


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Smooth images of 32 x 32 pixels in an `.npz`, a quarter of them in the test split."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (COUNT, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
    noise = rng.integers(-20, 20, (COUNT, 32, 32, 3))
    parts = np.split(np.clip(coarse + noise, 0, 255).astype(np.uint8), [30])
    path = tmp_path_factory.mktemp("int8") / "images.npz"
    labels = [np.arange(len(part)) % 2 for part in parts]
    np.savez(path, x_train=parts[0], y_train=labels[0], x_test=parts[1], y_test=labels[1])
    return path


def config_of(source, out, **settings) -> ExtractConfig:
    settings = {"precision": "int8", "force_int8": True, "batch_size": 8} | settings
    return ExtractConfig(
        source, out, "mobilenet", "none", image_size=32, progress=False, **settings
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(source, tmp_path_factory):
    """A feature file by int8, and the cache with its network."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OFFSHELF_CACHE", str(folder / "cache"))
        extraction.run(config_of(source, folder / "f.h5"))
    return folder


@pytest.fixture
def cached(made, tmp_path, monkeypatch):
    """A copy of that cache, in use."""
    shutil.copytree(made / "cache", tmp_path / "cache")
    monkeypatch.setenv("OFFSHELF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def opened(made):
    with FeatureFile(made / "f.h5") as file:
        return file.recipe, file.features(), file.provenance


def test_the_recipe_names_what_it_was_calibrated_on(made, source):
    recipe, _, provenance = opened(made)
    assert (recipe.engine, recipe.precision) == ("openvino", "int8")
    assert recipe.calibration["images"] == 30, "those of the test split are left alone"
    assert "nncf" in recipe.versions
    with open_source(source) as images:
        assert calibration.describe(config_of(source, "x"), images) == recipe.calibration
        other = calibration.describe(config_of(source, "x", resize="crop"), images)
    assert other["digest"] != recipe.calibration["digest"]
    (loss,) = provenance["int8"]
    assert loss["images"] == 30
    assert 0.5 < loss["lowest"] < loss["mean"] < 1


def test_features_are_nearly_those_of_float32(made, source, cached, tmp_path):
    extraction.run(config_of(source, tmp_path / "exact.h5", precision="float32"))
    _, found, provenance = opened(made)
    with FeatureFile(tmp_path / "exact.h5") as file:
        exact = file.features()
        assert file.recipe.calibration is None
        assert "calibration" not in file.recipe.to_json()
        assert "int8" not in file.provenance
    loss = int8.compare("all", exact, found)
    assert not np.array_equal(exact, found)
    assert loss.mean == pytest.approx(provenance["int8"][0]["mean"], abs=0.02)


def test_a_recipe_gives_the_same_network_for_batches_of_any_size(made, source, cached):
    recipe, stored, _ = opened(made)
    for size in (1, 5, 8):
        rebuilt = rebuild(dataclasses.replace(recipe, batch_size=size))
        assert rebuilt.differences == ()
        network = rebuilt.compile()
        with np.load(source) as arrays:
            pixels = arrays["x_train"][:size]
        (found,) = network.forward(pixels).values()
        np.testing.assert_allclose(found, stored[:size], rtol=1e-5, atol=1e-6)
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_a_network_that_is_lost_or_damaged_is_never_another_one(made, source, cached):
    recipe = opened(made)[0]
    folder = network_folder(recipe)
    content = (folder / "network.bin").read_bytes()
    (folder / "network.bin").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match="damaged; pack the candidate again, or repeat"):
        rebuild(recipe).compile()
    shutil.rmtree(folder)
    with pytest.raises(DataError, match="the int8 network behind the features is not in"):
        rebuild(recipe)
    assert rebuild(recipe, precision="float32").model.calibration is None
    before = (made / "f.h5").stat()
    extraction.run(config_of(source, made / "f.h5"))  # is finished, and puts the network back
    assert (made / "f.h5").stat() == before
    assert (folder / "network.bin").read_bytes() == content
    rebuild(recipe).compile()


def test_too_great_a_loss_is_refused(source, cached, tmp_path, monkeypatch, caplog):
    def dark(plan, together):
        parts = int8.CalibrationParts(np.zeros((10, 32, 32, 3), np.uint8), together, False)
        return parts

    monkeypatch.setattr(int8, "calibration_parts", dark)
    with pytest.raises(DataError, match="int8 loses too much of the features.*--force-int8"):
        extraction.run(config_of(source, tmp_path / "g.h5", force_int8=False, seed=1))
    assert not (tmp_path / "g.h5").exists()
    caplog.set_level("INFO", "offshelf")
    extraction.run(config_of(source, tmp_path / "g.h5", seed=1))
    assert "% of the nearest neighbours among 30 images kept" in caplog.text


def test_what_is_compared():
    rng = np.random.default_rng(0)
    exact = rng.standard_normal((64, 3, 5)).astype(np.float32)
    same = int8.compare("a", exact, 2 * exact)
    assert (same.layer, same.images, same.kept, same.is_bearable) == ("a", 64, 1.0, True)
    assert same.lowest == pytest.approx(1)
    other = int8.compare("a", exact, rng.standard_normal(exact.shape))
    assert other.kept < 0.5 and not other.is_bearable
    one_off = exact.copy()
    one_off[7] *= -1
    worst = int8.compare("a", exact, one_off)
    assert worst.lowest == pytest.approx(-1)
    assert worst.mean == pytest.approx(1 - 2 / 64)
    assert int8.compare("a", np.zeros((1, 4)), np.zeros((1, 4))).kept == 1


@pytest.mark.parametrize(
    ("train", "test", "calibrated", "judged", "shared"),
    [(400, 50, 300, 64, 0), (320, 0, 300, 64, 44), (20, 80, 20, 20, 20), (0, 30, 30, 30, 30)],
)
def test_images_are_drawn(source, train, test, calibrated, judged, shared):
    class Images:
        splits = np.array([Split.TRAIN] * train + [Split.TEST] * test, np.uint8)

        def __len__(self):
            return train + test

    config = config_of(source, "x")
    drawn = calibration.choose(config, Images())
    assert (len(drawn.calibration), len(drawn.judging)) == (calibrated, judged)
    assert len(set(drawn.calibration) & set(drawn.judging)) == shared
    assert not train or drawn.calibration.max() < train
    for part in (drawn.calibration, drawn.judging):
        assert (np.diff(part) > 0).all()
    again, other = (
        calibration.choose(c, Images()) for c in (config, config_of(source, "x", seed=1))
    )
    np.testing.assert_array_equal(again.calibration, drawn.calibration)
    assert (
        calibrated == train + test
        or train == 20
        or list(other.calibration) != list(drawn.calibration)
    )


def test_images_that_change_meanwhile_are_noticed(source):
    config = config_of(source, "x")
    with open_source(source) as images:
        numbers = calibration.choose(config, images).calibration
        known = calibration.describe(config, images)["digest"]
        parts = list(calibration.pixels(config, images, (32, 32), numbers, known))
        assert sum(len(part) for part in parts) == 30
        with pytest.raises(DataError, match="have changed while int8 was calibrated"):
            list(calibration.pixels(config, images, (32, 32), numbers[:-1], known))


def test_where_there_is_no_int8(source, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="int8 is for openvino alone"):
        config_of(source, "x", engine="tensorflow")
    with pytest.raises(UsageError, match="openvino has"):
        choose("jax", "int8")
    assert choose("auto", "int8").engine == "openvino"
    assert choose().precision != "int8"
    with pytest.raises(UsageError, match="a transformer learns nothing"):
        features.FeatureExtractor(precision="int8").fit()
    with pytest.raises(DataError, match="calibrated on the images of an extraction"):
        compile_network(Choice("openvino", "int8", ""), lambda precision: None, (1, 32, 32, 3))
    monkeypatch.setattr(model, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r'pip install "offshelf\[int8\]"'):
        extraction.run(config_of(source, tmp_path / "x.h5"))
