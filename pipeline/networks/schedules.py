"""Schedules: the course of the learning rate through a stage of training."""

from typing import Any

from features.errors import unknown_name
from pipeline.config.choices import SCHEDULES
from pipeline.results.history import History

COSINE, PLATEAU, CONSTANT = SCHEDULES

PLATEAU_FACTOR, PLATEAU_PATIENCE = 0.3, 3  # the rate is multiplied after epochs without a gain


def check(name: str) -> None:
    """Raise UsageError where no schedule has that name."""
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, list(SCHEDULES))


def schedule(name: str, rate: float, steps: int, warmup: int) -> Any:
    """Return the learning rate of an optimizer.

    Args:
        name: "cosine": the rate rises from 0 through the warmup and falls to 0 along half a
            cosine (I. Loshchilov and F. Hutter, "SGDR", 2017, equation 5, without restarts).
            "constant" and "plateau": the rate itself, which for "plateau" changes between epochs.
        rate: the highest rate.
        steps: the number of steps in the whole stage.
        warmup: the number of steps in which a cosine rises; at most `steps - 1` are used.

    Returns:
        A `keras.optimizers.schedules.LearningRateSchedule`, or `rate`.
    """
    if name != COSINE:
        return rate
    import keras

    warmup = min(warmup, steps - 1)
    if warmup < 1:
        return keras.optimizers.schedules.CosineDecay(rate, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, warmup_target=rate, warmup_steps=warmup
    )


def plateau_rate(rate: float, history: History) -> float:
    """Return the rate of the next epoch, lower after `PLATEAU_PATIENCE` epochs without a gain.

    It follows from the history alone, so that a resumed run gets the same rate.
    """
    lowest, waited = float("inf"), 0
    for epoch in history.epochs:
        loss = epoch.loss if epoch.val_loss is None else epoch.val_loss
        lowest, waited = (loss, 0) if loss < lowest else (lowest, waited + 1)
        if waited == PLATEAU_PATIENCE:
            rate, waited = rate * PLATEAU_FACTOR, 0
    return rate
