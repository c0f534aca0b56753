"""The search: which settings it tries, which it chooses, and that it fits training rows alone."""

import dataclasses
import math
import time

import numpy as np
import pytest

from pipeline.classifiers import SUITE, find
from pipeline.classifiers.base import Task, probabilities
from pipeline.data.splits import TEST, Splits
from pipeline.search import tuning
from pipeline.search.tuning import Clock, Examples, search
from pipeline.statistics import scoring
from tests.pipeline.featurefiles import clusters

FAST = ("linear-svm", "logistic", "rbf-svm", "rbf-svm-nystroem", "knn-cosine", "knn-euclidean",
        "ridge", "lda", "nearest-centroid", "extra-trees", "dummy")  # fmt: skip


def examples(
    count=240, folds=1, repeats=1, *, permuted=False, classes=3, share=1.0, seed=0, **data
):
    x, labels = clusters(count, classes=classes, seed=seed, **data)
    rng = np.random.default_rng(seed)
    if permuted:
        labels = rng.permutation(labels)
    if folds == 1:
        assignment = (rng.permutation(count) % 5 > 0).astype(np.int16)[None]
    else:
        shuffles = [rng.permutation(count) % folds for _ in range(repeats)]
        assignment = np.stack(shuffles).astype(np.int16)
    ids = tuple(map(str, range(count)))
    names = tuple(f"class {label}" for label in range(classes))
    return Examples(x, Splits(ids, labels, names, assignment, folds, "", seed), share, seed)


def run(name, given, clock=None, space=None, metric="accuracy"):
    classifier = find(name)
    return search(classifier, space or classifier.space, given, metric, clock or Clock())


@pytest.mark.parametrize("name", FAST)
def test_every_setting_scores_as_if_it_were_fitted_alone(name):
    given, classifier = examples(spread=3.0), find(name)
    result = run(name, given)
    ((train, rows),) = given.splits.rounds()
    y = given.splits.labels
    for trial in result.trials:
        task = Task(len(train), given.x.shape[1], 3, 0)
        model = classifier.build(task).set_params(**trial.setting).fit(given.x[train], y[train])
        alone = scoring.score("accuracy", y[rows], probabilities(model, given.x[rows], 3))
        assert trial.score == pytest.approx(alone, abs=2.01 / len(rows))


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("folds", [1, 3])
def test_permuted_labels_leave_only_chance(name, folds):
    """With more features than rows, any look at a validation row would show."""
    scores = [
        max(trial.score for trial in run(name, examples(
            150, folds, permuted=True, dimensions=200, classes=2, seed=seed)).trials)
        for seed in range(4)
    ]  # fmt: skip
    assert np.mean(scores) < 0.68  # chance is 0.5; the best of nine settings is a little luckier


@pytest.mark.parametrize("name", ["logistic", "extra-trees", "knn-cosine"])
def test_the_chosen_setting_is_the_best_and_its_probabilities_are_given(name):
    given = examples(spread=3.0)
    result = run(name, given)
    truth = given.splits.labels[given.splits.validated]
    best = max(trial.score for trial in result.trials)
    assert scoring.score("accuracy", truth, result.probabilities[0]) == pytest.approx(best)
    assert result.setting in [trial.setting for trial in result.trials if trial.score == best]
    assert result.probabilities.shape == (1, len(truth), 3)
    assert np.allclose(result.probabilities.sum(axis=2), 1, atol=1e-5)
    assert result.tried.predicted.dtype == np.uint8
    right = (result.tried.predicted == truth).mean(axis=1)
    assert right.tolist() == pytest.approx(result.tried.scores.tolist())
    assert result.tried.scores.tolist() == [trial.score for trial in result.trials]


def test_a_loss_is_kept_as_it_is_and_the_lowest_one_is_chosen():
    given = examples(spread=3.0)
    result = run("knn-cosine", given, metric="log_loss")
    losses = [trial.score for trial in result.trials]
    truth = given.splits.labels[given.splits.validated]
    assert min(losses) == pytest.approx(scoring.score("log_loss", truth, result.probabilities[0]))
    assert 0 < min(losses) < max(losses)
    assert sorted(result.tried.scores.tolist()) == sorted(losses)


