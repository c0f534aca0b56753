"""The quality of a map is what scikit-learn finds over all points."""

import numpy as np
import pytest
from sklearn.manifold import trustworthiness
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from pipeline.maps import quality
from pipeline.maps.quality import measure
from tests.pipeline.featurefiles import clusters


def maps(x):
    rng = np.random.default_rng(0)
    return {"good": x[:, :2] + 0, "noise": rng.normal(size=(len(x), 2))}


def test_trustworthiness_over_all_points_is_scikit_learns():
    x, labels = clusters(150, spread=1.5)
    features, good, noise = measure(x, maps(x), labels, 0)
    for found, points in zip((good, noise), maps(x).values(), strict=True):
        expected = trustworthiness(x, points, n_neighbors=10)
        assert found.trustworthiness == pytest.approx(expected, abs=1e-9)
    assert features.trustworthiness is None
    assert (features.title, good.title, noise.title) == ("features", "good", "noise")
    assert 0.4 < noise.trustworthiness < 0.6 < good.trustworthiness


def test_accuracy_over_all_points_is_leave_one_out():
    x, labels = clusters(151, spread=2.5)
    found = measure(x, maps(x), labels, 0)
    for one, points in zip(found, (x, *maps(x).values()), strict=True):
        knn = KNeighborsClassifier(10, algorithm="brute")
        expected = cross_val_score(knn, points, labels, cv=LeaveOneOut()).mean()
        assert one.accuracy == pytest.approx(expected, abs=1e-9)


def test_a_sample_is_close_to_all(monkeypatch):
    x, labels = clusters(1200, spread=2)
    whole = measure(x, maps(x), labels, 0)
    monkeypatch.setattr(quality, "SAMPLE", 400)
    monkeypatch.setattr(quality, "_BATCH", 64)
    for one, other in zip(measure(x, maps(x), labels, 0), whole, strict=True):
        assert one.accuracy == pytest.approx(other.accuracy, abs=0.06)
        assert (one.trustworthiness or 0) == pytest.approx(other.trustworthiness or 0, abs=0.02)


def test_hidden_classes_neither_vote_nor_are_judged():
    x, labels = clusters(200, spread=0.5)
    hidden = labels.copy()
    hidden[::2] = -1
    wrong = np.where(hidden < 0, (labels + 1) % 3, labels)
    found = measure(x, maps(x), hidden, 0)
    assert found[0].accuracy == 1
    assert measure(x, maps(x), wrong, 0)[0].accuracy < 0.8


@pytest.mark.parametrize("known", [0, 5])
def test_without_classes_there_is_no_accuracy(known):
    x, labels = clusters(60)
    labels[known:] = -1
    found = measure(x, maps(x), labels, 0)
    assert [one.accuracy for one in found] == [None] * 3
    assert found[1].trustworthiness > found[2].trustworthiness


def test_points_at_one_place():
    x, labels = clusters(40)
    (_, flat) = measure(x, {"flat": np.zeros((40, 2))}, labels, 0)
    assert 0 <= flat.trustworthiness <= 1


def test_very_few_points():
    x, labels = clusters(4)
    assert len(measure(x, maps(x), labels, 0)) == 3
