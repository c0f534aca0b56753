"""The training core that every network uses: a stage of epochs, resumable after each.

    network   a keras.Model from x to logits, float32 (n, K); pixels come as uint8, it scales them
    data      `data.Data`: pixels or cached activations, labels, who trains, who validates
    stage     `TrainStage`: how long, how fast
    folder    of the round; the stage's checkpoint there is `<stage name>.npz`

Stages follow each other on the same network, each with its own call of `train`. A stage that has
finished before gives the network its weights back and returns at once, so that a program that
simply runs its stages again goes on where it was killed. A folder must belong to equal arguments:
name it after a digest of all that decides.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from features import durable
from features.errors import DataError
from features.progress import progress_bar
from pipeline.networks import checkpoints, schedules
from pipeline.networks.backend import compiles
from pipeline.networks.checkpoints import State
from pipeline.networks.data import Data, batches, steps
from pipeline.networks.history import Epoch, History

log = logging.getLogger("offshelf")

_LOOKED_AT = 16  # batches between two looks at the loss
_SMALLEST = 1e-7  # of a probability


@dataclass(frozen=True)
class TrainStage:
    """How one stage of training goes.

    Attributes:
        name: such as "head"; unique in its round.
        epochs: at most.
        learning_rate: the highest.
        batch_size: images a step.
        schedule: one of `schedules.SCHEDULES`.
        warmup: epochs in which "cosine" rises.
        patience: epochs without a lower validation loss after which it ends; 0: never.
        label_smoothing: share of a label that is spread over all classes, 0 to 1.
        balanced: weigh the classes by how rare they are.
        weight_decay: of the default optimizer.
        rates: the rate of each epoch, where it is known from an earlier training.
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


# From a learning rate (a number, or a schedule) to a keras.optimizers.Optimizer.
OptimizerOf = Callable[[Any], Any]


@dataclass(frozen=True)
class Setup:
    """What a stage of training needs beside network and data.

    Attributes:
        seed: of the order of images. Random layers have seeds of their own.
        augmentation: a layer of `augmentation.layer`, or None; for pixels alone.
        optimizer: makes it from its learning rate; None takes AdamW.
        title: of the progress bar and the messages, such as "fold 1".
        progress: whether a bar is drawn.
    """

    seed: int = 0
    augmentation: Any = None
    optimizer: OptimizerOf | None = None
    title: str = ""
    progress: bool = False


def train(network: Any, data: Data, stage: TrainStage, folder: Path, setup: Setup) -> History:
    """Train through a stage, from wherever an earlier run was stopped; return its epochs.

    In the end the network has the weights of the epoch with the least validation loss (of the
    last one where nothing validates). Only variables that are trainable now are trained.

    Args:
        network: from x to logits, float32 (n, K); what it computes in is its own affair.
        data: to learn from.
        stage: how long and how fast.
        folder: of the checkpoints; made if it is not there.
        setup: everything else.

    Raises:
        DataError: the loss is no longer finite, or a checkpoint cannot be read or written.
    """
    schedules.check(stage.schedule)
    durable.make_folder(folder)
    return _Run(network, data, stage, folder / f"{stage.name}.npz", setup).run()


def shorter(stage: TrainStage, history: History) -> TrainStage:
    """Return the stage of the last fit, which nothing validates: it ends where this one was best.

    A cosine falls to 0 by then; the rates that a plateau led to are taken as they were.
    """
    epochs = history.best
    rates = tuple(epoch.learning_rate for epoch in history.epochs[:epochs])
    plateau = stage.schedule == schedules.PLATEAU
    return replace(stage, epochs=epochs, patience=0, rates=rates if plateau else ())


