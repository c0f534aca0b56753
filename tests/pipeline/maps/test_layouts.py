"""t-SNE and UMAP keep neighbours, equally for equal seeds; too few points are refused."""

import sys

import numpy as np
import pytest

from features.errors import DataError, MissingPackageError, UsageError
from pipeline.maps import layouts
from pipeline.maps.quality import measure
from pipeline.maps.reduction import principal
from tests.pipeline.featurefiles import clusters


@pytest.fixture(scope="module")
def scores():
    x, _ = clusters(200, dimensions=20, classes=4)
    return principal(x, 10, 0).scores


def laid_out(scores, method="tsne", seed=0):
    told = []
    return layouts.METHODS[method](scores, 15, seed, told.append), told


def test_tsne_keeps_neighbours_and_tells_how_far_it_is(scores):
    found, told = laid_out(scores)
    assert found.shape == (200, 2)
    assert told == list(range(10, 751, 10))
    _, labels = clusters(200, dimensions=20, classes=4)
    _, quality = measure(scores, {"t-SNE": found}, labels, 0)
    assert quality.accuracy > 0.95
    assert quality.trustworthiness > 0.9


def test_equal_seeds_give_equal_coordinates_whatever_the_number_of_threads(scores, monkeypatch):
    monkeypatch.setattr(layouts, "EARLY", 30)
    monkeypatch.setattr(layouts, "LATE", 30)
    one, _ = laid_out(scores)
    again, _ = laid_out(scores)
    monkeypatch.setattr(layouts, "MANY", 100)
    several, _ = laid_out(scores)
    assert np.array_equal(one, again)
    assert np.array_equal(one, several)


def test_neighbours_that_are_searched_give_much_the_same(scores, monkeypatch):
    monkeypatch.setattr(layouts, "EXACT", 100)
    found, _ = laid_out(scores)
    _, labels = clusters(200, dimensions=20, classes=4)
    _, quality = measure(scores, {"t-SNE": found}, labels, 0)
    assert quality.accuracy > 0.95


def test_one_component(monkeypatch):
    monkeypatch.setattr(layouts, "LATE", 20)
    line = np.linspace(0, 1, 40, dtype=np.float32)[:, None]
    assert np.isfinite(layouts.tsne(line, 10, 1, print)).all()


def test_equal_points_are_refused():
    with pytest.raises(DataError, match="all images have the same features"):
        layouts.tsne(np.zeros((40, 3), np.float32), 10, 1, print)


@pytest.mark.parametrize("perplexity, count", [(30, 90), (0.5, 90), (1, 3), (float("nan"), 90)])
def test_perplexities_that_cannot_be(perplexity, count):
    with pytest.raises(UsageError, match=r"perplexity .* with \d+ images: expected"):
        layouts.check_perplexity(perplexity, count)
    layouts.check_perplexity(29, 90)


def test_umap_says_how_it_is_had(scores, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingPackageError, match=r'pip install "offshelf\[umap\]"'):
        laid_out(scores, "umap")


def test_umap(scores):
    pytest.importorskip("umap")
    found, told = laid_out(scores, "umap")
    again, _ = laid_out(scores, "umap")
    assert np.array_equal(found, again)
    assert told[-1] == layouts.EARLY + layouts.LATE
    _, labels = clusters(200, dimensions=20, classes=4)
    _, quality = measure(scores, {"UMAP": found}, labels, 0)
    assert quality.accuracy > 0.95


@pytest.mark.parametrize(("count", "expected"), [(20, 6), (4, 1), (91, 30), (10_000, 30), (2, 1)])
def test_the_default_perplexity_shrinks_with_few_points(count, expected):
    assert layouts.default_perplexity(count) == expected
    if count >= 4:
        layouts.check_perplexity(expected, count)
