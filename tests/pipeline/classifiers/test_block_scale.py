"""Layers side by side: each scaled by itself, on training rows alone, in memory or in blocks."""

import numpy as np
import pytest

from pipeline.classifiers import SUITE, find, streaming
from pipeline.classifiers.base import Task
from pipeline.classifiers.estimators.block_scale import BlockScale

WIDTHS = (3, 40)


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    small = rng.normal(size=(50, 3)) * [0.1, 0.2, 0.05] + 7
    return np.hstack([small, 300 * rng.normal(size=(50, 40))]).astype(np.float32)


class InBlocks:
    """Rows that are read in blocks of 16."""

    step = 16

    def __init__(self, x):
        self.x, self.shape, self.dtype = x, x.shape, x.dtype

    def __len__(self):
        return len(self.x)

    def __getitem__(self, key):
        return self.x[key].copy()

    def blocks(self):
        for start in range(0, len(self.x), self.step):
            rows = slice(start, min(start + self.step, len(self.x)))
            yield rows, self[rows]

    def subset(self, rows):
        return InBlocks(self.x[rows])


def test_blocks_weigh_alike_and_keep_their_own_proportions(x):
    scaled = BlockScale(WIDTHS).fit(x).transform(x)
    assert scaled.dtype == np.float32
    for columns in (slice(0, 3), slice(3, 43)):
        norms = np.square(scaled[:, columns]).sum(axis=1)
        assert norms.mean() == pytest.approx(1, rel=1e-4)
        np.testing.assert_allclose(scaled[:, columns].mean(axis=0), 0, atol=1e-4)
    ratio = scaled[:, 1].std() / scaled[:, 0].std()
    assert ratio == pytest.approx(x[:, 1].std() / x[:, 0].std(), rel=1e-3)


def test_new_rows_are_scaled_by_the_training_rows(x):
    scale = BlockScale(WIDTHS).fit(x[:30])
    np.testing.assert_allclose(scale.mean_, x[:30].mean(axis=0), rtol=1e-5)
    other = scale.transform(x[30:] + 100)
    np.testing.assert_allclose(
        other, (x[30:] + 100 - scale.mean_) / scale.scale_, rtol=1e-3, atol=1e-3
    )


def test_rows_in_blocks_give_the_same(x):
    whole, read = BlockScale(WIDTHS).fit(x), BlockScale(WIDTHS).fit(InBlocks(x))
    np.testing.assert_allclose(read.mean_, whole.mean_, rtol=1e-6)
    np.testing.assert_allclose(read.scale_, whole.scale_, rtol=1e-5)


def test_a_block_that_does_not_vary_stays_zero():
    x = np.hstack([np.full((10, 2), 5.0), np.eye(10, 3)]).astype(np.float32)
    for rows in (x, InBlocks(x)):
        scaled = BlockScale((2, 3)).fit(rows).transform(x)
        assert np.isfinite(scaled).all()
        assert not scaled[:, :2].any()


def test_widths_must_be_those_of_the_rows(x):
    with pytest.raises(ValueError, match="blocks of 5 features in all, but rows have 43"):
        BlockScale((2, 3)).fit(x)


@pytest.mark.parametrize("name", ["logistic", "knn-cosine", "own"])
def test_no_layer_drowns_another(name):
    """A small layer tells the classes; a large one is noise, and alone would decide."""
    from sklearn.neighbors import KNeighborsClassifier

    from pipeline.classifiers.own import OwnClassifier

    rng = np.random.default_rng(1)
    y = np.arange(120) % 3
    small = 0.01 * (np.eye(3)[y] + 0.1 * rng.normal(size=(120, 3)))
    x = np.hstack([small, 1000 * rng.normal(size=(120, 3))]).astype(np.float32)
    if name == "own":
        classifier = OwnClassifier("own", KNeighborsClassifier(), {}).classifier()
    else:
        classifier = find(name)
    found = {}
    for widths in ((), (3, 3)):
        model = classifier.pipeline(Task(80, 6, 3, 0, widths)).set_params(**classifier.default)
        found[widths] = (model.fit(x[:80], y[:80]).predict(x[80:]) == y[80:]).mean()
    assert found[3, 3] > 0.9
    assert found[()] < 0.7 or name == "logistic"  # which can learn to look away


@pytest.mark.parametrize(
    "classifier",
    [each for each in SUITE if each.by_blocks and not each.needs],
    ids=lambda each: each.name,
)
def test_every_classifier_of_blocks_learns_from_layers_side_by_side(classifier, x):
    y = np.arange(50) % 3
    task = Task(50, 43, 3, 0, WIDTHS)
    models = [
        streaming.fit_pipeline(classifier.pipeline(task).set_params(**classifier.default), rows, y)
        for rows in (x, InBlocks(x))
    ]
    one, other = (streaming.predict(model, x, 3) for model in models)
    np.testing.assert_allclose(one, other, atol=0.02)
