"""What a trained network makes of images on the way to its logits."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from pipeline.networks.narrows import narrows

LEAST_SIDE = 4  # positions a side of maps that show where something is
_PADDING = "ZeroPadding2D"  # its output has positions that are of no place in the image


def with_embedding(network: Any) -> Any:
    """Return the model that also gives what the last layer takes.

    Args:
        network: a keras.Model from pixels to logits, whose last layer is dense.

    Returns:
        A keras.Model from the same pixels to [embedding, float32 (b, D), logits (b, K)].
    """
    import keras
    from keras import ops

    embedding = ops.cast(network.layers[-1].input, "float32")
    return keras.Model(network.input, [embedding, network.output])


@dataclass(frozen=True)
class Halves:
    """A network cut in two where its maps still have positions.

    Attributes:
        lower: takes pixels (b, H, W, 3), returns maps (b, h, w, C).
        upper: takes these maps, returns logits (b, K).
    """

    lower: Callable[[Any], Any]
    upper: Callable[[Any], Any]

    def gradient_map(self, pixels: np.ndarray, label: int) -> np.ndarray:
        """Return where evidence for a class lies, float32 (h, w), none of it below 0.

        Each map weighs as much as the class's logit grows with it, on average over its positions;
        what speaks against the class is left out (R. Selvaraju et al., "Grad-CAM: Visual
        Explanations from Deep Networks via Gradient-Based Localization", ICCV 2017, section 3).

        Args:
            pixels: uint8 (H, W, 3).
            label: the number of the class.
        """
        import tensorflow as tf

        maps = self.lower(tf.constant(pixels[None]))
        with tf.GradientTape() as tape:
            tape.watch(maps)
            logit = self.upper(maps)[0, label]
        slopes = np.asarray(tf.cast(tape.gradient(logit, maps), tf.float32))  # (1, h, w, C)
        weights = slopes.mean(axis=(1, 2))  # (1, C)
        values = np.asarray(tf.cast(maps, tf.float32))[0] @ weights[0]
        return np.maximum(values, 0).astype(np.float32)


def halves(network: Any) -> Halves | None:
    """Return a network in two halves; None where it has no maps to cut at.

    It is cut at the deepest tensor of at least `LEAST_SIDE` positions a side through which all
    evidence goes: as deep as the paper does where images are large, and earlier where they are so
    small that the last maps have no positions any more.

    Args:
        network: a keras.Model from pixels to logits, as `storage.load` returns it.
    """
    import keras

    steps = list(network.operations)
    place = next((n for n, step in enumerate(steps) if isinstance(step, keras.Model)), None)
    body = network if place is None else steps[place]  # of a fine-tuned network, its backbone
    if (cut := _deepest_cut(body)) is None:
        return None
    lower, upper = keras.Model(body.input, cut), keras.Model(cut, body.output)
    if place is None:
        return Halves(lower, upper)
    scaling, head = keras.Model(network.input, steps[place - 1].output), network.layers[-1]
    return Halves(lambda pixels: lower(scaling(pixels)), lambda maps: head(upper(maps)))


def _deepest_cut(body: Any) -> Any:
    """Return the deepest tensor of maps that all later operations read alone; None without one."""
    cut = None
    for operation, tensor in islice(narrows(body), 1, None):  # the first one gives the pixels
        if tensor is not None and _has_positions(tensor):
            cut = cut if type(operation).__name__ == _PADDING else tensor
    return cut


def _has_positions(tensor: Any) -> bool:
    return len(tensor.shape) == 4 and min(tensor.shape[1:3]) >= LEAST_SIDE
