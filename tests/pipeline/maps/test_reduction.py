"""Principal components in blocks are those that scikit-learn finds in one piece."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from pipeline.maps import reduction
from pipeline.maps.reduction import principal


@pytest.mark.parametrize("values", [2**23, 700])  # in one block, and in many
def test_they_are_those_of_scikit_learn(values, monkeypatch):
    monkeypatch.setattr(reduction, "_VALUES", values)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 40)) * np.geomspace(10, 0.1, 40) + 5
    x = (x @ np.linalg.qr(rng.normal(size=(40, 40)))[0]).astype(np.float32)
    found = principal(x, 6, seed=0)
    pca = PCA(6, svd_solver="full").fit(x)
    expected = pca.transform(x)
    signs = np.sign((found.scores * expected).sum(axis=0))
    assert found.scores.dtype == np.float32
    assert np.allclose(found.scores * signs, expected, atol=2e-3 * expected.std(axis=0)[0])
    assert found.share == pytest.approx(pca.explained_variance_ratio_.sum(), abs=1e-4)


def test_signs_are_no_matter_of_the_seed():
    x = np.random.default_rng(1).gamma(1, size=(200, 12)).astype(np.float32)
    x *= np.geomspace(8, 0.5, 12, dtype=np.float32)
    one, other = (principal(x, 4, seed).scores for seed in (0, 1))
    assert np.allclose(one, other, atol=0.05)


def test_the_number_of_threads_makes_no_difference():
    x = np.random.default_rng(2).gamma(1, size=(2000, 300)).astype(np.float32)
    with threadpool_limits(1):
        one = principal(x, 20, 0).scores
    with threadpool_limits(2):
        assert np.array_equal(principal(x, 20, 0).scores, one)


@pytest.mark.parametrize("shape, width", [((4, 100), 3), ((50, 2), 2), ((2, 1), 1)])
def test_there_are_no_more_than_the_data_have(shape, width):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = principal(x, 50, 0)
    assert found.scores.shape == (shape[0], width)
    assert found.share == pytest.approx(1, abs=1e-3)


def test_equal_rows_have_no_variance():
    found = principal(np.ones((10, 5), np.float32), 3, 0)
    assert not found.scores.any()
