"""A head that starts from a logistic regression on what the network itself makes of the images.

It is fitted where `classify` has left none (`linear_head.fitting_head`), so that a head starts from
fitted weights either way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from features.backbones.stored import Weights
from pipeline.classifiers import find
from pipeline.classifiers.base import Task
from pipeline.networks.inference import logits
from pipeline.networks.linear_head import METHOD, as_dense
from pipeline.networks.pixels import Pixels

MOST = 20_000  # images: a start needs no more, and their features are held in memory


@dataclass(frozen=True)
class OwnHead:
    """A logistic regression, with its default setting, on the features that the head will take.

    Attributes:
        images: all images and their splits.
        features: returns the model from pixels, uint8 (b, H, W, 3), to these features, (b, D).
        seed: the seed of the images that are drawn where there are more than `MOST`.
    """

    images: Pixels
    features: Callable[[], Any]
    seed: int

    @property
    def key(self) -> dict[str, Any]:
        """All that decides the start, beside the network and the images."""
        return {"classifier": METHOD, "setting": find(METHOD).default, "images": len(self._drawn)}

    @property
    def passes(self) -> int:
        """The images that are sent through the network."""
        return len(self._drawn)

    def weights_from(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return kernel (D, K) and bias (K,), float32, learned from these images alone.

        Args:
            rows: the images, as positions in the splits, int64; none of them is locked.
        """
        splits = self.images.splits
        known = np.isin(self._drawn, rows)
        x, labels = self._x[known], splits.labels[self._drawn[known]]
        classes = len(splits.class_names)
        classifier = find(METHOD)
        model = classifier.build(Task(len(x), x.shape[1], classes, self.seed))
        return as_dense(model.set_params(**classifier.default).fit(x, labels), classes)

    @cached_property
    def _drawn(self) -> np.ndarray:
        """The images that it may learn from, as many of each class as there are or its share."""
        splits = self.images.splits
        rest = splits.rest
        if len(rest) <= MOST:
            return rest
        generator = np.random.default_rng(self.seed)
        shuffled = rest[generator.permutation(len(rest))]
        return np.sort(shuffled[_turns(splits.labels[shuffled], MOST)])

    @cached_property
    def _x(self) -> np.ndarray:
        return logits(self.features(), self.images.x, self._drawn)


def _turns(labels: np.ndarray, count: int) -> np.ndarray:
    """Return the positions of `count` labels, each class in turn until it has no more."""
    turn = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[members] = np.arange(len(members))
    return np.argsort(turn, kind="stable")[:count]


def body_of(weights: Weights, facts: dict[str, Any]) -> Any:
    """Return the model from pixels to the features that the head takes."""
    import keras

    from pipeline.networks import transfer

    whole = transfer.assemble(facts, weights).whole
    return keras.Model(whole.input, whole.get_layer(transfer.HEAD_LAYER).input)
