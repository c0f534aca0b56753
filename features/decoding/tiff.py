"""TIFF: tags within limits; signed values and 16 bits in planes, which Pillow reads wrong."""

import ctypes
import struct
from contextlib import suppress
from functools import cache

import numpy as np
from PIL import Image, _imaging

from features.decoding.limits import MAX_TAG_VALUES, MAX_TAGS, check_pixels
from features.decoding.rejection import RejectedImage

_BITS, _COMPRESSION, _OFFSETS, _SAMPLES, _COUNTS, _PLANAR = 258, 259, 273, 277, 279, 284
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_NONE, _SEPARATE = 1, 2
_BIG = 43  # the third byte of a BigTIFF
_BYTES = (1, 2, 7)  # types whose values stay one object: bytes, text, of an unknown form
_FORMAT, _SIGNED = 339, 2


@cache
def silence_libtiff() -> None:
    """Keep libtiff from printing on standard error, line by line, what is wrong with a file.

    Pillow gets its error codes all the same. Where libtiff is a part of Pillow itself, it prints.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(ctypes.c_void_p(None))


def check_tags(content: bytes) -> None:
    """Raise RejectedImage where the first two directories claim more than any image needs.

    Pillow makes an object of each number.
    """
    order, is_big = ">" if content.startswith(b"MM") else "<", content[2] == _BIG
    place, count, entry = ("Q", "Q", "2xHQ8x") if is_big else ("I", "H", "2xHI4x")
    at, each = 8 if is_big else 4, struct.calcsize(order + entry)
    try:
        for _ in range(2):
            (start,) = struct.unpack_from(order + place, content, at)
            if not start:  # there is no further one
                return
            (tags,) = struct.unpack_from(order + count, content, start)
            first = start + struct.calcsize(order + count)
            directory = content[first : first + min(tags, MAX_TAGS) * each]
            whole = directory[: len(directory) // each * each]
            numbers = struct.iter_unpack(order + entry, whole)
            values = sum(number for kind, number in numbers if kind not in _BYTES)
            if tags > MAX_TAGS or values > MAX_TAG_VALUES:
                raise RejectedImage(
                    f"{tags:,} tags with {values:,} values, more than any tool writes"
                )
            at = first + tags * each
    except struct.error:
        return  # Pillow says what is wrong


def check_tiles(image: Image.Image) -> None:
    """Raise RejectedImage where the tiles of a TIFF are larger than any image."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    width, height = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0)
    if isinstance(width, int) and isinstance(height, int):
        check_pixels(width, height)


def check_signs(image: Image.Image) -> None:
    """Raise RejectedImage where a TIFF has signed values of 8 or 16 bits.

    Pillow takes -1 for 255.
    """
    tags = image.tag_v2  # type: ignore[attr-defined]
    if _SIGNED in tags.get(_FORMAT, ()) and max(tags.get(_BITS, (1,))) <= 16:
        raise RejectedImage("signed values; convert them to unsigned ones of 8 or 16 bits")


def has_separate_words(image: Image.Image) -> bool:
    """Tell whether a TIFF has planes of 16 bits each, one after the other, uncompressed."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    return (
        tags.get(_PLANAR) == _SEPARATE
        and tags.get(_COMPRESSION, _NONE) == _NONE
        and tags.get(_SAMPLES, 1) > 1
        and max(tags.get(_BITS, (1,))) > 8
    )


def read_separate_words(image: Image.Image, content: bytes) -> Image.Image:
    """Return the first three planes as mode RGB, the upper 8 bits of each value.

    Args:
        image: the TIFF, not loaded yet.
        content: its file.

    Raises:
        RejectedImage: it has tiles, other colours than RGB, or strips that are not whole.
    """
    tags, (width, height) = image.tag_v2, image.size  # type: ignore[attr-defined]
    planes = tags[_SAMPLES]
    strips = zip(tags.get(_OFFSETS, ()), tags.get(_COUNTS, ()), strict=False)
    data = b"".join(content[start : start + count] for start, count in strips)
    if image.mode not in ("RGB", "RGBX", "RGBA") or len(data) != 2 * planes * width * height:
        raise RejectedImage(
            "16 bits in separate planes, which are not whole RGB strips; save it with "
            "PlanarConfiguration 1, or with 8 bits"
        )
    dtype = np.dtype(np.uint16).newbyteorder(">" if tags.prefix == b"MM" else "<")
    pixels = np.frombuffer(data, dtype).reshape(planes, height, width)[:3]
    upright = Image.fromarray(np.ascontiguousarray((pixels >> 8).transpose(1, 2, 0), np.uint8))
    upright.info["exif"] = image.getexif().tobytes()
    return upright
