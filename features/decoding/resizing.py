"""Resizing an image to the pixels that a network is given."""

import numpy as np
from PIL import Image


def fit(image: Image.Image, size: tuple[int, int], resize: str, interpolation: str) -> np.ndarray:
    """Return the pixels of an RGB image, resized: uint8 of shape (height, width, 3).

    Smaller sizes are antialiased, except by "nearest": each pixel is a mean over the area that it
    covers in the image. An image of that size already is not resampled.

    Args:
        image: an image of mode RGB.
        size: height and width of the result, in pixels.
        resize: "stretch" takes the whole image; "crop" takes the largest centred section of the
            result's aspect ratio, which is the same as scaling the short side and cropping.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos".
    """
    height, width = size
    if image.size != (width, height):
        box = box_of(image.size, size, resize)
        image = image.resize((width, height), Image.Resampling[interpolation.upper()], box)
    return np.asarray(image)


def box_of(
    image_size: tuple[int, int], size: tuple[int, int], resize: str
) -> tuple[float, float, float, float]:
    """Return (left, top, right, bottom) of the section of an image that is taken, in pixels.

    Args:
        image_size: width and height of the image.
        size: height and width of the result.
        resize: as in `fit`.
    """
    if resize == "stretch":
        return (0.0, 0.0, *map(float, image_size))  # type: ignore[return-value]
    scale = min(image_size[0] / size[1], image_size[1] / size[0])
    width, height = scale * size[1], scale * size[0]
    # Rounded, a section may be larger than the image by one part in 10**16.
    left, top = max(0.0, (image_size[0] - width) / 2), max(0.0, (image_size[1] - height) / 2)
    return left, top, min(left + width, image_size[0]), min(top + height, image_size[1])
