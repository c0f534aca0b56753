"""What an image may be: bounds by which hostile files are known before their pixels are decoded.

Decoding takes seconds for what passes, and the memory that `bytes_to_decode` says. Only headers are
looked at, so that the same images are rejected on every machine.
"""

import struct
from typing import Any

from PIL import Image

from features.decoding.rejection import RejectedImage

MAX_PIXELS = 178_956_970  # where Pillow, too, sees a decompression bomb: half a GiB of RGB
MAX_SIDE = 2**20  # resampling holds weights for each pixel of a side
MAX_READS = 2**20  # before the pixels: of bytes, blocks, boxes
MAX_SEGMENTS, MAX_CHUNKS = 10_000, 2**18  # of a JPEG before its pixels, of a PNG
MAX_TAGS, MAX_TAG_VALUES = 2**16, 2**21  # of a TIFF: two values for each strip or tile
_SCANS = 20  # of the largest JPEG; each takes as long as the image does
_ARITHMETIC = 10  # times as slow as Huffman codes

# Bytes a pixel at the peak, transparent and turned upright, as measured; RGB itself takes 4.
_BYTES = {"JPEG": 4, "WEBP": 21, "AVIF": 16, "HEIF": 16, "JPEG2000": 25, "TIFF separate": 20}
_OTHER_BYTES = 12
_INKS_BYTES, _COEFFICIENT_BYTES = 8, 2

_TILE_BYTES = 2**14  # that OpenJPEG holds for each tile
_CODESTREAM, _SIZES = b"\xff\x4f\xff\x51", struct.Struct(">8x8I")  # of JPEG 2000

# Pillow decodes these in Python: by codec, bytes of the file and values of the image.
_SLOW = {"ppm_plain": (2**25, 2**25), "bmp_rle": (2**24, 2**25)}
_COMMENTS = 1000  # of a plain PPM


def check_pixels(width: int, height: int, scale: int = 1) -> None:
    """Raise RejectedImage where an image is too large, decoded at 1/`scale` of its size."""
    if -(-width // scale) * -(-height // scale) > MAX_PIXELS:
        raise RejectedImage(f"{width} x {height} pixels, more than {MAX_PIXELS:,} in all")
    if max(width, height) > MAX_SIDE:
        raise RejectedImage(f"{width} x {height} pixels, more than {MAX_SIDE:,} a side")


def check_scans(scans: int, width: int, height: int, is_arithmetic: bool) -> None:
    """Raise RejectedImage where the scans of a JPEG take too long: each goes through all of it."""
    if scans * width * height * (_ARITHMETIC if is_arithmetic else 1) > _SCANS * MAX_PIXELS:
        raise RejectedImage(
            f"{scans} scans of {width} x {height} pixels, more than any tool writes"
        )


def check_codec(image: Image.Image, content: bytes) -> None:
    """Raise RejectedImage where a slow decoder would be given too much."""
    tiles: Any = getattr(image, "tile", None)
    codec = tiles[0][0] if tiles else ""
    if codec not in _SLOW:
        return
    most_bytes, most_values = _SLOW[codec]
    values = image.width * image.height * len(image.getbands())
    has_comments = codec == "ppm_plain" and content.count(b"#") > _COMMENTS
    if len(content) > most_bytes or values > most_values or has_comments:
        raise RejectedImage(f"too large for its kind ({codec}); save it as PNG")


def tiles_of(content: bytes, name: str | None) -> int:
    """Return the number of tiles of a JPEG 2000, 1 of other formats."""
    start = content.find(_CODESTREAM) if name == "JPEG2000" else -1
    if start < 0 or start + _SIZES.size > len(content):
        return 1
    right, bottom, _, _, width, height, left, top = _SIZES.unpack_from(content, start)
    return -(-max(0, right - left) // max(1, width)) * -(-max(0, bottom - top) // max(1, height))


def bytes_to_decode(name: str, width: int, height: int, tiles: int = 1) -> int:
    """Return the memory in bytes that decoding an image takes at most, beside its file.

    Args:
        name: its format, as `formats.format_of` returns it, or "TIFF separate".
        width: its width in pixels.
        height: its height.
        tiles: the number of its tiles, as `tiles_of` returns it.
    """
    return _BYTES.get(name, _OTHER_BYTES) * width * height + _TILE_BYTES * tiles


def bytes_of_jpeg(
    width: int, height: int, scale: int, colours: int, has_inks: bool, scans: int
) -> int:
    """Return the memory in bytes that decoding a JPEG at 1/`scale` takes."""
    pixels = -(-width // scale) * -(-height // scale)
    decoded = (_BYTES["JPEG"] + (_INKS_BYTES if has_inks else 0)) * pixels
    held = _COEFFICIENT_BYTES * colours * width * height if scans > 1 else 0
    return decoded + held
