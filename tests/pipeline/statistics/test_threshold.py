"""The chosen threshold is the best of all by plain search, and 0.5 where that is as good."""

import numpy as np
import pytest
from sklearn import metrics as reference

from pipeline.statistics import metrics, threshold


def draw(seed, images=80, share=0.2):
    rng = np.random.default_rng(seed)
    labels = (rng.random(images) < share).astype(int)
    return labels, np.clip(rng.normal(0.3, 0.15, images) + 0.2 * labels, 0, 1).round(2)


REFERENCE = {
    "accuracy": reference.accuracy_score,
    "balanced_accuracy": reference.balanced_accuracy_score,
    "macro_f1": lambda labels, predicted: reference.f1_score(
        labels, predicted, average="macro", labels=np.unique([labels, predicted]), zero_division=0
    ),
}


@pytest.mark.parametrize("metric", metrics.METRICS)
@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_scores_better(metric, seed):
    labels, values = draw(seed)
    found = threshold.choose(metric, labels, values)
    score = REFERENCE[metric]
    predicted = threshold.apply(values, found.value)
    assert found.score == pytest.approx(score(labels, predicted))
    assert found.usual == pytest.approx(score(labels, threshold.apply(values, 0.5)))
    every = np.linspace(0, 1.005, 202)
    scores = np.array([score(labels, threshold.apply(values, at)) for at in every])
    assert found.score == pytest.approx(scores.max())
    equal = every[scores >= scores.max() - 1e-12]
    assert abs(found.value - 0.5) <= np.abs(equal - 0.5).min() + 0.011


def test_the_usual_threshold_wins_ties():
    labels, values = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    assert threshold.choose("macro_f1", labels, values).value == 0.5
    labels, values = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4])
    found = threshold.choose("balanced_accuracy", labels, values)
    assert (found.value, found.score, found.usual) == (0.25, 1.0, 0.5)


def test_a_cross_fitted_threshold_promises_no_more_than_it_keeps():
    gaps = []
    for seed in range(100):
        labels, values = np.arange(60) % 2, np.random.default_rng(seed).random(60)  # known nothing
        promise = threshold.choose("accuracy", labels, values).score
        (predicted,) = threshold.cross_fitted("accuracy", labels, values[None], np.arange(60), seed)
        gaps.append((promise - 0.5, (predicted == labels).mean() - 0.5))
    promised, kept = np.mean(gaps, axis=0)
    assert promised > 0.06
    assert abs(kept) < 0.03


def test_groups_are_judged_whole_by_the_thresholds_of_others():
    """A group whose scores lie elsewhere is judged by what is right for the others."""
    labels, values = np.tile([0, 1], 30), np.tile([0.2, 0.3], 30)
    groups = np.repeat(np.arange(6), 10)
    (predicted,) = threshold.cross_fitted("accuracy", labels, values[None], groups, 0)
    assert (predicted == labels).all()
    values[groups == 2] += 0.4
    (predicted,) = threshold.cross_fitted("accuracy", labels, values[None], groups, 0)
    assert (predicted[groups == 2] == 1).all()


def test_every_fold_has_its_share_of_the_rare_class():
    labels = (np.arange(100) < 5).astype(int)  # one for each fold
    values = np.where(labels, 0.3, 0.1) + 0.01 * np.random.default_rng(0).random(100)
    for seed in range(5):
        predicted = threshold.cross_fitted(
            "macro_f1", labels, np.stack([values, values]), np.arange(100), seed
        )
        assert predicted.shape == (2, 100)
        assert (predicted == labels).all()
