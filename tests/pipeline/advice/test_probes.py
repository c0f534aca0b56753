"""The sample that probes read: never locked images, bounded whatever the file, groups whole."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pipeline.advice import probes
from pipeline.data.images import Images
from pipeline.data.layers import Layer
from pipeline.data.splitting import SplitConfig, make_splits
from pipeline.results.learning_curve import Score, mean_of_groups
from tests.features.examples import recipe


def images_of(count, classes=2, size=1):
    """Images in groups of some size, each of one class."""
    groups = np.arange(count) // size
    labels = (groups % classes).astype(np.int32)
    ids = tuple(str(number) for number in range(count))
    names = tuple(f"class {label}" for label in range(classes))
    nothing = np.zeros(count, np.uint8)
    return Images(
        ids, labels, names, nothing, groups, nothing[:, None].repeat(16, 1), np.arange(count), 0
    )


def splits_of(images, **options):
    return make_splits(
        images.ids, images.labels, images.class_names, images.source_splits, images.groups,
        SplitConfig(**options),
    )  # fmt: skip


def layer(dimensions):
    return Layer(Path("f.h5"), "a", recipe(), dimensions)


@pytest.mark.parametrize(
    ("count", "classes", "widths", "folds", "most"),
    [
        (500, 2, [64, 2048], None, 400),
        (40_000, 2, [64, 2048], None, 8000),
        (40_000, 2, [64, 2048], 10, 4000),
        (40_000, 2, [2048, 25_088], None, 1800),
        (40_000, 200, [2048], None, 4900),
        (40_000, 1000, [2048], None, 3000),
    ],
)
def test_a_sample_is_bounded_stratified_and_never_locked(count, classes, widths, folds, most):
    images = images_of(count, classes)
    splits = splits_of(images, folds=folds)
    sample = probes.draw([layer(width) for width in widths], images, splits, 0)
    assert most / 2 < sample.splits.smallest <= 1.02 * most
    assert max(widths) * len(sample.rows) <= 1.05 * 2**26
    assert not np.isin(sample.rows, splits.test).any()
    assert np.array_equal(images.labels[sample.rows], sample.splits.labels)
    sizes = np.bincount(sample.splits.labels)
    assert sizes.min() > 0.8 * sizes.max()


def test_groups_are_whole_in_a_sample():
    images = images_of(60_000, size=20)
    sample = probes.draw([layer(64)], images, splits_of(images), 0)
    train = sample.rows[sample.splits.folds[0] == 1]
    sizes = np.bincount(images.groups[train])
    assert len(train) > 7000
    assert (sizes[sizes > 0] == 20).mean() > 0.98


def test_scores_are_as_unsure_as_their_groups():
    alone = np.random.default_rng(0).random(100) < 0.8
    images, groups = alone.repeat(10), np.arange(100).repeat(10)
    few, many = Score.of([alone], np.arange(100)), Score.of([images], groups)
    assert many.low == pytest.approx(few.low, abs=0.01)
    assert many.high == pytest.approx(few.high, abs=0.01)
    assert Score.of([images], np.arange(1000)).error < many.error / 2.5
    assert mean_of_groups(images, groups)[1] == pytest.approx(alone.var() / 99)


def test_draws_of_rows_widen_the_interval():
    hits = np.arange(200) % 5 > 0
    other = np.arange(200) % 3 > 0
    assert Score.of([hits, other], np.arange(200)).error > Score.of([hits], np.arange(200)).error


def test_a_share_of_grouped_rows_is_a_share_of_groups():
    images = images_of(2000, size=10)
    splits = dataclasses.replace(splits_of(images), folds=np.ones((1, 2000), np.int16))
    given = probes.Examples(np.empty((0, 0), np.float32), splits, 1.0, 0)
    few = given.subset(np.arange(2000), 0.1)
    assert len(few) == 200
    assert len(np.unique(images.groups[few])) == 20
    assert set(few) < set(given.subset(np.arange(2000), 0.4))
