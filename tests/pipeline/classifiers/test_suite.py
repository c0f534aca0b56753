"""The suite: every classifier learns, is repeatable, and has settings that can be set."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from features.errors import MissingPackageError, UsageError
from pipeline.classifiers import SUITE, find
from pipeline.classifiers.base import Task, probabilities
from pipeline.reports.classifiers import text
from pipeline.stages.classifiers import run

ALL = [classifier for member in SUITE for classifier in (member, *member.fallbacks)]
LEARNERS = [classifier for classifier in ALL if classifier.name != "dummy"]


def name(classifier):
    return classifier.name


def clusters(classes, rows=240, seed=0):
    """Clusters that anything can tell apart: float32 (rows, 12), int32 (rows,)."""
    rng = np.random.default_rng(seed)
    centres = np.eye(12, dtype=np.float32)[:classes] * 100 + 50
    y = rng.permutation(np.arange(rows, dtype=np.int32) % classes)
    return (centres[y] + rng.normal(scale=12, size=(rows, 12))).astype(np.float32), y


def fitted(classifier, x, y, seed=0):
    task = Task(len(x), x.shape[1], int(y.max()) + 1, seed)
    model = classifier.build(task).set_params(**classifier.default)
    if "boosting" in classifier.name:
        model.set_params(model__max_iter=40)
    quick = {"n_estimators": 40, "epochs": 20, "hidden": (32,), "batch_size": 32}
    known = model[-1].get_params()
    return model.set_params(
        **{f"model__{key}": value for key, value in quick.items() if key in known}
    ).fit(x, y)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("classifier", LEARNERS, ids=name)
def test_clusters_are_told_apart(classifier, classes):
    x, y = clusters(classes)
    chances = probabilities(fitted(classifier, x[:160], y[:160]), x[160:], classes)
    assert chances.shape == (80, classes)
    assert chances.dtype == np.float32
    assert np.allclose(chances.sum(axis=1), 1, atol=1e-5)
    assert (chances >= 0).all()
    assert (chances.argmax(axis=1) == y[160:]).mean() > 0.9


@pytest.mark.parametrize("classifier", LEARNERS, ids=name)
def test_nothing_is_learned_from_permuted_labels(classifier):
    x, y = clusters(2, rows=480)
    y = np.random.default_rng(1).permutation(y)
    chances = probabilities(fitted(classifier, x[:160], y[:160]), x[160:], 2)
    assert 0.38 < (chances.argmax(axis=1) == y[160:]).mean() < 0.62


@pytest.mark.parametrize("classifier", ALL, ids=name)
def test_a_seed_decides_everything(classifier):
    x, y = clusters(3, rows=120)
    first, second = (probabilities(fitted(classifier, x, y, seed=5), x, 3) for _ in range(2))
    assert np.array_equal(first, second)


def test_the_dummy_gives_class_frequencies():
    x, y = clusters(2)
    y[:] = np.arange(240) % 4 == 0
    assert np.allclose(probabilities(fitted(find("dummy"), x, y), x, 2), [0.75, 0.25])


@pytest.mark.parametrize("classifier", ALL, ids=name)
def test_every_setting_can_be_set(classifier):
    model = classifier.build(Task(100, 12, 3, 0))
    assert classifier.default in classifier.space
    assert model.steps[-1][0] == "model"
    for setting in classifier.space:
        model.set_params(**setting)
        assert setting.items() <= model.get_params().items()


@pytest.mark.parametrize("classifier", [c for c in ALL if c.ordered], ids=name)
def test_paths_start_where_they_ended(classifier):
    x, y = clusters(3)
    model = classifier.build(Task(len(x), 12, 3, 0)).set_params(model__warm_start=True)
    cold = model.set_params(model__C=1.0).fit(x, y)[-1].n_iter_
    assert model.fit(x, y)[-1].n_iter_ < cold


@pytest.mark.parametrize("classifier", [c for c in ALL if c.path], ids=name)
def test_a_path_gives_what_each_fit_would(classifier):
    x, y = clusters(3)
    x, queries = x[:160], np.concatenate([x[160:], x[:5]])
    task = Task(len(x), 12, 3, 0)
    values = list(classifier.path(classifier.build(task), classifier.space, x, y[:160], queries))
    assert len(values) == len(classifier.space)
    for setting, chances in zip(classifier.space, values, strict=True):
        model = classifier.build(task).set_params(**setting).fit(x, y[:160])
        assert np.allclose(chances, probabilities(model, queries, 3), atol=1e-6)
        assert chances.dtype == np.float32


@pytest.mark.parametrize("factor", [1e-30, 1e-8, 1e30])
@pytest.mark.parametrize("classifier", LEARNERS, ids=name)
def test_features_of_any_scale_and_constant_ones_are_learned_from(classifier, factor):
    x, y = clusters(3)
    x[:, [0, 11]] = x[0, 11]  # a class that is seen by its other features, and a constant
    x *= np.float32(factor / 100)
    chances = probabilities(fitted(classifier, x[:160], y[:160]), x[160:], 3)
    assert np.isfinite(chances).all()
    assert (chances.argmax(axis=1) == y[160:]).mean() > 0.9


@pytest.mark.parametrize("classifier", [c for c in ALL if c.class_weight], ids=name)
def test_balanced_class_weights_find_more_of_a_rare_class(classifier):
    rng = np.random.default_rng(0)
    y = (np.arange(800) % 16 == 0).astype(np.int32)
    x = (rng.normal(size=(800, 12)) + 1.2 * y[:, None] * (np.arange(12) < 2)).astype(np.float32)
    weighted = classifier.with_class_weights()
    assert len(weighted.space) == 2 * len(classifier.space)
    setting = weighted.default | {"model__class_weight": "balanced"}
    if "trees" in classifier.name or "forest" in classifier.name:
        setting |= {"model__min_samples_leaf": 20}
    plain, balanced = (
        fitted(replace(classifier, default=default), x, y)
        for default in (setting | {"model__class_weight": None}, setting)
    )
    found = [(model.predict(x)[y == 1] == 1).mean() for model in (plain, balanced)]
    assert found[1] > found[0] + 0.2


def test_only_what_has_no_class_weights_goes_without():
    unweighted = {classifier.name for classifier in ALL if not classifier.class_weight}
    assert unweighted == {"knn-cosine", "knn-euclidean", "nearest-centroid", "dummy"}


def test_spaces_are_cut_to_the_rows():
    knn = find("knn-cosine").cut_to(12)
    assert [setting["model__n_neighbors"] for setting in knn.space] == [10, 5, 3, 1]
    assert knn.default == {"model__n_neighbors": 10}
    assert find("knn-euclidean").cut_to(4).default == {"model__n_neighbors": 3}
    assert find("ridge").cut_to(1) is find("ridge")
    assert find("knn-cosine").cut_to(50).space == find("knn-cosine").space


def test_fallbacks_are_known_by_name_and_a_wrong_name_is_an_error():
    assert find("rbf-svm-nystroem") in find("rbf-svm").fallbacks
    assert len({classifier.name for classifier in ALL}) == len(ALL)
    with pytest.raises(UsageError, match="'linear-smv'; did you mean linear-svm"):
        find("linear-smv")


def test_without_keras_the_dense_head_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(MissingPackageError, match="pip install tensorflow"):
        find("dense-head").build(Task(10, 2, 2, 0))


def test_the_registry_is_light():
    code = "import sys, pipeline.classifiers; print({'sklearn', 'keras', 'scipy'} & {*sys.modules})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "set()\n"


def test_the_overview_names_all():
    lines = text(run()).splitlines()
    assert [line.split()[0] for line in lines[2 : 2 + len(ALL)]] == [
        classifier.name for classifier in ALL
    ]
    assert "C 0.01 to 1000" in text(run())
