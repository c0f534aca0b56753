"""JPEG by TurboJPEG, which says where data are damaged; Pillow drops the warnings of libjpeg.

The pixels are the same as Pillow's, bit by bit: both use libjpeg-turbo.
"""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
from PIL import Image, JpegImagePlugin

from features.decoding.limits import MAX_SEGMENTS, bytes_of_jpeg, check_pixels, check_scans
from features.decoding.memory import Take
from features.decoding.rejection import RejectedImage

DAMAGED = "damaged and taken with what could be decoded"
UNCHECKED = "unusual in its header, so that it could not be checked for damage"

_END, _SCAN_MARK = b"\xff\xd9", b"\xff\xda"
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_APP1, _SCAN, _EOI = 0xE1, 0xDA, 0xD9
_WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xD9)}
_PROGRESSIVE, _ARITHMETIC = {0xC2, 0xC6, 0xCA, 0xCE}, range(0xC9, 0xD0)
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # others are tables
_COLOURS = {"Gray": 1, "CMYK": 4, "YCCK": 4}  # others have 3

# libjpeg's first warning is the one that is heard; see jerror.h.
_CUT = "Premature end of JPEG file"
_OF_HEADERS = (
    "Unknown Adobe",
    "Warning: unknown JFIF",
    "Invalid SOS",
    "Corrupt JPEG data: bad ICC",
)
_EXTRANEOUS = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
_PADDING = 16  # bytes after the last pixel, which some cameras write


def decode_jpeg(
    content: bytes, at_least: int | None, accept_damaged: bool, notes: list[str], take: Take
) -> Image.Image:
    """Return an image of mode RGB or CMYK, with its EXIF data and XMP in `info`.

    Args:
        content: the file.
        at_least: as in `decode`.
        accept_damaged: whether a damaged image is taken, which is added to `notes`.
        notes: what was guessed or looks wrong.
        take: takes the memory that it needs.

    Raises:
        RejectedImage: the image is too large, takes too long, or is damaged.
        ValueError: it cannot be decoded at all.
    """
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content, strict=False)
    except (KeyError, ValueError):  # it does not know every kind of subsampling
        return _by_pillow(content, at_least, notes, take)
    scale, header = _scale(width, height, at_least), _header(content)
    check_pixels(width, height, scale if header.scans < 2 else 1)
    check_scans(header.scans, width, height, header.is_arithmetic)
    space = "CMYK" if colours in ("CMYK", "YCCK") else "RGBX"
    bands = _COLOURS.get(colours, 3)
    take(bytes_of_jpeg(width, height, scale, bands, space == "CMYK", header.scans))
    size = {"min_width": -(-width // scale), "min_height": -(-height // scale)}
    pixels = _pixels(content, {"colorspace": space, **size}, accept_damaged, notes)
    # inks are stored inverted, as Adobe does
    image = Image.fromarray(255 - pixels, space) if space == "CMYK" else _without_copy(pixels)
    image.info.update(header.info)
    return image


class _Header(NamedTuple):
    """What is known of a JPEG before its pixels.

    Attributes:
        info: metadata of use.
        is_arithmetic: whether it has the slower codes.
        scans: the number of its scans.
    """

    info: dict[str, bytes]
    is_arithmetic: bool
    scans: int


def _header(content: bytes) -> _Header:
    info: dict[str, bytes] = {}
    frame, colours, start = 0, 0, 0
    for marker, data, end in _segments(content):
        if marker in _FRAMES:
            frame, colours = marker, data[5] if len(data) > 5 else 0
        elif marker == _APP1 and data.startswith(_EXIF):
            info.setdefault("exif", data)
        elif marker == _APP1 and data.startswith(_XMP):
            info.setdefault("xmp", data.removeprefix(_XMP))
        start = end
    start = content.find(_SCAN_MARK, start)
    # Where the first scan has all colours, libjpeg reads no other one.
    is_alone = frame not in _PROGRESSIVE and content[start + 4 : start + 5] == bytes([colours])
    scans = 1 if is_alone else content.count(_SCAN_MARK, max(0, start))
    return _Header(info, frame in _ARITHMETIC, scans)


def _without_copy(pixels: np.ndarray) -> Image.Image:
    """Return uint8 of shape (height, width, 4) as mode RGB, which Pillow holds in four bytes too.

    The image shares the memory of the pixels. A copy would take a tenth of the time of decoding.
    """
    import pyarrow

    height, width, _ = pixels.shape
    values = pyarrow.Array.from_buffers(
        pyarrow.uint8(), pixels.size, [None, pyarrow.py_buffer(pixels)]
    )
    return Image.fromarrow(
        pyarrow.FixedSizeListArray.from_arrays(values, 4), "RGB", (width, height)
    )


def _by_pillow(content: bytes, at_least: int | None, notes: list[str], take: Take) -> Image.Image:
    header = _header(content)
    image = JpegImagePlugin.JpegImageFile(BytesIO(content), "")
    check_pixels(*image.size)
    check_scans(header.scans, *image.size, header.is_arithmetic)
    take(bytes_of_jpeg(*image.size, 1, len(image.getbands()), True, header.scans))
    if at_least is not None:
        image.draft(None, (at_least, at_least))
    image.load()
    notes.append(UNCHECKED)
    return image


def _scale(width: int, height: int, at_least: int | None) -> int:
    """Return 1, 2, 4 or 8: the largest by which the sides may be divided."""
    if at_least is None:
        return 1
    largest = min(width, height) // at_least
    return next((scale for scale in (8, 4, 2) if scale <= largest), 1)


def _pixels(
    content: bytes, options: dict[str, Any], accept_damaged: bool, notes: list[str]
) -> np.ndarray:
    """Return uint8 of shape (height, width, 4)."""
    try:
        return simplejpeg.decode_jpeg(content, **options)
    except ValueError as error:
        warning = str(error)
    if warning.startswith(_CUT) and not content.endswith(_END):  # its end mark may be all it lacks
        return _pixels(content + _END, options, accept_damaged, notes)
    padding = _EXTRANEOUS.match(warning)
    if warning.startswith(_OF_HEADERS):
        notes.append(UNCHECKED)
    elif not (padding and int(padding.group(1)) <= _PADDING):
        if not accept_damaged:
            reason = warning.removeprefix("Corrupt JPEG data: ")
            raise RejectedImage(f"damaged or truncated: {reason}")
        notes.append(DAMAGED)
    return simplejpeg.decode_jpeg(content, strict=False, **options)


def _segments(content: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, data and end of the segments before the first scan.

    Raises:
        RejectedImage: there are more than any tool writes.
    """
    position, number = content.find(b"\xff", 2), 0
    while 0 <= position < len(content) - 4:
        number += 1
        if number > MAX_SEGMENTS:
            raise RejectedImage(f"more than {MAX_SEGMENTS:,} segments, which no tool writes")
        marker = content[position + 1]
        if marker in (_SCAN, _EOI):
            return
        if marker == 0xFF:
            position += 1
            continue
        if marker in _WITHOUT_LENGTH:
            position = content.find(b"\xff", position + 2)
            continue
        end = position + 2 + int.from_bytes(content[position + 2 : position + 4])
        yield marker, content[position + 4 : end], end
        position = content.find(b"\xff", max(end, position + 4))
