"""Augmentation: images changed at random, but never what they show; in training only.

Flip, rotation, zoom and translation are one affine map, so that an image is resampled once.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

from features.errors import UsageError, unknown_name

AUTO, NONE = "auto", "none"

# How far each goes at most, both ways.
AMOUNTS = {
    "flip": 0.5,  # share of images that are mirrored, left to right
    "rotation": 15 / 360,  # of a turn
    "zoom": 0.15,  # of the size
    "translation": 0.125,  # of the side: 4 of 32 pixels, as in He et al. 2016, section 4.2
    "contrast": 0.2,  # of the distance to the mean
}

_PHOTOGRAPHS = ("flip", "translation")
_SIGNS = ("rotation", "zoom", "translation")  # a mirrored letter is another one, or none


def choose(names: Sequence[str], class_names: Sequence[str]) -> tuple[str, ...]:
    """Return names from `AMOUNTS`: those given, or what suits the classes where "auto" is given.

    Classes whose names are single characters or numbers are taken for digits or letters.

    Raises:
        UsageError: an unknown name, or "none" or "auto" beside others.
    """
    for name in names:
        if name not in (*AMOUNTS, AUTO, NONE):
            raise unknown_name("augmentation", name, [*AMOUNTS, AUTO, NONE])
    if (alone := {AUTO, NONE} & set(names)) and len(names) > 1:
        raise UsageError(f"augmentation {', '.join(names)}: {alone.pop()} stands alone")
    if AUTO in names:
        signs = all(len(name) == 1 or name.isdigit() for name in class_names)
        return _SIGNS if signs else _PHOTOGRAPHS
    return tuple(name for name in AMOUNTS if name in names)


def layer(names: Sequence[str], seed: int) -> Any:
    """Return a Keras layer that augments; None where nothing is named.

    It takes and gives uint8 pixels (batch, H, W, 3), 0 to 255. Outside training it gives what it
    takes. What comes from beyond the border is mirrored at it.

    Args:
        names: from `AMOUNTS`.
        seed: of all that is drawn; how far the drawing has come is a variable of the layer.
    """
    return _layer_class()(tuple(names), seed) if names else None


@functools.cache
def _layer_class() -> type:
    """Return the class; a function, as Keras is imported late."""
    import keras
    from keras import ops

    class Augmentation(keras.layers.Layer):
        def __init__(self, names: tuple[str, ...], seed: int) -> None:
            super().__init__(dtype="float32", trainable=False, name="augmentation")
            self._names, self._seeds = names, keras.random.SeedGenerator(seed)

        def call(self, pixels: Any, training: bool = False) -> Any:
            if not training:
                return pixels
            images = ops.cast(pixels, "float32")  # (b, h, w, 3)
            if set(self._names) - {"contrast"}:
                matrix = self._matrix(ops.shape(images)[0], *images.shape[1:3])
                images = ops.image.affine_transform(images, matrix, "bilinear", "reflect")
            if "contrast" in self._names:
                mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
                factor = 1 + self._draw("contrast", ops.shape(images)[0])[:, None, None, None]
                images = mean + factor * (images - mean)
            return ops.cast(ops.round(ops.clip(images, 0, 255)), "uint8")

        def compute_output_spec(self, pixels: Any, training: bool = False) -> Any:
            return keras.KerasTensor(pixels.shape, "uint8")

        def _draw(self, name: str, count: Any) -> Any:
            """Return a number for each image, float32 (b,), 0 where it is not asked for."""
            if name not in self._names:
                return ops.zeros((count,), "float32")
            amount = AMOUNTS[name]
            return keras.random.uniform((count,), -amount, amount, "float32", self._seeds)

        def _matrix(self, count: Any, height: int, width: int) -> Any:
            """Return where each output pixel comes from, float32 (b, 8)."""
            mirror = ops.where(self._draw("flip", count) < 0, -1.0, 1.0)
            angle = 2 * math.pi * self._draw("rotation", count)
            size = 1 + self._draw("zoom", count)
            cos, sin = size * ops.cos(angle), size * ops.sin(angle)
            # Whole pixels, so that what is moved alone stays sharp.
            right = ops.round(width * self._draw("translation", count))
            down = ops.round(height * self._draw("translation", count))
            x, y = (width - 1) / 2, (height - 1) / 2
            a, b, c, d = mirror * cos, mirror * sin, -sin, cos
            rows = [a, b, x + right - a * x - b * y, c, d, y + down - c * x - d * y]
            nothing = ops.zeros((count,), "float32")
            return ops.stack([*rows, nothing, nothing], axis=1)

    return Augmentation
