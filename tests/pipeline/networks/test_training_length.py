"""The size of a batch and the number of epochs, by the number of images."""

import pytest

from pipeline.config import FinetuneConfig, ScratchConfig
from pipeline.networks import architectures, training_length
from pipeline.networks.data import steps


@pytest.mark.parametrize(
    ("images", "batch"), [(30, 8), (384, 16), (1_000, 32), (2_000, 64), (2_560, 128), (50_000, 128)]
)
def test_a_batch_is_small_enough_for_some_steps_an_epoch(images, batch):
    length = training_length.finetune(FinetuneConfig("s", "o"), images)
    assert length.batch_size == batch
    assert steps(images, batch) >= 20 or batch == 8
    assert training_length.scratch(ScratchConfig("s", "o"), images).batch_size == batch


def test_few_images_take_more_epochs():
    lengths = [training_length.finetune(FinetuneConfig("s", "o"), n) for n in (30, 384, 50_000)]
    assert [length.epochs for length in lengths] == [20, 11, 3]
    assert [length.head_epochs for length in lengths] == [10, 6, 2]
    usual = architectures.find("lenet").epochs
    scratch = [
        training_length.scratch(ScratchConfig("s", "o", architecture="lenet"), n).epochs
        for n in (30, 500_000)
    ]
    assert scratch == [2 * usual, usual // 2]


def test_what_is_given_stays():
    config = FinetuneConfig("s", "o", batch_size=100, epochs=1, head_epochs=2)
    length = training_length.finetune(config, 384)
    assert (length.batch_size, length.epochs, length.head_epochs) == (100, 1, 2)
    assert training_length.describe(length, 384) == (
        "384 training images in batches of 100, 3 steps an epoch; at most 2 epochs of the head, "
        "1 epochs of each later stage"
    )
