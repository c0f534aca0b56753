"""McNemar and Holm against scipy and hand values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from pipeline.statistics import significance


def test_mcnemar_is_the_exact_binomial_test():
    correct = np.random.default_rng(0).random((4, 80)) < [[0.5], [0.6], [0.8], [0.8]]
    found = significance.mcnemar(correct)
    for a, one in enumerate(correct):
        for b, other in enumerate(correct):
            only, others = int((one & ~other).sum()), int((~one & other).sum())
            expected = binomtest(only, only + others).pvalue if only + others else 1.0
            assert found[a, b] == pytest.approx(expected)


def test_holm_by_hand():
    found = significance.holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert found == pytest.approx([0.03, 0.06, 0.06, 0.02])


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_keeps_the_order_and_is_between_raw_and_bonferroni(values):
    p = np.array(values)
    found = significance.holm(p)
    assert (found >= p).all()
    assert (found <= np.minimum(1, p * len(p) + 1e-12)).all()
    assert (np.diff(found[np.argsort(p, kind="stable")]) >= 0).all()


def test_each_is_held_against_the_first_which_alone_has_no_rival():
    correct = (np.random.default_rng(0).random((3, 400)) < [[0.5], [0.9], [0.91]])[[1, 0, 2]]
    found = significance.against_first(correct)
    raw = significance.mcnemar(correct)[0]
    assert found[0] == 1
    assert found[1] == pytest.approx(2 * raw[1])  # of two tests the smaller p counts twice
    assert found[1] < significance.LEVEL < found[2]
    assert significance.against_first(correct[:1]).tolist() == [1.0]
