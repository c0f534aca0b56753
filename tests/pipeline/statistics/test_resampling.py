"""Resamples hold groups whole, within classes where the groups are pure in class."""

import numpy as np
import pytest

from pipeline.statistics import resampling


def whole(units, resamples=200, seed=0):
    return np.concatenate([*resampling.draw(units, resamples, seed)], axis=1)


def test_a_group_is_drawn_whole_or_not_at_all():
    groups = np.array(["b", "a", "b", "c", "a", "d"])
    weights = whole(resampling.units(groups, np.zeros(6, int), stratify=False))
    assert (weights[0] == weights[2]).all()
    assert (weights[1] == weights[4]).all()
    assert weights[[1, 0, 3, 5]].sum(axis=0) == pytest.approx(4)  # each group once on average
    assert set(np.unique(weights)) == {0, 4 / 3, 8 / 3, 4}


def test_classes_keep_their_weight_where_groups_are_pure_in_class():
    labels = np.repeat([0, 0, 0, 1, 1], 3)
    units = resampling.units(np.repeat(np.arange(5), 3), labels, stratify=True)
    weights = whole(units)
    assert weights[labels == 0].sum(axis=0) == pytest.approx(9)
    assert weights[labels == 1].sum(axis=0) == pytest.approx(6)
    assert units.single == ()


def test_a_rare_class_is_in_every_resample_where_groups_mix_classes():
    groups = np.arange(40).repeat(5)
    labels = np.zeros(200, int)
    labels[[0, 5, 10]] = 1  # three of forty groups have one image of it
    weights = whole(resampling.units(groups, labels, stratify=True), 500)
    assert (weights[labels == 1].sum(axis=0) > 0).all()
    weights = whole(resampling.units(groups, labels, stratify=False), 500)
    assert (weights[labels == 1].sum(axis=0) == 0).any()


def test_a_class_of_one_group_is_named_and_its_group_joins_the_largest_stratum():
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    groups = np.array([0, 1, 2, 3, 4, 5, 6, 6])
    units = resampling.units(groups, labels, stratify=True)
    assert units.single == (2,)
    assert units.sizes.tolist() == [5, 2]
    assert resampling.units(groups, labels, stratify=False).single == ()


def test_names_of_images_that_stand_alone_change_nothing():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1], [20, 5]))
    names = np.random.default_rng(1).permutation(25).astype(str)
    alone, named = (resampling.units(groups, labels, stratify=True) for groups in (None, names))
    assert (whole(alone) == whole(named)).all()
    for units in (alone, named):  # what is left out of each class is weighed by the class
        ((_, weights),) = resampling.folds(units, 4, 1, 0)
        assert units.sums(labels[None] * 1.0)[0] @ weights == pytest.approx(5)


def test_equal_seeds_draw_equally_however_many_are_held_at_a_time(monkeypatch):
    labels = np.arange(60) % 3
    units = resampling.units(np.arange(60) // 2, labels, stratify=True)
    weights = whole(units, 50, 7)
    monkeypatch.setattr(resampling, "BLOCK_BYTES", 8 * 60 * 7)
    assert (whole(units, 50, 7) == weights).all()
    assert (whole(units, 50, 8) != weights).any()


def test_folds_have_their_part_of_each_stratum_and_the_others_its_weight():
    labels = np.repeat([0, 1, 2], [30, 2, 8])
    units = resampling.units(None, labels, stratify=True)
    twice = list(resampling.folds(units, 10, 2, 0))
    assert len(twice) == 2
    assert (twice[0][0] != twice[1][0]).any()
    for fold, weights in twice:
        assert np.bincount(fold).tolist() == [4] * 10
        assert np.bincount(fold[labels == 0]).tolist() == [3] * 10
        assert ((weights == 0) == (fold[:, None] == np.arange(10))).all()
        for label in range(3):
            own = labels == label
            assert weights[own].sum(axis=0) == pytest.approx(own.sum())
    again = list(resampling.folds(units, 10, 2, 0))
    assert all((one[0] == other[0]).all() for one, other in zip(twice, again, strict=True))


@pytest.mark.parametrize("count", [3, 30])
def test_the_variance_of_a_mean_is_unbiased_from_few_groups_too(count):
    values = np.random.default_rng(0).normal(size=count)
    units = resampling.units(None, np.zeros(count, int), stratify=False)
    means = values @ whole(units, 20_000) / count
    assert means.var() == pytest.approx(values.var(ddof=1) / count, rel=0.05)


def test_deviations_give_the_covariance_of_cluster_means():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(12), 4)
    values = rng.normal(size=(2, 48)) + rng.normal(size=(2, 12))[:, groups]
    deviations = resampling.units(groups, groups % 2, stratify=True).deviations(values / 48)
    means = values.reshape(2, 12, 4).mean(axis=2)
    assert deviations @ deviations.T == pytest.approx(np.cov(means) / 12)
