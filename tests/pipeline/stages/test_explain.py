"""Evidence lies where it was put: exact for affine heads, by occlusion for all others."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from features.config import ExtractConfig
from features.extraction import run as extraction
from features.records import Split
from pipeline.config import ClassifyConfig, PredictConfig
from pipeline.predictors.explaining import ACTIVATION, OCCLUSION, Explanation, explainer
from pipeline.predictors.kit import open_kit
from pipeline.predictors.of_images import image_predictor
from pipeline.reports.overlays import SIDE, overlay
from pipeline.stages import classify, predict
from tests.pipeline.networks.images import write_arrays

LAYER = "conv_pw_5_relu"  # at 64 pixels 8 x 8 positions
LOGISTIC, KERNEL = (f"mobilenet.{LAYER}.{name}" for name in ("logistic", "rbf-svm"))
ON_LOGITS = "mobilenet.logits.logistic"  # a layer above the last map, without positions
SIDE_OF_PATCH = 14
PATCH = slice(0, SIDE_OF_PATCH)  # rows and columns of the corner that tells the class


def with_patches(count, seed=0):
    """Return noise, uint8 (count, 64, 64, 3), and labels: 1 has a bright corner."""
    rng = np.random.default_rng(seed)
    x = rng.integers(60, 120, (count, 64, 64, 3)).astype(np.uint8)
    labels = np.arange(count) % 2
    stripes = np.uint8(255) * (np.arange(SIDE_OF_PATCH) // 3 % 2).astype(np.uint8)
    x[labels == 1, PATCH, PATCH] = stripes[:, None, None]
    return x, labels


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    splits = np.full(64, Split.TRAIN, np.uint8)
    splits[::4], splits[1::4] = Split.VALIDATION, Split.VALIDATION
    source = write_arrays(
        folder / "c.npz", *with_patches(64), names=("plain", "patch"), split=splits
    )
    file = extraction.run(
        ExtractConfig(
            source, folder / "f.h5", "mobilenet", "none", layers=(LAYER, "logits"),
            image_size=(64, 64),
            engine="tensorflow", precision="float32", progress=False,
        )
    )  # fmt: skip
    names = ("logistic", "rbf-svm")
    classify.run(
        ClassifyConfig((file,), folder / "results", names, ("all",), folds=2, progress=False)
    )
    return folder


def explained(home, candidate, count=6):
    """Return the predictor and the explanations of class 1 for new images of it."""
    with open_kit(home / "results", candidate) as kit:
        predictor = image_predictor(kit)
        explaining = explainer(kit, predictor)
        images = with_patches(2 * count, seed=7)[0][1::2]
        return predictor, images, [explaining.explain(pixels, 1) for pixels in images]


@pytest.mark.parametrize(("candidate", "method"), [(LOGISTIC, ACTIVATION), (KERNEL, OCCLUSION)])
def test_a_corner_that_tells_the_class_lights_up(home, candidate, method):
    _, _, explanations = explained(home, candidate)
    for explanation in explanations:
        assert explanation.method == method
        shown = explanation.shown
        side = round(len(shown) * SIDE_OF_PATCH / 64)
        assert max(np.unravel_index(shown.argmax(), shown.shape)) <= side
        inside = shown[:side, :side].mean()
        assert inside > 2 * shown[side + 1 :, side + 1 :].mean()


def test_the_activation_map_sums_to_the_score(home):
    predictor, images, explanations = explained(home, LOGISTIC)
    batch = np.zeros((predictor.batch_size, 64, 64, 3), np.uint8)
    batch[: len(images)] = images
    scores = predictor.scores(predictor.vectors(batch)[: len(images)])[:, 1]
    means = [explanation.values.mean() for explanation in explanations]
    np.testing.assert_allclose(means, scores, rtol=1e-4, atol=1e-5)


def test_a_layer_without_positions_is_explained_by_occlusion(home):
    _, _, explanations = explained(home, ON_LOGITS, count=1)
    assert explanations[0].method == OCCLUSION
    assert np.isfinite(explanations[0].values).all()


def test_a_gain_by_covering_counts_as_none():
    values = np.array([[0.5, -0.5], [0.0, 0.25]], np.float32)
    assert Explanation(OCCLUSION, values).shown.tolist() == [[1, 0], [0, 0.5]]
    assert Explanation(ACTIVATION, values).shown.tolist() == [[1, 0], [0.5, 0.75]]
    assert not Explanation(OCCLUSION, -np.ones((2, 2), np.float32)).shown.any()


def test_predict_writes_pictures(home, tmp_path, caplog):
    (tmp_path / "bad.png").write_bytes(b"no image")
    (tmp_path / "new").mkdir()
    images = []
    for number, pixels in enumerate(with_patches(3, seed=8)[0]):
        images.append(tmp_path / "new" / f"{number}.png")
        Image.fromarray(pixels).save(images[-1])
    with caplog.at_level("INFO", "offshelf"):
        predict.run(
            PredictConfig(
                home / "results", [*images, tmp_path / "bad.png"], tmp_path / "p.csv", LOGISTIC,
                explain=tmp_path / "why", progress=False,
            )
        )  # fmt: skip
    names = sorted(path.name for path in (tmp_path / "why").iterdir())
    assert names == ["00000-plain.png", "00001-patch.png", "00002-plain.png"]
    assert "3 by class activation map, of 4 images" in caplog.text


def test_a_picture_shows_the_image_and_the_evidence_beside_it():
    pixels = np.full((20, 40, 3), 128, np.uint8)
    evidence = np.zeros((5, 10), np.float32)
    evidence[:, :5] = 1
    encoded = io.BytesIO(overlay(pixels, evidence))
    picture = np.asarray(Image.open(encoded).convert("RGB")).astype(int)
    assert picture.shape == (SIDE // 2, 2 * SIDE + 8, 3)
    assert (picture[:, :SIDE] == 128).all()
    left, right = picture[80, SIDE + 40], picture[80, -40]
    assert left.sum() > 1.5 * right.sum()


def test_how_far_another_engine_is_from_the_one_of_then_is_told(home, tmp_path, caplog):
    def predicted(name, **settings):
        config = PredictConfig(
            home / "results", home / "c.npz", tmp_path / name, LOGISTIC, progress=False, **settings
        )
        return predict.run(config).frame().set_index("id")["probability"]

    then = predicted("then.parquet")
    with caplog.at_level("INFO", "offshelf"):
        now = predicted("now.parquet", engine="openvino")
    (line,) = (text for text in caplog.messages if "their probabilities by" in text)
    assert "engine: tensorflow -> openvino" in line
    features, told = (float(text) for text in re.findall(r"by (\d\.\de-\d+)", line))
    assert 0 < features < 1e-3
    assert (now - then).abs().max() < 1e-3
    assert told < 1e-3
