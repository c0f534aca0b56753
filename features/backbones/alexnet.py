"""AlexNet's convolutional base, as torchvision has it.

A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014: the network
of 2012 in one piece, without local response normalization. Layers have the names of the field.
"""

from typing import Any

from features.processes.quiet import keras_here

# Name, filters, side of the kernel, stride, and whether overlapping windows of 3 are pooled after
# it, two apart.
_CONVOLUTIONS = (
    ("conv1", 64, 11, 4, True),
    ("conv2", 192, 5, 1, True),
    ("conv3", 384, 3, 1, False),
    ("conv4", 256, 3, 1, False),
    ("conv5", 256, 3, 1, True),
)
_BORDER = 2  # zeros around the scaled image; Keras' "same" would put them elsewhere


def build(image_size: tuple[int, int]) -> Any:
    """Return the bare network, a keras.Model from scaled pixels to the map of `pool5`.

    Windows that do not fit at the lower and the right border are left out, as PyTorch does it.

    Args:
        image_size: height and width of the images, in pixels.
    """
    keras = keras_here()
    layers = keras.layers
    inputs = keras.Input((*image_size, 3))
    x = layers.ZeroPadding2D(_BORDER, name="pad1")(inputs)
    for name, filters, side, stride, has_pool in _CONVOLUTIONS:
        padding = "valid" if name == "conv1" else "same"
        x = layers.Conv2D(filters, side, stride, padding, activation="relu", name=name)(x)
        if has_pool:
            x = layers.MaxPooling2D(3, 2, name=name.replace("conv", "pool"))(x)
    return keras.Model(inputs, x, name="alexnet")
