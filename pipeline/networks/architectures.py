"""The architectures of CNNs that are trained from scratch, from uint8 pixels to logits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.errors import UsageError, unknown_name
from pipeline.networks.precision import policy

_MOMENTUM = 0.9  # of batch statistics; lower than Keras' default, as trainings are short


@dataclass(frozen=True)
class Tricks:
    """The tricks of the trade that are layers.

    Attributes:
        batchnorm: normalize after each convolution (S. Ioffe and C. Szegedy, 2015).
        dropout: drop units between stages (N. Srivastava et al., 2014).
        seed: seed of the dropout.
    """

    batchnorm: bool
    dropout: bool
    seed: int


@dataclass(frozen=True)
class Architecture:
    """A network that can be trained from scratch.

    Attributes:
        title: the title in tables.
        body: a function from standardized images (n, H, W, 3) to the input of the last dense
            layer, (n, D).
        epochs: the default number of epochs.
        learning_rate: the highest rate of AdamW, by default.
        smallest: the side of the smallest images that it takes, in pixels.
    """

    title: str
    body: Callable[[Any, "_LayerFactory"], Any]
    epochs: int
    learning_rate: float
    smallest: int


def find(name: str) -> Architecture:
    """Return the architecture of that name; raises UsageError where there is none."""
    if name not in ARCHITECTURES:
        raise unknown_name("architecture", name, list(ARCHITECTURES))
    return ARCHITECTURES[name]


def check_size(name: str, size: tuple[int, int]) -> None:
    """Raise UsageError where images are too small for an architecture."""
    if min(size) < (smallest := find(name).smallest):
        raise UsageError(
            f"{name} takes images of at least {smallest} x {smallest} pixels, these have "
            f"{size[0]} x {size[1]}; give a larger --image-size"
        )


def scaling(x: np.ndarray, rows: np.ndarray) -> dict[str, list[float]]:
    """Return the mean and standard deviation of each channel, 0 to 255.

    Args:
        x: uint8 pixels (N, H, W, 3).
        rows: the images to measure, as positions, int64.
    """
    counts = np.zeros((3, 256), np.int64)
    for start in range(0, len(rows), 1024):
        batch = x[rows[start : start + 1024]]  # (n, H, W, 3)
        for channel in range(3):
            counts[channel] += np.bincount(batch[..., channel].ravel(), minlength=256)
    values = np.arange(256)
    mean = counts @ values / counts.sum(axis=1)
    variance = (counts * (values - mean[:, None]) ** 2).sum(axis=1) / counts.sum(axis=1)
    deviation = np.sqrt(variance).clip(min=1.0)
    return {"mean": mean.round(4).tolist(), "deviation": deviation.round(4).tolist()}


def build(facts: dict[str, Any]) -> Any:
    """Return the network that facts describe: a keras.Model from uint8 (n, H, W, 3) to logits.

    Args:
        facts: "architecture", "image_size", "classes", "scaling" (mean and deviation of each
            channel; None: pixels are only divided by 255), "batchnorm", "dropout", "seed",
            "precision" (a Keras dtype policy).
    """
    import keras

    tricks = Tricks(facts["batchnorm"], facts["dropout"], facts["seed"])
    pixels = keras.Input((*facts["image_size"], 3), dtype="uint8", name="pixels")
    with policy(facts["precision"]):
        x = _scaled(pixels, facts["scaling"])
        x = find(facts["architecture"]).body(x, _LayerFactory(tricks))
        logits = keras.layers.Dense(facts["classes"], dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name=facts["architecture"])


def _scaled(pixels: Any, scaling: dict[str, list[float]] | None) -> Any:
    import keras

    if scaling is None:
        return keras.layers.Rescaling(1 / 255, dtype="float32")(pixels)
    scale = [1 / deviation for deviation in scaling["deviation"]]
    offset = [-mean * factor for mean, factor in zip(scaling["mean"], scale, strict=True)]
    return keras.layers.Rescaling(scale, offset, dtype="float32")(pixels)


class _LayerFactory:
    """Adds layers to a network, with the tricks that are on."""

    def __init__(self, tricks: Tricks) -> None:
        self._tricks, self._seed = tricks, tricks.seed

    def conv(
        self, x: Any, filters: int, size: int = 3, strides: int = 1, activation: str | None = "relu"
    ) -> Any:
        """Convolve, normalize, activate; maps shrink by the strides alone."""
        from keras import layers

        bias = not self._tricks.batchnorm
        x = layers.Conv2D(filters, size, strides, "same", use_bias=bias)(x)
        if self._tricks.batchnorm:
            x = layers.BatchNormalization(momentum=_MOMENTUM)(x)
        return layers.Activation(activation)(x) if activation else x

    def dense(self, x: Any, units: int, activation: str = "relu") -> Any:
        """Apply a dense layer: (n, units)."""
        from keras import layers

        return layers.Dense(units, activation)(x)

    def drop(self, x: Any, share: float) -> Any:
        """Drop a share of the units, in training only."""
        from keras import layers

        if not self._tricks.dropout:
            return x
        self._seed += 1
        return layers.Dropout(share, seed=self._seed)(x)

    def pool(self, x: Any) -> Any:
        """Halve the sides of the maps."""
        from keras import layers

        return layers.MaxPooling2D(2)(x)


def _lenet(x: Any, layers: _LayerFactory) -> Any:
    """LeNet-5's layers (Y. LeCun et al. 1998, section II.B), with ReLU."""
    from keras.layers import AveragePooling2D, Flatten

    for filters in (6, 16):
        x = AveragePooling2D(2)(layers.conv(x, filters, size=5))
    x = Flatten()(x)
    return layers.drop(layers.dense(layers.drop(layers.dense(x, 120), 0.25), 84), 0.25)


