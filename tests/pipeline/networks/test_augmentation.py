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
    augmented = run([name], pixels)
    assert augmented.dtype == np.uint8
    assert augmented.shape == pixels.shape
    assert (augmented != pixels).any()
    flat = np.full_like(pixels, 255)
    np.testing.assert_array_equal(run([name], flat), flat)  # nothing comes from beyond the border


def test_the_seed_decides(pixels):
    np.testing.assert_array_equal(run([*AMOUNTS], pixels, 1), run([*AMOUNTS], pixels, 1))
    assert (run([*AMOUNTS], pixels, 1) != run([*AMOUNTS], pixels, 2)).any()


def test_a_flip_mirrors_whole_images(pixels):
    augmented = run(["flip"], pixels)
    mirrored = np.array(
        [(new == old[:, ::-1]).all() for new, old in zip(augmented, pixels, strict=True)]
    )
    same = np.array([(new == old).all() for new, old in zip(augmented, pixels, strict=True)])
    assert (mirrored ^ same).all()
    assert 8 <= mirrored.sum() <= 24


def test_a_translation_moves_whole_pixels(pixels):
    for new, old in zip(run(["translation"], pixels), pixels, strict=True):
        moves = [(down, right) for down in (-2, -1, 0, 1, 2) for right in (-2, -1, 0, 1, 2)]
        inner = new[2:-2, 2:-2]
        assert any(
            (inner == old[2 + down : 10 + down, 2 + right : 14 + right]).all()
            for down, right in moves
        )


def test_drawing_goes_on_between_batches(pixels):
    moves = layer(["translation"], 0)
    first, second = (np.asarray(moves(pixels, training=True)) for _ in range(2))
    assert (first != second).any()


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
