"""How long a training will take at most, estimated before it begins.

A batch is sent through the network. To train on a batch costs three such passes: the gradients take
twice the work of the forward pass (J. Kaplan et al., "Scaling Laws for Neural Language Models",
2020, section 2.1).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.networks.inference import logits

BACKWARD = 2.0  # passes forward that the gradients cost
_COMPILED = 3.0  # how much longer compiling a step of training takes than a forward pass
_IMAGES = 64  # that are timed


@dataclass(frozen=True)
class Timing:
    """The measured times of a network, in seconds.

    Attributes:
        start: to send the first batch through, which compiles the network.
        forward: a forward pass, for each image.
    """

    start: float
    forward: float


@dataclass(frozen=True)
class StageWork:
    """The work of a stage of training, in forward passes of the whole network.

    Attributes:
        epochs: the largest number of epochs.
        passes: the work for an image in an epoch.
    """

    epochs: int
    passes: float


def measure(network: Any, x: np.ndarray) -> Timing:
    """Time a network on some images, uint8 (N, H, W, 3)."""
    rows = np.arange(min(len(x), _IMAGES))
    started = time.perf_counter()
    logits(network, x, rows)
    warm = time.perf_counter()
    logits(network, x, rows)
    return Timing(warm - started, (time.perf_counter() - warm) / len(rows))


def total(timing: Timing, stages: Sequence[StageWork], rounds: Sequence[int]) -> float:
    """Return the seconds of all rounds, given the training images of each."""
    passes = sum(stage.epochs * stage.passes for stage in stages)
    starts = len(rounds) * (1 + _COMPILED * len(stages)) * timing.start
    return starts + sum(rounds) * passes * timing.forward


def describe(seconds: float) -> str:
    """Return a time in words, such as "about 12 minutes"."""
    if seconds < 90:
        return f"about {max(2, round(seconds))} seconds"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} minutes"
    return f"about {seconds / 3600:.1f} hours"
