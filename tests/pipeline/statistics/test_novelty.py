"""Images unlike the known ones are told, and those like them are marked as seldom as promised."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from pipeline.statistics import novelty


def features(rng, count, shift=0.0):
    return (rng.normal(size=(count, 8)) + 4 * np.eye(8)[0] + shift * np.eye(8)[1]).astype("f4")


def test_images_like_the_known_ones_are_marked_at_the_promised_rate():
    rng = np.random.default_rng(0)
    marked = [
        (novelty.fit(features(rng, 300), np.arange(300)).of(features(rng, 200)) <= 0.05).mean()
        for _ in range(40)
    ]
    assert np.mean(marked) == pytest.approx(0.05, abs=0.01)


def test_images_of_another_kind_are_marked():
    rng = np.random.default_rng(1)
    known = novelty.fit(features(rng, 300), np.arange(300))
    assert (known.of(features(rng, 100, shift=20)) <= 0.02).mean() > 0.95


def test_distances_are_those_of_scikit_learn():
    rng = np.random.default_rng(2)
    x = features(rng, 50)
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    known = novelty.fit(x, np.arange(50))
    search = NearestNeighbors(n_neighbors=novelty.NEIGHBOUR + 1).fit(units)
    expected = np.sort(search.kneighbors(units)[0][:, -1])  # the nearest is the image itself
    np.testing.assert_allclose(known.distances, expected, atol=1e-3)


def test_neighbours_of_the_own_group_do_not_count():
    rng = np.random.default_rng(3)
    x = np.repeat(features(rng, 30), 10, axis=0)  # each image ten times
    by_image, by_group = (novelty.fit(x, g) for g in (np.arange(300), np.arange(300) // 10))
    assert by_image.distances.max() < 1e-3 < by_group.distances.min()
    assert by_group.of(x[:1])[0] == 1  # nearer than any known image is to another group
    assert by_group.beyond[0] == pytest.approx(30)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_any_finite_scale_gives_the_same(scale):
    rng = np.random.default_rng(4)
    x, new = features(rng, 40), features(rng, 5)
    groups = np.arange(40)
    plain = novelty.fit(x, groups).of(new)
    assert novelty.fit(x * np.float32(scale), groups).of(new * np.float32(scale)) == (
        pytest.approx(plain, abs=0.03)
    )


def test_two_groups_are_enough_and_zeros_do_no_harm():
    known = novelty.fit(np.zeros((2, 3), np.float32), np.array([0, 1]))
    assert np.isfinite(known.of(np.ones((1, 3)))).all()


def test_images_that_were_held_out_tell_what_is_usual():
    rng, centres = np.random.default_rng(0), 5 * np.eye(6)

    def seen(count, noise):
        return centres[rng.integers(3, size=count)] + noise * rng.normal(size=(count, 6))

    learned, held_out, new = seen(300, 0.2), seen(500, 1.0), seen(2000, 1.0)  # trained on: closer
    distances = novelty.distances_to(learned, held_out)
    familiarity = novelty.fit_held_out(learned, distances, np.arange(500))
    assert abs((familiarity.of(new) <= 0.05).mean() - 0.05) < 0.02
    assert (novelty.fit(learned, np.arange(300)).of(new) <= 0.05).mean() > 0.5
    assert familiarity.of(-new).max() < 0.01


def test_a_training_in_which_all_is_wider_apart_is_no_more_unlike():
    rng = np.random.default_rng(0)
    towards = 8 * np.eye(6)[0]
    known, new = rng.normal(size=(300, 6)), rng.normal(size=(50, 6))
    narrow, wide = (
        novelty.distances_to(known * scale + towards, new * scale + towards) for scale in (0.2, 0.4)
    )
    np.testing.assert_allclose(narrow, wide, rtol=0.3)
    assert np.median(wide / narrow) < 1.1
