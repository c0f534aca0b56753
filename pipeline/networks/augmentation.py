"""Augmentation: random changes of the training images that leave their class as it is.

Flip, rotation, zoom and translation are one affine map, so that an image is resampled once. Keras'
own layers resample once each. On two cores of an AMD EPYC (AVX-512, bfloat16, no AMX), Keras 3.15
on TensorFlow, thousands of images a second (medians of nine alternating runs):

                                     128 images of 32 px      64 images of 96 px
                                     one map     Keras        one map     Keras
    flip, translation                   25.2      19.4            2.6       2.0
    rotation, zoom, translation         22.8       8.5            2.4       0.8
    all five                            27.1       8.0            1.6       0.5

Of the detail of CIFAR-10 images (their mean horizontal gradient) flip and translation keep 99 %
as one map and 83 % in Keras' layers, which move by fractions of a pixel; rotation, zoom and
translation keep 82 % and 67 %.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

from pipeline.config.choices import AUTO_AUGMENTATION, NO_AUGMENTATION
from pipeline.config.readers import as_augmentations

AUTO, NONE = AUTO_AUGMENTATION, NO_AUGMENTATION

# The largest change of each augmentation, in both directions.
AMOUNTS = {
    "flip": 0.5,  # the share of images that are mirrored, left to right
    "rotation": 15 / 360,  # of a turn
    "zoom": 0.15,  # of the size
    "translation": 0.125,  # of the side: 4 of 32 pixels, as in He et al. 2016, section 4.2
    "contrast": 0.2,  # of the distance to the mean
}

_PHOTOGRAPHS = ("flip", "translation")
_SIGNS = ("rotation", "zoom", "translation")  # a mirrored letter is another letter, or none


def choose(names: Sequence[str], class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the augmentations by name; "auto" becomes those that suit the classes.

    Classes whose names are single characters or numbers are taken for digits or letters.

    Args:
        names: names from `AMOUNTS`, or "auto" or "none" alone.
        class_names: the names of the classes.

    Raises:
        UsageError: a name is unknown, or "none" or "auto" has others beside it.
    """
    names = as_augmentations(names, "augmentation")
    if AUTO in names:
        signs = all(len(name) == 1 or name.isdigit() for name in class_names)
        return _SIGNS if signs else _PHOTOGRAPHS
    return tuple(name for name in AMOUNTS if name in names)


def layer(names: Sequence[str], seed: int) -> Any:
    """Return a Keras layer that augments images; None where no augmentation is named.

    The layer maps uint8 pixels (batch, H, W, 3), 0 to 255, to the same; outside training it
    returns them unchanged. Pixels from beyond the border are mirrored at it.

    Args:
        names: names from `AMOUNTS`.
        seed: seed of the random numbers; the generator's state is a variable of the layer, so
            that a checkpoint holds it.
    """
    return _layer_class()(tuple(names), seed) if names else None


def augmented(network: Any, augmentation: Any) -> Any:
    """Return a network that augments its input first; the variables are shared.

    Args:
        network: a keras.Model from uint8 pixels (b, H, W, 3).
        augmentation: what `layer` returned; None returns the network itself.
    """
    if augmentation is None:
        return network
    import keras

    pixels = keras.Input(network.input_shape[1:], dtype="uint8")
    return keras.Model(pixels, network(augmentation(pixels)))


@functools.cache
def _layer_class() -> type:
    """Return the class; this is a function because Keras is imported late."""
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
            """Return a random number for each image, float32 (b,); 0 where `name` is off."""
            if name not in self._names:
                return ops.zeros((count,), "float32")
            amount = AMOUNTS[name]
            return keras.random.uniform((count,), -amount, amount, "float32", self._seeds)

        def _matrix(self, count: Any, height: int, width: int) -> Any:
            """Return the maps from output to input positions, float32 (b, 8)."""
            mirror = ops.where(self._draw("flip", count) < 0, -1.0, 1.0)
            angle = 2 * math.pi * self._draw("rotation", count)
            size = 1 + self._draw("zoom", count)
            cos, sin = size * ops.cos(angle), size * ops.sin(angle)
            # Whole pixels, so that an image that is only moved stays sharp.
            right = ops.round(width * self._draw("translation", count))
            down = ops.round(height * self._draw("translation", count))
            x, y = (width - 1) / 2, (height - 1) / 2
            a, b, c, d = mirror * cos, mirror * sin, -sin, cos
            rows = [a, b, x + right - a * x - b * y, c, d, y + down - c * x - d * y]
            zeros = ops.zeros((count,), "float32")
            return ops.stack([*rows, zeros, zeros], axis=1)

    return Augmentation
