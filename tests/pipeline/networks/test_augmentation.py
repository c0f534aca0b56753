"""Augmentation: in training only, drawn from a seed, whole and within range."""

import numpy as np
import pytest

from features.errors import UsageError
from pipeline.networks import augmentation
from pipeline.networks.augmentation import AMOUNTS, choose, layer


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (32, 12, 16, 3), np.uint8)


def run(names, pixels, seed=0, training=True):
    from keras import ops

    return ops.convert_to_numpy(layer(names, seed)(pixels, training=training))


def test_only_in_training(pixels):
    np.testing.assert_array_equal(run([*AMOUNTS], pixels, training=False), pixels)


@pytest.mark.parametrize("name", AMOUNTS)
def test_each_one_changes_pixels_within_their_range(pixels, name):
    found = run([name], pixels)
    assert found.dtype == np.uint8
    assert found.shape == pixels.shape
    assert (found != pixels).any()
    flat = np.full_like(pixels, 255)
    np.testing.assert_array_equal(run([name], flat), flat)  # nothing comes from beyond the border


def test_the_seed_decides(pixels):
    np.testing.assert_array_equal(run([*AMOUNTS], pixels, 1), run([*AMOUNTS], pixels, 1))
    assert (run([*AMOUNTS], pixels, 1) != run([*AMOUNTS], pixels, 2)).any()


def test_a_flip_mirrors_whole_images(pixels):
    found = run(["flip"], pixels)
    mirrored = np.array(
        [(one == old[:, ::-1]).all() for one, old in zip(found, pixels, strict=True)]
    )
    same = np.array([(one == old).all() for one, old in zip(found, pixels, strict=True)])
    assert (mirrored ^ same).all()
    assert 8 <= mirrored.sum() <= 24


def test_a_translation_moves_whole_pixels(pixels):
    for one, old in zip(run(["translation"], pixels), pixels, strict=True):
        moves = [(down, right) for down in (-2, -1, 0, 1, 2) for right in (-2, -1, 0, 1, 2)]
        inner = one[2:-2, 2:-2]
        assert any(
            (inner == old[2 + down : 10 + down, 2 + right : 14 + right]).all()
            for down, right in moves
        )


def test_drawing_goes_on_between_batches(pixels):
    made = layer(["translation"], 0)
    assert (
        np.asarray(made(pixels, training=True)) != np.asarray(made(pixels, training=True))
    ).any()


@pytest.mark.parametrize(
    ("names", "classes", "expected"),
    [
        (["auto"], ["cat", "dog"], ("flip", "translation")),
        (["auto"], ["0", "1", "10"], ("rotation", "zoom", "translation")),
        (["auto"], ["a", "b"], ("rotation", "zoom", "translation")),
        (["none"], ["cat", "dog"], ()),
        (["contrast", "flip"], ["0"], ("flip", "contrast")),
    ],
)
def test_what_is_chosen(names, classes, expected):
    assert choose(names, classes) == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [(["flipp"], "did you mean flip"), (["none", "flip"], "none stands alone")],
)
def test_what_cannot_be_meant(names, message):
    with pytest.raises(UsageError, match=message):
        choose(names, ["cat"])


def test_nothing_chosen_is_no_layer():
    assert augmentation.layer((), 0) is None
