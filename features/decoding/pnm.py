"""Binary PGM and PPM whose largest value is not a power of two less one, as of cameras of 12 bits.

Pillow scales their values one by one, in minutes for a photograph; here they are looked up.
"""

from typing import Any

import numpy as np
from PIL import Image

from features.decoding.rejection import RejectedImage

_WORDS = 65535


def has_scaled_values(image: Image.Image) -> bool:
    """Tell whether an image that is not loaded is of this kind."""
    tiles: Any = getattr(image, "tile", None)
    return bool(tiles) and tiles[0][0] == "ppm"


def read_scaled_values(image: Image.Image, content: bytes) -> Image.Image:
    """Return the image in mode L or RGB, its values scaled and rounded as Pillow does.

    Args:
        image: the image, not loaded yet.
        content: its file.

    Raises:
        RejectedImage: the file ends within its pixels.
    """
    tile, bands = image.tile[0], len(image.getbands())  # type: ignore[attr-defined]
    _, largest = tile.args
    dtype = np.dtype(">u2" if largest > 255 else np.uint8)
    count = image.width * image.height * bands
    if len(content) < tile.offset + count * dtype.itemsize:
        raise RejectedImage("cannot be decoded: not enough image data")
    top = _WORDS if image.mode == "I" else 255
    scaled = np.minimum(top, np.rint(np.arange(256**dtype.itemsize) / largest * top))
    table = (scaled.astype(np.uint16) >> (8 if top == _WORDS else 0)).astype(np.uint8)
    values = table[np.frombuffer(content, dtype, count, tile.offset)]
    shape = (image.height, image.width, bands)
    return Image.fromarray(values.reshape(shape if bands > 1 else shape[:2]))