def test_a_path_ends_when_scores_keep_falling():
    scores = iter([0.5, 0.9, 0.8, 0.7, 0.99])

    def path(model, settings, x, y, unseen):
        for _ in settings:
            hits = round(next(scores) * len(unseen))
            guess = np.where(np.arange(len(unseen)) < hits, truth, (truth + 1) % 3)
            yield np.eye(3)[guess]

    given = examples()
    truth = given.splits.labels[next(given.splits.rounds())[1]]
    falling = dataclasses.replace(find("logistic"), path=path)
    space = tuple({"model__C": float(c)} for c in range(1, 6))
    result = search(falling, space, given, "accuracy", Clock())
    assert len(result.trials) == 4
    assert result.setting == {"model__C": 2.0}


def test_each_class_weight_has_a_path_of_its_own():
    given = examples(spread=3.0)
    plain = find("logistic")
    both = run("logistic", given, space=plain.with_class_weights().space)
    alone = run("logistic", given, space=plain.space)
    weights = [trial.setting.get("model__class_weight") for trial in both.trials]
    count = len(alone.trials)
    assert weights[:count] == [None] * count
    assert set(weights[count:]) == {"balanced"}
    assert [t.setting for t in both.trials[:count]] == [t.setting for t in alone.trials]
    assert len(both.trials) >= 2 * count - 2


def test_halving_narrows_a_grid_on_growing_shares_of_rows(monkeypatch):
    monkeypatch.setattr(tuning, "FEW_ROWS", 50)
    result = run("rbf-svm", examples(540, spread=3.0))
    rows = [trial.rows for trial in result.trials]
    sizes = sorted(set(rows))
    assert [rows.count(size) for size in sizes] == [9, 3, 1]
    assert sizes[0] == pytest.approx(432 / 9, abs=3)
    assert sizes[2] == 432
    assert result.trials[-1].setting == result.setting
    assert result.tried.scores.tolist() == [result.trials[-1].score]  # on all rows


def test_small_subsets_lie_in_larger_ones_and_keep_the_proportions_of_classes():
    given = examples(600)
    rows = given.splits.rest
    few, more = given.subset(rows, 0.1), given.subset(rows, 0.4)
    assert set(few) < set(more) < set(rows)
    assert np.bincount(given.splits.labels[few]).tolist() == [20, 20, 20]
    assert np.all(np.diff(few) > 0)
    assert len(dataclasses.replace(given, share=0.5).subset(rows)) == 300


def test_without_time_one_setting_is_tried_on_all_rows(monkeypatch):
    monkeypatch.setattr(tuning, "FEW_ROWS", 50)
    for name in ("rbf-svm", "logistic", "ridge"):
        result = run(name, examples(540, spread=3.0), Clock(time.monotonic()))
        assert result.stopped_early
        assert len({trial.rows for trial in result.trials}) == len(result.trials) <= 2
        assert result.trials[-1].rows == 432


def test_repeats_are_kept_apart():
    given = examples(120, 3, 2, spread=3.0)
    result = run("nearest-centroid", given)
    first = dataclasses.replace(given.splits, folds=given.splits.folds[:1])
    second = dataclasses.replace(given.splits, folds=given.splits.folds[1:])
    repeats = [
        run("nearest-centroid", dataclasses.replace(given, splits=splits)).probabilities
        for splits in (first, second)
    ]
    assert np.array_equal(result.probabilities, np.concatenate(repeats))
    assert not np.array_equal(*result.probabilities)


def test_locked_images_are_never_read():
    given = examples(300)
    folds = given.splits.folds.copy()
    folds[:, :60] = TEST
    x = given.x.copy()
    x[:60] = np.nan  # would make any fit, scaling or prediction fail
    splits = dataclasses.replace(given.splits, folds=folds)
    for name in FAST:
        result = run(name, dataclasses.replace(given, x=x, splits=splits))
        assert np.isfinite(result.probabilities).all()


@pytest.mark.parametrize("classifier", [classifier for classifier in SUITE if classifier.name != "dummy"],
                         ids=lambda classifier: classifier.name)  # fmt: skip
def test_costs_count_the_settings_that_are_tried(classifier):
    settings = len(classifier.space)
    few, many = (tuning.cost(classifier, settings, rows) for rows in (100, 100_000))
    assert many <= few
    assert few == (1 if classifier.path else settings)
    assert math.isclose(tuning.cost(classifier, 1, 100_000), 1)