def logits(network: Any, x: np.ndarray, rows: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Return the network's logits of some rows of x, float32 (n, K), outside training."""
    found = []
    size = min(batch_size, len(rows))
    for start in range(0, len(rows), batch_size):
        some = np.asarray(x[rows[start : start + batch_size]])
        # Each batch has the same shape, so that nothing is compiled twice.
        full = np.zeros((size, *some.shape[1:]), some.dtype)
        full[: len(some)] = some
        found.append(np.asarray(network.predict_on_batch(full), np.float32)[: len(some)])
    return np.concatenate(found)


def probabilities(
    network: Any, x: np.ndarray, rows: np.ndarray, batch_size: int = 256
) -> np.ndarray:
    """Return probabilities of some rows of x, float32 (n, K); rows sum to 1."""
    from scipy.special import softmax

    return softmax(logits(network, x, rows, batch_size).astype(np.float64), axis=1).astype("f4")


class _Run:
    """One stage on its way."""

    def __init__(
        self, network: Any, data: Data, stage: TrainStage, path: Path, setup: Setup
    ) -> None:
        self._network, self._data, self._stage, self._path = network, data, stage, path
        self._setup, self._title = setup, ", ".join(filter(None, (setup.title, stage.name)))
        self._steps = steps(len(data.train), stage.batch_size)
        self._whole = _augmented(network, setup.augmentation)
        self._schedule = schedules.schedule(
            stage.schedule, stage.learning_rate, stage.epochs * self._steps,
            round(stage.warmup * self._steps),
        )  # fmt: skip
        self._optimizer = self._compile()
        ones = np.ones(data.classes, np.float32)
        self._class_weights = data.class_weights() if stage.balanced else ones
        self._history = History()
        self._best: checkpoints.Arrays = []

    def run(self) -> History:
        if self._restore():
            return self._history
        done = len(self._history.epochs)
        if done:
            log.info("%s: going on after epoch %d", self._title, done)
        images = self._steps * min(self._stage.batch_size, len(self._data.train))
        total = self._stage.epochs * images
        with progress_bar(total, done * images, "image", self._setup.progress) as bar:
            bar.set_description_str(self._title, refresh=False)
            while not self._ended():
                self._epoch(bar)
                self._keep(finished=False)
        self._finish()
        return self._history

    def _compile(self) -> Any:
        import keras

        make = self._setup.optimizer or _adamw(self._stage.weight_decay)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        self._whole.compile(
            make(self._schedule), loss, metrics=["accuracy"], jit_compile=compiles()
        )
        if self._network is not self._whole:
            self._network.compile(jit_compile=compiles())
        optimizer = self._whole.optimizer
        optimizer.build(self._network.trainable_variables)
        return optimizer

    def _epoch(self, bar: Any) -> None:
        started, stage, number = time.perf_counter(), self._stage, len(self._history.epochs) + 1
        rate = self._rate(number)
        if stage.schedule != schedules.COSINE:
            self._optimizer.learning_rate = rate
        shown = batches(
            self._data, stage.batch_size, stage.label_smoothing, self._class_weights,
            self._setup.seed, number,
        )  # fmt: skip
        loss, accuracy = self._fit(shown, bar)
        val_loss, val_accuracy = self._validate()
        self._check((loss, val_loss), number, rate)
        seconds = round(time.perf_counter() - started, 3)
        epoch = Epoch(number, stage.name, rate, loss, accuracy, val_loss, val_accuracy, seconds)
        self._history += History((epoch,))
        if self._history.best == number:
            self._best = checkpoints.values(self._network.weights)
        bar.set_postfix_str(_said(epoch), refresh=False)

    def _fit(self, shown: Any, bar: Any) -> tuple[float, float]:
        watch = _watch_class()(bar, self._stage.batch_size)
        logs = self._whole.fit(shown, shuffle=False, verbose=0, callbacks=[watch]).history
        return float(logs["loss"][-1]), float(logs["accuracy"][-1])

    def _check(self, losses: Sequence[float | None], epoch: int, rate: float) -> None:
        """Raise DataError where a loss is no number."""
        for loss in losses:
            if loss is not None and not math.isfinite(loss):
                raise DataError(
                    f"{self._title}: the loss became {loss} in epoch {epoch} at learning rate "
                    f"{rate:.3g}; try --learning-rate {self._stage.learning_rate / 10:.3g}, or "
                    "--precision float32 if it was another"
                )

    def _validate(self) -> tuple[float | None, float | None]:
        """Return loss and accuracy on the held-out images, unsmoothed and unweighted."""
        held = self._data.held
        if not held.size:
            return None, None
        found = probabilities(self._network, self._data.x, held, 2 * self._stage.batch_size)
        labels = self._data.labels[held]
        true = found[np.arange(len(held)), labels]
        loss = -np.log(np.maximum(true, _SMALLEST)).mean()
        return float(loss), float((found.argmax(axis=1) == labels).mean())

    def _rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, 1 the first; of a cosine that in its middle."""
        from keras import ops

        stage = self._stage
        if stage.schedule == schedules.COSINE:
            return float(ops.convert_to_numpy(self._schedule((epoch - 0.5) * self._steps)))
        if stage.rates:
            return stage.rates[epoch - 1]
        if stage.schedule == schedules.PLATEAU:
            return schedules.plateau_rate(stage.learning_rate, self._history)
        return stage.learning_rate

    def _ended(self) -> bool:
        history, patience = self._history, self._stage.patience
        return len(history.epochs) >= self._stage.epochs or (
            bool(patience) and history.waited >= patience
        )

    def _keep(self, finished: bool) -> None:
        state = State(
            finished,
            self._history,
            self._best,
            [] if finished else checkpoints.values(self._whole.variables),
            [] if finished else checkpoints.values(self._optimizer.variables),
        )
        try:
            checkpoints.write(self._path, state)
        except OSError as error:
            raise DataError(f"{self._path} cannot be written: {error.strerror or error}") from None

    def _restore(self) -> bool:
        """Take up what an earlier run left; tell whether it had finished."""
        state = checkpoints.read(self._path)
        if state is None:
            return False
        self._history, self._best = state.history, state.best
        if state.finished:
            checkpoints.assign(self._network.weights, state.best, self._path)
            return True
        checkpoints.assign(self._whole.variables, state.variables, self._path)
        checkpoints.assign(self._optimizer.variables, state.optimizer, self._path)
        return False

    def _finish(self) -> None:
        checkpoints.assign(self._network.weights, self._best, self._path)
        self._keep(finished=True)
        best = self._history.epochs[self._history.best - 1]
        log.info(
            "%s: %d epochs in %.0f s; epoch %d: %s", self._title, len(self._history.epochs),
            self._history.seconds, best.epoch, _said(best),
        )  # fmt: skip


def _augmented(network: Any, augmentation: Any) -> Any:
    """Return the network with augmentation before it; their variables are shared."""
    if augmentation is None:
        return network
    import keras

    pixels = keras.Input(network.input_shape[1:], dtype="uint8")
    return keras.Model(pixels, network(augmentation(pixels)))


def _adamw(weight_decay: float) -> OptimizerOf:
    """Return AdamW that leaves biases and batch norms alone (Loshchilov and Hutter, 2019)."""

    def make(rate: Any) -> Any:
        import keras

        optimizer = keras.optimizers.AdamW(rate, weight_decay=weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        return optimizer

    return make


def _said(epoch: Epoch) -> str:
    parts = [f"loss {epoch.loss:.4f}", f"accuracy {epoch.accuracy:.1%}"]
    if epoch.val_loss is not None and epoch.val_accuracy is not None:
        parts += [f"validation loss {epoch.val_loss:.4f}", f"accuracy {epoch.val_accuracy:.1%}"]
    return ", ".join(parts)


def _watch_class() -> type:
    import keras

    class Watch(keras.callbacks.Callback):
        """Moves the bar, and ends an epoch whose loss is no number."""

        def __init__(self, bar: Any, images: int) -> None:
            super().__init__()
            self._bar, self._images = bar, images

        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            self._bar.update(min(self._images, self._bar.total - self._bar.n))
            if batch % _LOOKED_AT == 0 and not math.isfinite(float((logs or {})["loss"])):
                self.model.stop_training = True

    return Watch
