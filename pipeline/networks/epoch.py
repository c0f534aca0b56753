"""One pass over the training images, and one over the held-out images."""

import functools
import math
from typing import Any

import numpy as np

from pipeline.networks.data import TrainingData
from pipeline.networks.inference import probabilities

_CHECK_INTERVAL = 16  # batches between two checks of the loss
_SMALLEST_PROBABILITY = 1e-7


def fit_epoch(network: Any, batches: Any, batch_size: int, bar: Any) -> tuple[float, float]:
    """Train on all batches; return mean loss and accuracy, 0 to 1, over the images as shown.

    Args:
        network: a compiled keras.Model.
        batches: what `data.batches` returned.
        batch_size: images in a step.
        bar: the progress bar to update.
    """
    callback = _callback_class()(bar, batch_size)
    logs = network.fit(batches, shuffle=False, verbose=0, callbacks=[callback]).history
    return float(logs["loss"][-1]), float(logs["accuracy"][-1])


def evaluate_held_out(
    network: Any, data: TrainingData, batch_size: int
) -> tuple[float | None, float | None]:
    """Return loss and accuracy on the held-out images, unsmoothed and unweighted; None if none."""
    rows = data.held_out
    if not rows.size:
        return None, None
    probs, labels = probabilities(network, data.x, rows, batch_size), data.labels[rows]
    of_true_class = probs[np.arange(len(rows)), labels]
    loss = -np.log(np.maximum(of_true_class, _SMALLEST_PROBABILITY)).mean()
    return float(loss), float((probs.argmax(axis=1) == labels).mean())


@functools.cache
def _callback_class() -> type:
    """Return the class; this is a function because Keras is imported late."""
    import keras

    class UpdateBar(keras.callbacks.Callback):
        """Updates the progress bar, and ends an epoch whose loss is no longer finite.

        Keras' TerminateOnNaN looks at every batch, which makes the host wait for each of them.
        """

        def __init__(self, bar: Any, batch_size: int) -> None:
            super().__init__()
            self._bar, self._batch_size = bar, batch_size

        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            self._bar.update(min(self._batch_size, self._bar.total - self._bar.n))
            if batch % _CHECK_INTERVAL == 0 and not math.isfinite(float((logs or {})["loss"])):
                self.model.stop_training = True

    return UpdateBar
