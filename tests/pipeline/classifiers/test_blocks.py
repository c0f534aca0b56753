"""What learns from rows in blocks reaches the optimum of what learns from them in memory."""

import threading
import time

import numpy as np
import pytest

from pipeline.classifiers import blocks, find, streaming
from pipeline.classifiers.base import Task, probabilities
from pipeline.classifiers.blocks import Transformed, of_blocks
from pipeline.classifiers.estimators import dense_head
from pipeline.classifiers.estimators.unit_scale import UnitScale, mean_and_scales
from pipeline.data.stored_rows import Part, StoredRows, put
from tests.pipeline.featurefiles import write_features

ROWS, WIDTH, CLASSES = 3000, 24, 4


@pytest.fixture(scope="module", params=[CLASSES, 2])
def data(request, tmp_path_factory):
    """Features of overlapping classes of unequal size, as stored rows and in memory."""
    rng, classes = np.random.default_rng(0), request.param
    y = np.sort(rng.choice(classes, ROWS, p=np.arange(1, classes + 1) / sum(range(classes + 1))))
    x = 0.4 * rng.normal(size=(classes, WIDTH))[y] + rng.normal(size=(ROWS, WIDTH)) + 3
    x = (x * rng.uniform(0.1, 2, WIDTH)).astype(np.float16)
    path = tmp_path_factory.mktemp("rows") / "x.h5"
    write_features(path, x, y.astype(np.int32), class_names=list("abcd"[:classes]))
    stored = StoredRows((Part(path, "a", WIDTH),), None, ROWS, at_once=4 * WIDTH * 700)
    chosen = np.flatnonzero(rng.random(ROWS) < 0.8)
    return stored.subset(chosen), x.astype(np.float32)[chosen], y[chosen]


def fitted(name, x, y, setting=None):
    classifier = find(name)
    task = Task(len(x), WIDTH, int(y.max()) + 1, 0)
    setting = {**classifier.default, **(setting or {})}
    return streaming.fit_pipeline(classifier.build(task).set_params(**setting), x, y)


def cosine(first, second):
    first, second = np.ravel(first).astype(float), np.ravel(second).astype(float)
    return first @ second / np.linalg.norm(first) / np.linalg.norm(second)


@pytest.mark.parametrize("weights", [None, "balanced"])
@pytest.mark.parametrize("name", ["logistic", "linear-svm", "ridge", "lda"])
def test_linear_models_reach_the_same_optimum(data, name, weights):
    stored, x, y = data
    setting = {"model__class_weight": weights}
    ours, theirs = fitted(name, stored, y, setting), fitted(name, x, y, setting)
    assert cosine(ours[-1].coef_, theirs[-1].coef_) > 0.9999
    np.testing.assert_allclose(ours[-1].intercept_, theirs[-1].intercept_, atol=2e-2)
    assert ours[-1].coef_.shape == theirs[-1].coef_.shape
    assert vars(ours[-1]).keys() == vars(theirs[-1]).keys()
    classes = int(y.max()) + 1
    here, there = (probabilities(model, x, classes) for model in (ours, theirs))
    assert abs((here.argmax(1) == y).mean() - (there.argmax(1) == y).mean()) < 0.002
    np.testing.assert_allclose(here, there, atol=0.01)
    np.testing.assert_allclose(streaming.predict(ours, stored, classes), here, atol=1e-6)


@pytest.mark.parametrize("threshold", [None, 1.0])
def test_centroids_are_the_same(data, threshold):
    stored, x, y = data
    setting = {"model__shrink_threshold": threshold}
    ours = fitted("nearest-centroid", stored, y, setting)
    theirs = fitted("nearest-centroid", x, y, setting)
    assert vars(ours[-1]).keys() == vars(theirs[-1]).keys()
    for name in ("centroids_", "deviations_", "within_class_std_dev_", "class_prior_"):
        np.testing.assert_allclose(
            getattr(ours[-1], name), getattr(theirs[-1], name), rtol=1e-3, atol=1e-6
        )
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x))


def test_class_frequencies_are_the_same(data):
    stored, x, y = data
    ours, theirs = fitted("dummy", stored, y), fitted("dummy", x, y)
    np.testing.assert_array_equal(ours.predict_proba(x[:3]), theirs.predict_proba(x[:3]))


