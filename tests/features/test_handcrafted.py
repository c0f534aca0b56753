"""Descriptors made by hand, from images to feature files that are classified like any other."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

import features
from features import descriptors
from features.errors import MissingPackageError, UsageError
from features.extraction import handcrafted
from features.extraction.shards import Shards
from features.storage.store import FeatureFile
from pipeline.commands.main import main
from pipeline.config import ClassifyConfig
from pipeline.reports.doctor import rates_text
from pipeline.results.records import candidates
from pipeline.stages import classify, doctor
from tests.features.faults.stub import datasets

BOTH = pytest.mark.parametrize("name", list(descriptors.DESCRIPTORS))


def extract(source, out, name="hog", **options):
    return features.extract(source, out, **{"backbone": name, "progress": False} | options)


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr("features.extraction.shards.SHARD_IMAGES", 8)


def test_hog_is_that_of_scikit_image(photos, tmp_path):
    from skimage.feature import hog

    with FeatureFile(extract(photos, tmp_path / "out.h5")) as file:
        assert file.problems() == []
        assert file.layers == ("blocks",)
        found = file.features()
        for row in (0, 13):
            with Image.open(photos / file.ids[row]) as image:
                pixels = np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR))
            expected = hog(
                pixels, orientations=9, pixels_per_cell=(8, 8), cells_per_block=(2, 2),
                block_norm="L2-Hys", channel_axis=-1,
            )  # fmt: skip
            np.testing.assert_allclose(found[row], expected, atol=1e-6)


def test_colour_counts_pixels_by_hue_saturation_and_value(tmp_path):
    red, grey, blue = (255, 0, 0), (100, 100, 100), (0, 0, 255)
    images = np.zeros((3, 64, 64, 3), np.uint8)
    images[0] = red
    images[1] = grey
    images[2, :16], images[2, 16:] = red, blue
    np.savez(tmp_path / "x.npz", images=images)
    with FeatureFile(extract(tmp_path / "x.npz", tmp_path / "out.h5", "colour")) as file:
        shares = np.square(file.features().reshape(3, 16, 4, 4))  # hue, saturation, value
    np.testing.assert_allclose(shares.sum(axis=(1, 2, 3)), 1, atol=1e-6)
    assert shares[0, 0, 3, 3] == 1
    assert shares[1, 0, 0, 1] == 1
    np.testing.assert_allclose([shares[2, 0, 3, 3], shares[2, 10, 3, 3]], [0.25, 0.75], atol=1e-6)


@BOTH
def test_rows_do_not_depend_on_batches_or_processes(photos, tmp_path, monkeypatch, name):
    alone = extract(photos, tmp_path / "alone.h5", name)
    monkeypatch.setattr(handcrafted, "available_cpus", lambda: 3)
    other = extract(photos, tmp_path / "other.h5", name, batch_size=7)
    assert datasets(alone) == datasets(other)


@BOTH
@pytest.mark.parametrize("size", [(32, 32), (40, 56)])
def test_the_number_of_features_is_known_beforehand(photos, tmp_path, name, size):
    path = extract(photos, tmp_path / "out.h5", name, image_size=size, limit=2)
    with FeatureFile(path) as file:
        assert file.shape() == (2, descriptors.DESCRIPTORS[name].dimensions(size))
        assert file.recipe.image_size == size


def test_an_interrupted_run_goes_on_to_the_same_file(photos, tmp_path, small_shards, monkeypatch):
    whole = extract(photos, tmp_path / "whole.h5", batch_size=4)
    write, out = Shards.write, tmp_path / "out.h5"

    def interrupted(self, start, stop, rows):
        if start == 16:
            raise KeyboardInterrupt
        write(self, start, stop, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Shards, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            extract(photos, out, batch_size=4)
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out.h5.partial").glob("0*")}
    assert len(kept) == 2
    extract(photos, out, batch_size=4)
    assert datasets(out) == datasets(whole)


def test_the_recipe_knows_the_parameters(photos, tmp_path, monkeypatch):
    path = extract(photos, tmp_path / "out.h5")
    with FeatureFile(path) as file:
        assert file.recipe.weights["orientations"] == 9
        assert file.recipe.engine == "scikit-image"
        assert "scikit-image" in file.recipe.versions
        assert "keras" not in file.recipe.versions
    before = path.stat().st_mtime_ns
    assert extract(photos, path).stat().st_mtime_ns == before
    hog = descriptors.DESCRIPTORS["hog"]
    other = dataclasses.replace(hog, parameters=hog.parameters | {"orientations": 8})
    monkeypatch.setitem(descriptors.DESCRIPTORS, "hog", other)
    with pytest.raises(UsageError, match=r"weights\.orientations: 9 -> 8"):
        extract(photos, path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ("conv5_block3_out",)}, "--layers: hog is made by hand"),
        ({"weights": "none"}, "--weights"),
        ({"scaling": "caffe"}, "--scaling"),
        ({"pooling": "max"}, "--pooling"),
        ({"engine": "openvino"}, "--engine"),
        ({"precision": "bfloat16", "engine": "jax"}, "--engine, --precision"),
        ({"image_size": (15, 64)}, "at least 16 pixels"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_options_of_networks_alone_are_refused(photos, tmp_path, options, message):
    with pytest.raises(UsageError, match=message) as caught:
        extract(photos, tmp_path / "out.h5", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.h5").exists()


def test_without_scikit_image_the_install_line_is_told(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(handcrafted, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r'pip install "offshelf\[handcrafted\]"'):
        extract(photos, tmp_path / "out.h5")
    assert main(["backbones", "hog"]) == 1
    assert "offshelf[handcrafted]" in capsys.readouterr().err


def test_they_are_classified_like_any_other(tmp_path, monkeypatch):
    """Stripes by HOG, hues by colour: what one sees, the other does not."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 4
    stripes = np.where(np.arange(32) % 8 < 4, 200, 50)
    images = np.zeros((120, 32, 32, 3), np.int64)
    for image, label in zip(images, labels, strict=True):
        image[:] = np.roll(stripes, rng.integers(8))[:, None]
        if label % 2:
            image[:] = image.transpose(1, 0, 2)
        image[..., 0 if label < 2 else 2] += 55
    pixels = np.clip(images + rng.integers(-9, 9, images.shape), 0, 255).astype(np.uint8)
    np.savez(tmp_path / "x.npz", images=pixels, labels=labels)
    files = tuple(
        extract(tmp_path / "x.npz", tmp_path / f"{name}.h5", name) for name in ("hog", "colour")
    )
    classify.run(
        ClassifyConfig(files, tmp_path / "results", ("logistic",), folds=2, progress=False)
    )
    scores = {
        name: max(trial.score for trial in record.trials)
        for name, record in candidates(tmp_path / "results").items()
    }
    assert set(scores) == {"hog.blocks.logistic", "colour.histogram.logistic"}
    for score in scores.values():
        assert 0.4 < score < 0.65  # the two that the other one tells apart are one to it


def test_commands_know_them(capsys, monkeypatch, cache):
    assert main(["backbones"]) == 0
    assert "histograms of oriented gradients" in capsys.readouterr().out
    assert main(["backbones", "HOG", "--image-size", "32"]) == 0
    assert "blocks       324" in capsys.readouterr().out
    assert main(["backbones", "hogs"]) == 2
    assert "did you mean hog" in capsys.readouterr().err
    assert main(["weights", "fetch", "hog"]) == 2
    assert "hog is made by hand and has no network" in capsys.readouterr().err
    monkeypatch.setattr(doctor, "SECONDS", 0.1)
    shown = rates_text(doctor.measure("colour", 4))
    assert float(shown.split()[-1]) > 0
    with pytest.raises(UsageError, match="did you mean hog"):
        doctor.measure("hogg")
