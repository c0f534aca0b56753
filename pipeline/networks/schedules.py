"""Learning rates: how they go through a stage of training."""

from typing import Any

from features.errors import unknown_name
from pipeline.config.choices import SCHEDULES
from pipeline.networks.history import History

COSINE, PLATEAU, CONSTANT = SCHEDULES

PLATEAU_FACTOR, PLATEAU_PATIENCE = 0.3, 3  # times the rate after that many epochs without a gain


def check(name: str) -> None:
    """Raise UsageError where no schedule has that name."""
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, list(SCHEDULES))


def schedule(name: str, rate: float, steps: int, warmup: int) -> Any:
    """Return what an optimizer takes as its learning rate.

    Args:
        name: "cosine": up from 0 through the warmup and down to 0 along half a cosine (I.
            Loshchilov and F. Hutter, "SGDR", 2017, equation 5, without restarts). "constant"
            and "plateau": the rate itself, which for "plateau" changes between epochs.
        rate: the highest.
        steps: of the whole stage.
        warmup: how many of them, at most `steps - 1`; of "cosine" only.

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
    """Return the rate of the next epoch: lower after `PLATEAU_PATIENCE` epochs without a gain.

    It follows from the history alone, so that a resumed run has it too.
    """
    least, waited = float("inf"), 0
    for epoch in history.epochs:
        loss = epoch.loss if epoch.val_loss is None else epoch.val_loss
        least, waited = (loss, 0) if loss < least else (least, waited + 1)
        if waited == PLATEAU_PATIENCE:
            rate, waited = rate * PLATEAU_FACTOR, 0
    return rate
