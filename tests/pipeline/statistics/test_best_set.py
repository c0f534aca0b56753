"""Who could be the best: equal candidates stay, worse ones go, identical ones change nothing."""

import numpy as np
import pytest
from scipy import stats

from pipeline.statistics import best_set, influence, resampling, scoring


def draw(seed, accuracies, images=400, share=0.5, groups=None):
    """Candidates whose mistakes have much in common, as those of real ones do."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(images) < share).astype(int)
    common = rng.normal(size=images)
    if groups is not None:
        common = rng.normal(size=groups.max() + 1)[groups]
    own = rng.normal(size=(len(accuracies), images))
    margins = stats.norm.ppf(accuracies)[:, None] + 0.8 * common + 0.6 * own
    ones = 1 / (1 + np.exp(-margins * (2 * labels - 1)))
    return labels, list(np.stack([1 - ones, ones], axis=2))


def could(metric, labels, probabilities, groups=None):
    units = resampling.units(groups, labels, metric in scoring.CLASS_WISE)
    measured = influence.measure(metric, labels, probabilities)
    return best_set.could_be_best(measured, units)


def chance(metric, labels, probabilities, groups=None):
    units = resampling.units(groups, labels, metric in scoring.CLASS_WISE)
    measured = influence.measure(metric, labels, probabilities)
    return best_set.better_than_chance(measured, labels, 2, units)


@pytest.mark.parametrize("metric", scoring.RANKING_METRICS)
def test_the_leader_is_in_and_a_clearly_worse_one_is_out(metric):
    labels, values = draw(0, [0.7, 0.9, 0.9])
    p = could(metric, labels, values)
    scores = [scoring.goodness(metric, scoring.score(metric, labels, given)) for given in values]
    assert p[np.argmax(scores)] >= 0.5
    assert p[0] < 0.05
    assert ((p > 0) & (p <= 1)).all()


def test_identical_candidates_change_nothing():
    labels, values = draw(1, [0.86, 0.9])
    p = could("accuracy", labels, values)
    again = could("accuracy", labels, [values[0], values[0], values[1], values[1], values[0]])
    assert again == pytest.approx(p[[0, 0, 1, 1, 0]], abs=0.02)
    assert could("macro_f1", labels, [values[0]] * 3).min() > 0.5
    assert could("accuracy", labels, values[:1]).tolist() == [1.0]


def test_two_candidates_are_told_apart_as_by_the_paired_t_test():
    labels, values = draw(2, [0.84, 0.88], images=1000)
    right = np.stack([given.argmax(axis=1) == labels for given in values]).astype(float)
    expected = stats.ttest_rel(right[1], right[0], alternative="greater").pvalue
    assert could("accuracy", labels, values)[0] == pytest.approx(expected, abs=0.01)


def test_a_difference_that_two_images_make_is_not_sure():
    labels = np.arange(20) % 2
    wrong = np.eye(2)[labels]
    wrong[:2] = wrong[:2, ::-1]
    assert could("accuracy", labels, [np.eye(2)[labels], wrong])[1] >= 0.05


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
@pytest.mark.parametrize("images, sure", [(4, False), (40, True)])
def test_always_right_against_a_single_class_is_sure_with_enough_images(metric, images, sure):
    labels = np.arange(images) % 2  # no image varies: each candidate is right on all of a class
    values = [np.tile([1.0, 0.0], (images, 1)), np.eye(2)[labels]]
    assert (could(metric, labels, values) >= 0.05).tolist() == [not sure, True]
    assert (chance(metric, labels, values) < 0.05).tolist() == [False, sure]


def test_groups_count_once():
    groups = np.repeat(np.arange(8), 50)
    labels, values = draw(3, [0.8, 0.8], groups=groups)
    values[1][groups < 3] = np.eye(2)[labels][groups < 3]  # three patients make the difference
    assert could("accuracy", labels, values)[0] < 0.01
    assert could("accuracy", labels, values, groups)[0] >= 0.05


def test_it_is_the_metric_that_ranks_that_decides():
    rng = np.random.default_rng(0)
    labels = (np.arange(600) % 15 == 0).astype(int)
    never = np.tile([0.9, 0.1], (600, 1))  # predicts no positive at all
    finds = np.where(rng.random(600) < 0.93, labels, 1 - labels)
    values = [never, np.eye(2)[finds]]
    assert (could("accuracy", labels, values) >= 0.05).all()
    assert could("macro_f1", labels, values)[0] < 0.05
    assert could("balanced_accuracy", labels, values)[0] < 0.05
    p = chance("balanced_accuracy", labels, values)
    assert p[0] > 0.05 > p[1]


@pytest.mark.parametrize("accuracies", [[0.85] * 2, [0.85] * 12])
def test_a_best_candidate_is_in_the_set_in_95_of_100_data_sets(accuracies, monkeypatch):
    monkeypatch.setattr(best_set, "DRAWS", 1000)
    kept = [
        could("macro_f1", *draw(seed, accuracies, images=150, share=0.2))[0] >= 0.05
        for seed in range(200)
    ]
    assert np.mean(kept) >= 0.92  # of 95, by three standard errors


@pytest.mark.parametrize("metric", scoring.RANKING_METRICS)
def test_nobody_knows_more_than_frequencies_when_labels_are_permuted(metric, monkeypatch):
    monkeypatch.setattr(best_set, "DRAWS", 1000)
    wrong = 0
    for seed in range(150):
        labels, values = draw(seed, [0.9] * 6, images=120, share=0.25)
        mixed = np.random.default_rng(seed).permutation(labels)
        wrong += (chance(metric, mixed, values) < 0.05).any()
    assert wrong / 150 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)
    assert (chance(metric, labels, values) < 0.05).all()  # before they were
