"""The corrected score of the best of many: without the luck of having been chosen."""

import numpy as np
import pytest

from pipeline.statistics import influence, resampling, selection
from pipeline.statistics.selection import Selected


def corrected(labels, predicted, groups=None, metric="accuracy", resamples=200, seed=0):
    units = resampling.units(groups, labels, metric != "accuracy")
    measured = influence.measure_labels(metric, labels, predicted, 2)
    return selection.corrected(measured, units, resamples, 0.95, seed)


def test_it_chooses_on_some_and_scores_on_the_others_as_by_loops():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    predicted = np.where(rng.random((15, 60)) < 0.7, labels, 1 - labels)
    units = resampling.units(None, labels, stratify=False)
    right, scores = predicted == labels, []
    for fold, _ in resampling.folds(units, selection.FOLDS, 16, 3):
        for number in range(selection.FOLDS):
            best = np.argmax(right[:, fold != number].sum(axis=1))
            scores.append(right[best][fold == number].mean())
    found = corrected(labels, predicted, resamples=50, seed=3)
    assert found.value == pytest.approx(np.mean(scores))
    assert found.naive == right.mean(axis=1).max()
    assert found.chosen == right.mean(axis=1).argmax()


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "macro_f1"])
@pytest.mark.parametrize("per_group", [1, 10])
def test_the_best_of_many_that_know_nothing_is_not_promising(metric, per_group):
    naive, value, covered = [], [], 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        labels = np.repeat(rng.permutation(100) % 2, per_group)
        groups = np.arange(100).repeat(per_group)
        predicted = rng.integers(0, 2, (30, 100)).repeat(per_group, axis=1)
        found = corrected(labels, predicted, groups, metric)
        naive.append(found.naive)
        value.append(found.value)
        covered += found.low <= 0.5 <= found.high
    assert np.mean(naive) > 0.58
    assert np.mean(value) == pytest.approx(0.5, abs=0.015)
    assert covered >= 55


def test_of_many_groups_fewer_divisions_tell_the_same(monkeypatch):
    rng, drawn, folds = np.random.default_rng(0), [], resampling.folds
    labels = rng.integers(0, 2, 4000)
    predicted = np.where(rng.random((15, 4000)) < 0.7, labels, 1 - labels)

    def counted(units, count, repeats, seed):
        drawn.append(repeats)
        return folds(units, count, repeats, seed)

    monkeypatch.setattr(resampling, "folds", counted)
    many = corrected(labels, predicted, resamples=600)
    monkeypatch.setattr(selection, "_DRAWN", 4000 * 40)
    few = corrected(labels, predicted, resamples=600)
    assert drawn == [200, 40]
    assert few.value == pytest.approx(many.value, abs=0.002)
    assert few.high - few.low == pytest.approx(many.high - many.low, rel=0.15)


def test_a_single_setting_has_nothing_to_correct():
    labels = np.arange(200) % 2
    predicted = np.where(np.arange(200) % 7 == 0, 1 - labels, labels)[None]
    found = corrected(labels, predicted)
    assert found.value == pytest.approx(found.naive)
    assert found.low < found.value < found.high


def test_losses_are_chosen_and_corrected_too():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 100)
    values = [np.full((100, 2), 0.5) + rng.normal(0, 0.1, (100, 1)) * [1, -1] for _ in range(20)]
    measured = influence.measure("log_loss", labels, values)
    units = resampling.units(None, labels, stratify=False)
    found = selection.corrected(measured, units, 300, 0.95, 0)
    assert found.naive == measured.scores.min()
    assert found.naive < found.value
    assert 0 <= found.low < found.value < found.high


def test_one_group_leaves_nothing_out():
    labels = np.arange(10) % 2
    found = corrected(labels, labels[None], np.zeros(10, int))
    assert np.isnan([found.low, found.high]).all()


def test_few_groups_are_each_left_out_once():
    labels = np.arange(40) % 2
    groups = np.arange(40) // 10
    predicted = np.where(groups == 0, 1 - labels, labels)[None]
    found = corrected(labels, predicted, groups)
    assert found.value == pytest.approx(0.75)


def test_what_is_expected_is_no_better_than_the_score_that_is_shown():
    selected = Selected(3, naive=0.83, value=0.825, low=0.80, high=0.85)
    shown = selected.at_most(0.818, "accuracy")
    assert shown.naive == 0.818
    assert [round(v, 6) for v in (shown.value, shown.low, shown.high)] == [0.818, 0.793, 0.843]
    assert selected.at_most(0.828, "accuracy").value == 0.825
    loss = selected.at_most(0.9, "log_loss")
    assert [round(v, 6) for v in (loss.value, loss.low, loss.high)] == [0.9, 0.875, 0.925]
    assert selected.at_most(0.7, "log_loss").value == 0.825
    assert np.isnan(Selected(0, 1.0, 1.0, np.nan, np.nan).at_most(0.9, "accuracy").low)
