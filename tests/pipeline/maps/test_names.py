"""Names stand where classes are densest."""

import numpy as np

from pipeline.maps import names


def test_they_stand_in_the_densest_place():
    rng = np.random.default_rng(0)
    dense = rng.normal((3, -2), 0.05, (200, 2))
    rest = rng.uniform(-10, 10, (300, 2))
    labels = np.repeat([4, 1], [350, 150])
    coordinates = np.concatenate([dense, rest])
    (one, _, _), (four, x, y) = names.middles(coordinates, labels)
    assert (one, four) == (1, 4)
    assert abs(x - 3) < 0.3 and abs(y + 2) < 0.3


def test_without_classes_or_with_too_many_there_are_none():
    coordinates = np.zeros((60, 2))
    assert names.middles(coordinates, np.full(60, -1)) == []
    assert names.middles(coordinates, np.arange(60)) == []
    assert names.middles(coordinates, np.zeros(60, int)) == [(0, 0, 0)]
