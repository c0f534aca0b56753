"""The search for neighbours finds what comparing all pairs finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import neighbours
from pipeline.data.neighbours import Search


def near_duplicates(count, features, noise, seed):
    """Rows of which the second half are the first half with noise: float32 (2 count, features)."""
    rng = np.random.default_rng(seed)
    first = rng.normal(3, 1, (count, features)) * rng.gamma(1, 1, features)
    return np.concatenate([first, first + noise * rng.normal(size=first.shape)]).astype(np.float32)


def all_cosines(x, learned):
    centred = x.astype(np.float64) - x[learned].mean(axis=0, dtype=np.float64)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    return centred @ centred.T


def found(search, rows, columns, least=0.9, most=1000):
    batches = list(search.pairs(rows, columns, least, most))
    pairs = {
        (first, second): cosine
        for batch in batches
        for first, second, cosine in zip(*(column.tolist() for column in batch[:3]), strict=True)
    }
    return pairs, sum(batch.cut for batch in batches)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(2, 60), st.integers(2, 150), st.sampled_from([0.01, 0.2, 0.5]), st.integers(0, 9)
)
def test_it_finds_exactly_the_pairs_that_are_similar_enough(count, features, noise, seed):
    x = near_duplicates(count, features, noise, seed)
    rows, columns = np.arange(count), np.arange(count, 2 * count)
    expected = all_cosines(x, rows)[:count, count:]
    if (np.abs(expected - 0.9) < 1e-4).any():
        return  # float32 cannot decide what is next to the limit
    pairs, cut = found(Search(x, rows, 0), rows, columns)
    assert cut == 0
    assert pairs.keys() == {
        (i, j + count) for i, j in zip(*np.nonzero(expected >= 0.9), strict=True)
    }
    for (i, j), cosine in pairs.items():
        assert cosine == pytest.approx(expected[i, j - count], abs=1e-4)


def test_small_tiles_give_the_same(monkeypatch):
    x = near_duplicates(50, 20, 0.3, 1)
    rows, columns = np.arange(50), np.arange(50, 100)
    whole, _ = found(Search(x, rows, 0), rows, columns)
    monkeypatch.setattr(neighbours, "_TILE", 120)
    monkeypatch.setattr(neighbours, "_VALUES", 60)
    small, _ = found(Search(x, rows, 0), rows, columns)
    assert whole.keys() == small.keys()
    assert len(whole) > 20


def test_of_too_many_the_most_similar_are_kept_and_the_others_counted():
    rng = np.random.default_rng(0)
    burst = rng.normal(size=30) + 0.01 * rng.normal(size=(40, 30))
    x = np.concatenate([burst, rng.normal(size=(200, 30))]).astype(np.float32)
    rows, columns = np.arange(20), np.arange(20, 40)
    pairs, cut = found(Search(x, np.arange(len(x)), 0), rows, columns, most=3)
    assert (len(pairs), cut) == (20 * 3, 20 * 17)
    cosines = all_cosines(x, np.arange(len(x)))[:20, 20:40]
    least_kept = min(pairs.values())
    assert least_kept >= np.sort(cosines, axis=1)[:, -3:].min() - 1e-4


def test_rows_at_the_mean_are_near_nothing():
    x = np.zeros((6, 4), np.float32)
    x[:2, 0] = 1, -1
    pairs, cut = found(Search(x, np.arange(6), 0), np.arange(3), np.arange(3, 6))
    assert (pairs, cut) == ({}, 0)


@pytest.mark.parametrize("exponent", [-99, 99])  # 1.6e-30 and 6.3e29
def test_rows_of_any_scale_have_the_same_neighbours(exponent):
    x = near_duplicates(40, 20, 0.2, 2)
    rows, columns = np.arange(40), np.arange(40, 80)
    pairs, _ = found(Search(x, rows, 0), rows, columns)
    scaled, cut = found(Search(np.ldexp(x, exponent), rows, 0), rows, columns)
    assert scaled.keys() == pairs.keys() != set()
    assert (list(scaled.values()), cut) == (pytest.approx(list(pairs.values()), abs=1e-5), 0)


@pytest.mark.parametrize("most", [1000, 3])
def test_among_all_rows_those_with_the_highest_bounds_are_looked_at(monkeypatch, most):
    """Also where all bounds are high, no more than so many of a row."""
    rng = np.random.default_rng(0)
    burst = rng.normal(size=30) + 0.02 * rng.normal(size=(60, 30))
    x = np.concatenate([burst, rng.normal(size=(200, 30))]).astype(np.float32)
    rows = np.arange(5, 60, 4)
    monkeypatch.setattr(neighbours, "_TILE", 70)
    looked_at = []
    cosines = Search.cosines
    monkeypatch.setattr(
        Search, "cosines", lambda *pairs: looked_at.append(pairs[1:]) or cosines(*pairs)
    )
    first, second, similarity, cut = Search(x, np.arange(260), 0).pairs_with_all(rows, 0.9, most)
    expected = all_cosines(x, np.arange(260))[rows]
    expected[np.arange(len(rows)), rows] = -1
    assert (np.bincount(looked_at[-1][0])[rows] <= most).all()
    kept = min(most, 59)
    assert len(first) == len(rows) * kept
    assert cut == len(rows) * (59 - kept)
    assert set(rows) == set(first) and not (first == second).any()
    np.testing.assert_allclose(
        expected[np.searchsorted(rows, first), second], similarity, atol=1e-4
    )
    assert similarity.min() >= np.sort(expected, axis=1)[:, -kept:].min() - 1e-4
