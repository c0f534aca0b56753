"""Networks trained on pixels show their evidence by gradients, and know images unlike theirs."""

import json
import os
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from features.errors import DataError
from pipeline.config import PackConfig, PredictConfig, ScratchConfig
from pipeline.predictors.explaining import GRADIENT, OCCLUSION, explainer
from pipeline.predictors.kit import open_kit
from pipeline.predictors.of_images import image_predictor
from pipeline.results import known_images
from pipeline.results.known_images import KnownImages
from pipeline.results.records import read_record
from pipeline.stages import pack, predict, scratch
from pipeline.statistics import novelty
from tests.pipeline.candidates import change

NAME = "scratch-lenet"
SIDE, PATCH = 32, 8  # pixels of images, and of the corner that tells the class


def with_patches(count, seed=0):
    """Return noise, uint8 (count, 32, 32, 3), and labels: 1 has a striped corner."""
    rng = np.random.default_rng(seed)
    x = rng.integers(60, 120, (count, SIDE, SIDE, 3)).astype(np.uint8)
    labels = np.arange(count) % 2
    stripes = (255 * (np.arange(PATCH) // 2 % 2)).astype(np.uint8)
    x[labels == 1, :PATCH, :PATCH] = stripes[:, None, None]
    return x, labels


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A small network, cross-validated, that tells the corner; its source, and a pack."""
    folder = tmp_path_factory.mktemp("home")
    x, labels = with_patches(240)
    np.savez(folder / "c.npz", images=x, labels=labels, class_names=np.array(["plain", "patch"]))
    scratch.run(
        ScratchConfig(
            folder / "c.npz", folder / "results", architecture="lenet", epochs=6, batch_size=16,
            folds=2, precision="float32", progress=False,
        )
    )  # fmt: skip
    pack.run(PackConfig(folder / "results", folder / "m.zip", NAME))
    return folder


def explained(home, count=6):
    """Return the explanations of class 1 for new images of it."""
    with open_kit(home / "results", NAME) as kit:
        explaining = explainer(kit, image_predictor(kit))
        return [explaining.explain(x, 1) for x in with_patches(2 * count, seed=7)[0][1::2]]


def test_a_corner_that_tells_the_class_lights_up(home):
    for explanation in explained(home):
        shown = explanation.shown  # (8, 8)
        assert explanation.method == GRADIENT
        assert max(np.unravel_index(shown.argmax(), shown.shape)) <= 2
        assert shown[:3, :3].mean() > 2 * shown[4:, 4:].mean()


def test_where_gradients_are_not_to_be_had_parts_are_covered(home, monkeypatch, caplog):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with caplog.at_level("INFO", "offshelf"):
        explanations = explained(home, 1)
    assert [each.method for each in explanations] == [OCCLUSION]
    assert "Grad-CAM needs TensorFlow and Keras runs torch: occlusion shows evidence" in caplog.text


def new_images(folder):
    """Write images of the kind that was learned from, and a few of another; return their folder."""
    (folder / "new").mkdir()
    for number, pixels in enumerate(with_patches(20, seed=9)[0]):
        Image.fromarray(pixels).save(folder / "new" / f"like-{number:02}.png")
    for number in range(4):
        pixels = np.full((SIDE, SIDE, 3), 60 * number + 15, np.uint8)
        pixels[number::4] = 255 - pixels[number::4]
        Image.fromarray(pixels).save(folder / "new" / f"other-{number}.png")
    return folder / "new"


def run(place, images, out, **settings):
    config = PredictConfig(place, images, out, NAME, progress=False, **settings)
    return predict.run(config).frame().set_index("id")


def test_predict_says_which_method_made_the_pictures(home, tmp_path, caplog):
    images = new_images(tmp_path)
    with caplog.at_level("INFO", "offshelf"):
        run(home / "results", images, tmp_path / "p.csv", explain=tmp_path / "why", limit=5)
    assert "5 by Grad-CAM, of 5 images" in caplog.text
    assert len(list((tmp_path / "why").iterdir())) == 5


@pytest.mark.parametrize("place", ["results", "m.zip"])
def test_images_unlike_those_learned_from_are_marked(home, place, tmp_path):
    frame = run(home / place, new_images(tmp_path), tmp_path / "p.parquet")
    like = frame.index.str.startswith("like")
    assert frame.loc[~like, "unlike"].all()
    assert frame.loc[like, "unlike"].mean() <= 0.1
    assert frame.loc[like, "familiarity"].mean() > 0.3


def test_distances_are_of_images_that_were_held_out(home):
    record = read_record(home / "results" / NAME)
    known = KnownImages.read(home / "results" / NAME, record.known_file)
    assert known.vectors.shape == (len(known.groups), 84)
    assert len(known.distances) == record.rows
    with open_kit(home / "results", NAME) as kit:
        familiarity = kit.evidence.familiarity(0.05)
        assert len(familiarity.distances) == record.rows
        predictor = image_predictor(kit)
        batch = np.resize(with_patches(32)[0], (32, SIDE, SIDE, 3))
        vectors = predictor.embedding(predictor.vectors(batch))
    np.testing.assert_allclose(novelty.distances_to(vectors, vectors[:3])[0], 0, atol=1)
    learned = novelty.distances_to(known.vectors, vectors)
    assert np.median(learned) <= np.median(known.distances)


def test_a_network_of_an_older_version_marks_none_and_says_so(home, tmp_path, caplog):
    results = shutil.copytree(home / "results", tmp_path / "results")
    os.remove(results / NAME / known_images.FILE)
    images = new_images(tmp_path)
    with pytest.raises(DataError, match="known.npz is missing or has changed"):
        KnownImages.read(results / NAME, read_record(results / NAME).known_file)
    change(results, NAME, known_file={})
    frame = run(results, images, tmp_path / "p.parquet")
    assert frame["unlike"].isna().all()
    assert f"not marked: {NAME} was trained by a version that kept none of them" in caplog.text


def test_damaged_known_images_are_one_line(home, tmp_path):
    folder = tmp_path / NAME
    folder.mkdir()
    facts = KnownImages(np.ones((4, 3), np.float32), np.arange(3)).write(folder)
    with pytest.raises(DataError, match="holds other shapes"):
        KnownImages.read(folder, facts)
    assert json.loads(json.dumps(facts)) == facts
