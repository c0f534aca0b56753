"""How large a batch is and how long training lasts, chosen by the number of images where not given.

Few images in large batches make few steps an epoch: 480 images in batches of 128 make 3, and ten
epochs end before the head has learned anything. So a batch is small enough for some steps an epoch,
and epochs are as many as make up a number of steps.
"""

import logging
import math
from dataclasses import dataclass

from pipeline.config import FinetuneConfig, ScratchConfig
from pipeline.networks import architectures
from pipeline.networks.data import steps

log = logging.getLogger("offshelf")

_STEPS = 20  # an epoch has at least so many, where a batch of the smallest size allows it
_SMALLEST, _LARGEST = 8, 128  # images in a batch, powers of two
_FINETUNE_STEPS, _FEWEST, _MOST = 250, 3, 20  # of a stage; its epochs
_SCRATCH_STEPS = 1500  # and from half of the architecture's own epochs to twice as many


@dataclass(frozen=True)
class TrainingLength:
    """The length of a training.

    Attributes:
        batch_size: images in a step.
        epochs: the largest number of epochs of a stage.
        head_epochs: the largest number of epochs of the stage that trains the head alone; 0 where
            there is none.
    """

    batch_size: int
    epochs: int
    head_epochs: int = 0


def finetune(config: FinetuneConfig, images: int) -> TrainingLength:
    """Return the length of a fine-tuning; what the config gives stays.

    Args:
        config: the config of the stage.
        images: the number of training images of the smallest round.
    """
    batch = config.batch_size or _batch_size(images)
    wanted = math.ceil(_FINETUNE_STEPS / steps(images, batch))
    epochs = min(max(wanted, _FEWEST), _MOST)
    return TrainingLength(
        batch, config.epochs or epochs, config.head_epochs or math.ceil(epochs / 2)
    )


def scratch(config: ScratchConfig, images: int) -> TrainingLength:
    """Return the length of a training from scratch, likewise."""
    batch = config.batch_size or _batch_size(images)
    wanted = math.ceil(_SCRATCH_STEPS / steps(images, batch))
    usual = architectures.find(config.architecture).epochs
    return TrainingLength(batch, config.epochs or min(max(wanted, usual // 2), 2 * usual))


def describe(length: TrainingLength, images: int) -> str:
    """Return the length as words."""
    head = f"{length.head_epochs} epochs of the head, " if length.head_epochs else ""
    return (
        f"{images:,} training images in batches of {length.batch_size}, "
        f"{steps(images, length.batch_size)} steps an epoch; at most {head}{length.epochs} epochs "
        f"{'of each later stage' if head else 'in all'}"
    )


def _batch_size(images: int) -> int:
    """Return the largest power of two that leaves `_STEPS` steps an epoch, within its limits."""
    size = _LARGEST
    while size > _SMALLEST and images < _STEPS * size:
        size //= 2
    return size
