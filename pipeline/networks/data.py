"""The examples of a round of training, and the batches of an epoch."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TrainingData:
    """The examples of one round.

    Attributes:
        x: uint8 pixels (N, H, W, 3), or float16 activations of a frozen trunk; may be a memory
            map. With V views it has V N rows, and view v of image i is row v N + i.
        labels: the labels, int32 (N,), 0 to K - 1.
        classes: the number of classes, K.
        train: the images that train, as positions below N, int64.
        held_out: the images that validate, likewise; empty in the last fit. View 0 of each is used.
        views: the number of views, V; an epoch shows each image in one of them, drawn at random.
    """

    x: np.ndarray
    labels: np.ndarray
    classes: int
    train: np.ndarray
    held_out: np.ndarray
    views: int = 1

    def class_weights(self) -> np.ndarray:
        """Return a weight for each class, float32 (K,), higher for rarer ones; 1 on average.

        N / (K N_k), so that each class has the same share in the loss (G. King and L. Zeng,
        "Logistic regression in rare events data", 2001, section 4.1).
        """
        counts = np.bincount(self.labels[self.train], minlength=self.classes)
        return (len(self.train) / (self.classes * np.maximum(counts, 1))).astype(np.float32)


def steps(images: int, batch_size: int) -> int:
    """Return the number of steps in an epoch: whole batches only, but at least one."""
    return max(1, images // batch_size)


def batches(
    data: TrainingData,
    batch_size: int,
    smoothing: float,
    weights: np.ndarray,
    seed: int,
    epoch: int,
) -> Any:
    """Return the batches of one epoch, a keras.utils.PyDataset; equal arguments give equal ones.

    The order follows from the seed and the epoch alone. Images that do not fill a batch are left
    out of this epoch, so that every batch has the same shape.

    Args:
        data: the examples.
        batch_size: images in a step.
        smoothing: share of each label that is spread over all classes, 0 to 1 (C. Szegedy et
            al., "Rethinking the Inception architecture", 2016, section 7).
        weights: the weights of the classes, float32 (K,).
        seed: seed of the order.
        epoch: the number of the epoch.

    Returns:
        Batches of x as it is, targets float32 (batch, K) and weights float32 (batch,).
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(data.train)
    if data.views > 1:
        order = order + len(data.labels) * rng.integers(data.views, size=len(order))
    targets = np.eye(data.classes, dtype=np.float32) * (1 - smoothing) + smoothing / data.classes
    return _batches_class()(data, order, batch_size, targets, weights)


@functools.cache
def _batches_class() -> type:
    """Return the class; this is a function because Keras is imported late."""
    import keras

    class Batches(keras.utils.PyDataset):
        def __init__(
            self, data: TrainingData, order: np.ndarray, size: int, targets: np.ndarray,
            weights: np.ndarray,
        ) -> None:  # fmt: skip
            super().__init__()
            self._data, self._order, self._size = data, order, min(size, len(order))
            self._targets, self._weights = targets, weights

        def __len__(self) -> int:
            return steps(len(self._order), self._size)

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            # In increasing order, because a disk reads forward faster.
            rows = np.sort(self._order[index * self._size : (index + 1) * self._size])
            labels = self._data.labels[rows % len(self._data.labels)]
            x = np.asarray(self._data.x[rows])  # (batch, ...)
            return x, self._targets[labels], self._weights[labels]

    return Batches
