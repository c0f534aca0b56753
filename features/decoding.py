"""Bytes to pixels: whatever an image is stored as, RGB uint8 the right side up comes out."""

from contextlib import suppress
from io import BytesIO

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from features.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF")
MAX_PIXELS = 178_956_970  # where Pillow, too, sees a decompression bomb: half a GiB of RGB

_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # TIFF tags


class RejectedImage(DataError):
    """An image gives no pixels; the message is a short reason without the image's name."""


def decode(content: bytes | np.ndarray) -> Image.Image:
    """Return an image as Pillow's mode RGB: three channels, uint8.

    The first frame counts, EXIF orientation is applied, transparency shows white, of 16 bits the
    upper 8 are kept. Embedded colour profiles are not applied.

    Args:
        content: a JPEG, PNG, WebP, BMP, TIFF or GIF file; or pixels, uint8 or uint16 of shape
            (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).

    Raises:
        RejectedImage: it is broken, of another format, too large, or has 32 bits a channel.
    """
    try:
        if isinstance(content, np.ndarray):
            return _rgb(_from_array(content))
        image = _open(content)
        image.load()
        with suppress(Exception):  # damaged EXIF is no reason to lose whole pixels
            ImageOps.exif_transpose(image, in_place=True)
        return _rgb(image)
    except (RejectedImage, MemoryError):
        raise
    except Exception as error:  # a hostile file makes Pillow raise almost anything
        raise RejectedImage(f"cannot be decoded: {_one_line(error)}") from None
