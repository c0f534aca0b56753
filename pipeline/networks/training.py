"""The training loop that every network uses: stages of epochs, resumable after each epoch.

    network   a keras.Model from x to logits, float32 (n, K); it scales uint8 pixels itself
    data      `TrainingData`: pixels or cached activations, labels, who trains, who validates
    stage     `TrainStage`: how long, how fast
    folder    of the round; the checkpoint of a stage there is `<stage name>.npz`

Stages follow each other on the same network, each with its own call of `train`. For a stage that
finished earlier, `train` restores the weights and returns at once; so a program that simply runs
its stages again resumes where it was killed. A folder belongs to one set of arguments: its name
must hold a digest of everything that decides the result.

Why not Keras' callbacks: a resumed run must end with the same weights, and keep the history of all
its epochs. BackupAndRestore keeps neither the history nor the best weights so far; EarlyStopping
and ReduceLROnPlateau reset their counters whenever `fit` begins, so also when it is resumed. Here
all of that follows from the history, which the checkpoint holds.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.disk import durable
from features.errors import DataError
from features.processes.progress import progress_bar
from features.text import in_line, plural
from pipeline.networks import augmentation, checkpoints, schedules
from pipeline.networks.checkpoints import State
from pipeline.networks.data import TrainingData, batches, steps
from pipeline.networks.epoch import evaluate_held_out, fit_epoch
from pipeline.networks.optimizers import adamw
from pipeline.networks.train_stage import TrainStage
from pipeline.results.history import Epoch, History

log = logging.getLogger("offshelf")


@dataclass(frozen=True)
class Setup:
    """What a stage of training needs beside network, data and settings.

    Attributes:
        seed: seed of the order of images. Random layers have seeds of their own.
        augmentation: what `augmentation.layer` returned; for pixels only.
        optimizer: a function from a learning rate (a number or a schedule) to a
            keras.optimizers.Optimizer; None takes AdamW.
        title: the title of the progress bar and of messages, such as "fold 1".
        progress: whether to show a progress bar.
    """

    seed: int = 0
    augmentation: Any = None
    optimizer: Callable[[Any], Any] | None = None
    title: str = ""
    progress: bool = False


def train(
    network: Any, data: TrainingData, stage: TrainStage, folder: Path, setup: Setup
) -> History:
    """Train through a stage, from wherever an earlier run was stopped; return its epochs.

    In the end the network has the weights of the epoch with the lowest validation loss (of the
    last epoch where no image validates). Only the variables that are trainable now are trained.

    Args:
        network: a keras.Model from x to logits, float32 (n, K), of any precision inside.
        data: the examples.
        stage: how long and how fast.
        folder: the folder of the checkpoints; made if it is missing.
        setup: everything else.

    Raises:
        DataError: the loss is no longer finite, or a checkpoint cannot be read or written.
    """
    schedules.check(stage.schedule)
    durable.make_folder(folder)
    return _StageRun(network, data, stage, folder / f"{stage.name}.npz", setup).run()


class _StageRun:
    """One stage while it is trained."""

    def __init__(
        self, network: Any, data: TrainingData, stage: TrainStage, path: Path, setup: Setup
    ) -> None:
        self._network, self._data, self._stage, self._path = network, data, stage, path
        self._setup, self._title = setup, ", ".join(filter(None, (setup.title, stage.name)))
        self._steps = steps(len(data.train), stage.batch_size)
        self._augmented = augmentation.augmented(network, setup.augmentation)
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
        if done := len(self._history.epochs):
            log.info("%s: going on after epoch %d", self._title, done)
        images = self._steps * min(self._stage.batch_size, len(self._data.train))
        total = self._stage.epochs * images
        with progress_bar(total, done * images, "image", self._setup.progress) as bar:
            bar.set_description_str(in_line(self._title), refresh=False)
            while not self._ended():
                self._train_epoch(bar)
                self._save(finished=False)
        self._finish()
        return self._history

    def _compile(self) -> Any:
        import keras

        optimizer_of = self._setup.optimizer or adamw(self._stage.weight_decay)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        # JAX needs XLA; on CPUs TensorFlow's own kernels are faster.
        xla = keras.backend.backend() == "jax"
        self._augmented.compile(
            optimizer_of(self._schedule), loss, metrics=["accuracy"], jit_compile=xla
        )
        if self._network is not self._augmented:
            self._network.compile(jit_compile=xla)
        optimizer = self._augmented.optimizer
        optimizer.build(self._network.trainable_variables)
        return optimizer

    def _train_epoch(self, bar: Any) -> None:
        started, stage, number = time.perf_counter(), self._stage, len(self._history.epochs) + 1
        rate = self._rate(number)
        if stage.schedule != schedules.COSINE:
            self._optimizer.learning_rate = rate
        shown = batches(
            self._data, stage.batch_size, stage.label_smoothing, self._class_weights,
            self._setup.seed, number,
        )  # fmt: skip
        loss, accuracy = fit_epoch(self._augmented, shown, stage.batch_size, bar)
        val_loss, val_accuracy = evaluate_held_out(self._network, self._data, 2 * stage.batch_size)
        seconds = round(time.perf_counter() - started, 3)
        epoch = Epoch(number, stage.name, rate, loss, accuracy, val_loss, val_accuracy, seconds)
        self._check(epoch)
        self._history += History((epoch,))
        if self._history.best_epoch == number:
            self._best = checkpoints.values(self._network.weights)
        bar.set_postfix_str(_summary(epoch), refresh=False)

    def _check(self, epoch: Epoch) -> None:
        """Raise DataError where a loss is not finite."""
        for loss in (epoch.loss, epoch.val_loss):
            if loss is not None and not math.isfinite(loss):
                raise DataError(
                    f"{self._title}: the loss became {loss} in epoch {epoch.epoch} at learning "
                    f"rate {epoch.learning_rate:.3g}; try --learning-rate "
                    f"{self._stage.learning_rate / 10:.3g}, or --precision float32 if it was "
                    "another"
                )

    def _rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, from 1 on; that of a cosine is in its middle."""
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
            bool(patience) and history.epochs_since_best >= patience
        )

    def _save(self, finished: bool) -> None:
        """Write the checkpoint."""
        state = State(
            finished,
            self._history,
            self._best,
            [] if finished else checkpoints.values(self._augmented.variables),
            [] if finished else checkpoints.values(self._optimizer.variables),
        )
        try:
            checkpoints.write(self._path, state)
        except OSError as error:
            raise DataError(f"{self._path} cannot be written: {error.strerror or error}") from None

    def _restore(self) -> bool:
        """Restore the checkpoint of an earlier run, if any; return whether it had finished."""
        state = checkpoints.read(self._path)
        if state is None:
            return False
        self._history, self._best = state.history, state.best
        if state.finished:
            checkpoints.assign(self._network.weights, state.best, self._path)
            return True
        checkpoints.assign(self._augmented.variables, state.variables, self._path)
        checkpoints.assign(self._optimizer.variables, state.optimizer, self._path)
        return False

    def _finish(self) -> None:
        checkpoints.assign(self._network.weights, self._best, self._path)
        self._save(finished=True)
        best = self._history.epochs[self._history.best_epoch - 1]
        log.info(
            "%s: %s in %.0f s; epoch %d: %s", self._title,
            plural(len(self._history.epochs), "epoch"), self._history.seconds, best.epoch,
            _summary(best),
        )  # fmt: skip


def _summary(epoch: Epoch) -> str:
    numbers = [f"loss {epoch.loss:.4f}", f"accuracy {epoch.accuracy:.1%}"]
    if epoch.val_loss is not None and epoch.val_accuracy is not None:
        numbers += [f"validation loss {epoch.val_loss:.4f}", f"accuracy {epoch.val_accuracy:.1%}"]
    return ", ".join(numbers)