def _vgg_style(
    stages: tuple[tuple[int, ...], ...], dense: int
) -> Callable[[Any, _LayerFactory], Any]:
    """Stages of 3 x 3 convolutions, maps halved after each (Simonyan and Zisserman, 2015)."""

    def body(x: Any, layers: _LayerFactory) -> Any:
        from keras.layers import GlobalAveragePooling2D

        for number, filters in enumerate(stages):
            for count in filters:
                x = layers.conv(x, count)
            x = layers.drop(layers.pool(x), 0.05 * (number + 1))
        x = GlobalAveragePooling2D()(x)  # (n, filters)
        return layers.drop(layers.dense(x, dense), 0.5) if dense else x

    return body


def _resnet18(x: Any, layers: _LayerFactory) -> Any:
    """ResNet-18 with a stem for small images (He et al. 2016, sections 3.3 and 4.2)."""
    from keras.layers import Activation, Add, GlobalAveragePooling2D

    x = layers.conv(x, 64)
    for filters, first in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for strides in (first, 1):
            shortcut = x
            if x.shape[-1] != filters:
                shortcut = layers.conv(x, filters, 1, strides, activation=None)
            residual = layers.conv(
                layers.conv(x, filters, strides=strides), filters, activation=None
            )
            x = Activation("relu")(Add()([residual, shortcut]))
    return layers.drop(GlobalAveragePooling2D()(x), 0.2)


ARCHITECTURES = {
    # Early poolings leave little to do where maps are large: an epoch of CIFAR-10's 40,000 takes
    # some 40 s on two cores with AMX.
    "small": Architecture(
        "small CNN", _vgg_style(((32,), (64, 64), (128, 128), (256, 256)), 0), 30, 2e-3, 16
    ),
    "lenet": Architecture("LeNet-5", _lenet, 15, 2e-3, 12),
    "vgg": Architecture(
        "VGG-style CNN",
        _vgg_style(((64, 64), (128, 128), (256, 256, 256), (512, 512, 512)), 512),
        60,
        1e-3,
        16,
    ),
    "resnet18": Architecture("ResNet-18", _resnet18, 60, 1e-3, 8),
}