def test_a_dense_head_becomes_the_same_of_rows_that_are_shuffled_together(data):
    pytest.importorskip("keras")
    stored, x, y = data
    setting = {"model__hidden": (16,)}
    ours, theirs = fitted("dense-head", stored, y, setting), fitted("dense-head", x, y, setting)
    assert ours[-1].n_iter_ == theirs[-1].n_iter_
    pairs = zip(ours[-1].network_.weights, theirs[-1].network_.weights, strict=True)
    learned = [pair for pair in pairs if pair[0].trainable]
    assert len(learned) == 5 and all(cosine(*pair) > 0.999 for pair in learned)
    right = [(model.predict(x) == y).mean() for model in (ours, theirs)]
    assert abs(right[0] - right[1]) < 0.002
    assert right[0] > np.bincount(y).max() / len(y) + 0.1


def test_a_dense_head_learns_as_well_from_pieces_of_sorted_rows(data, monkeypatch):
    pytest.importorskip("keras")
    stored, x, y = data
    setting = {"model__hidden": (16,)}
    theirs = fitted("dense-head", x, y, setting)
    monkeypatch.setattr(dense_head, "_SHUFFLED", 4 * WIDTH * 600)
    ours = fitted("dense-head", stored, y, setting)
    right = [(model.predict(x) == y).mean() for model in (ours, theirs)]
    assert right[0] > right[1] - 0.02


def test_rows_are_read_as_a_matrix_is_indexed(data):
    stored, x, _ = data
    assert stored.shape == x.shape
    rng = np.random.default_rng(1)
    for key in (slice(5, 900), np.arange(0, 2000, 97), rng.integers(0, 2000, 50), slice(0, 0)):
        np.testing.assert_array_equal(stored[key], x[key])
    np.testing.assert_array_equal(stored.subset(np.arange(3, 1500, 2))[10:700], x[3:1500:2][10:700])
    pieces = [block for _, block in stored.blocks()]
    assert len(pieces) > 3
    np.testing.assert_array_equal(np.concatenate(pieces), x)


def test_blocks_are_computed_in_order_by_threads(data, monkeypatch):
    stored, x, _ = data
    monkeypatch.setattr(blocks, "available_cpus", lambda: 3)
    names, running, most = set(), 0, 0

    def computed(rows, block):
        nonlocal running, most
        names.add(threading.current_thread().name)
        running += 1
        most = max(most, running)
        time.sleep(0.01 * (rows.start == 0))  # the first one ends after others
        running -= 1
        return block

    for rows in (stored, stored.subset(np.arange(len(x))), x):
        np.testing.assert_array_equal(np.concatenate([*of_blocks(rows, computed)]), x)
    assert len(names) > 1 and most <= 3
    with pytest.raises(ZeroDivisionError):
        list(of_blocks(stored, lambda rows, block: 1 / 0))


def test_every_float16_is_widened_to_what_numpy_makes_of_it():
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    for values in (halves, halves[np.isfinite(halves)]):  # infinite ones take another way
        wide = np.empty((len(values), 2), np.float32)
        put(values, wide[:, 1])
        np.testing.assert_array_equal(wide[:, 1], values.astype(np.float32))
        finite = np.isfinite(values)
        bits = wide[finite, 1].view(np.uint32)
        np.testing.assert_array_equal(bits, values[finite].astype(np.float32).view(np.uint32))


def test_a_scale_is_found_however_far_off_the_features_lie(data):
    stored, x, _ = data
    ours, theirs = UnitScale().fit(stored), UnitScale().fit(x)
    np.testing.assert_allclose(ours.mean_, theirs.mean_, rtol=1e-5)
    assert ours.scale_ == pytest.approx(theirs.scale_, rel=1e-5)
    far = Transformed(stored, lambda rows: rows + np.float32(1000), x.shape[1])
    mean, (scale,) = mean_and_scales(far, [slice(None)])
    np.testing.assert_allclose(mean, theirs.mean_ + 1000, rtol=1e-6)
    assert scale == pytest.approx(theirs.scale_, rel=1e-3)


def test_layers_stand_side_by_side(tmp_path):
    first, second = np.arange(12.0).reshape(4, 3), np.arange(8.0).reshape(4, 2)
    for name, values in (("a", first), ("b", second)):
        write_features(tmp_path / f"{name}.h5", values.astype(np.float32), np.zeros(4, np.int32))
    parts = (Part(tmp_path / "a.h5", "a", 3), Part(tmp_path / "b.h5", "a", 2))
    joined = StoredRows(parts, np.array([0, 1, 3]), 4)
    np.testing.assert_array_equal(joined[:], np.hstack([first, second])[[0, 1, 3]])
