"""The settings of one stage of training."""

from dataclasses import dataclass, replace

from pipeline.networks import schedules
from pipeline.results.history import History


@dataclass(frozen=True)
class TrainStage:
    """How long a stage of training lasts, and how fast it goes.

    Attributes:
        name: the name, such as "head"; unique in its round.
        epochs: the largest number of epochs.
        learning_rate: the highest learning rate.
        batch_size: images in a step.
        schedule: the schedule of the learning rate, one of `schedules.SCHEDULES`.
        warmup: epochs in which the rate of "cosine" rises.
        patience: epochs without a lower validation loss after which the stage ends; 0: never.
        label_smoothing: share of each label that is spread over all classes, 0 to 1.
        balanced: whether rare classes weigh more in the loss.
        weight_decay: the weight decay of the default optimizer.
        rates: the learning rate of each epoch, where an earlier training gives it.
    """

    name: str
    epochs: int
    learning_rate: float
    batch_size: int = 128
    schedule: str = schedules.COSINE
    warmup: float = 1.0
    patience: int = 0
    label_smoothing: float = 0.0
    balanced: bool = False
    weight_decay: float = 0.0
    rates: tuple[float, ...] = ()


def shortened(stage: TrainStage, history: History) -> TrainStage:
    """Return the stage of the last fit, which ends at the best epoch of a round that validated.

    A cosine falls to 0 by then; a plateau schedule repeats the rates of that round.
    """
    epochs = history.best_epoch
    rates = tuple(epoch.learning_rate for epoch in history.epochs[:epochs])
    plateau = stage.schedule == schedules.PLATEAU
    return replace(stage, epochs=epochs, patience=0, rates=rates if plateau else ())
