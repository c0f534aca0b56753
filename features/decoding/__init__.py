"""Bytes to pixels: images of any format become upright RGB uint8."""

import logging

import numpy as np
from PIL import Image, ImageOps

from features.decoding.colours import from_array, note_dark_words, to_rgb
from features.decoding.fitting import Fit, fit_for
from features.decoding.formats import HEAD_BYTES, format_of, open_image, read_freely
from features.decoding.frames import note_frames
from features.decoding.jpeg import decode_jpeg
from features.decoding.limits import MAX_PIXELS, bytes_to_decode, tiles_of
from features.decoding.memory import SHARED, DecodingMemory, Take
from features.decoding.png import without_metadata
from features.decoding.pnm import has_scaled_values, read_scaled_values
from features.decoding.rejection import RejectedImage, rejecting
from features.decoding.resizing import fit
from features.decoding.tiff import (
    check_signs,
    check_tiles,
    has_separate_words,
    read_separate_words,
)

__all__ = [
    "MAX_PIXELS",
    "DecodingMemory",
    "Fit",
    "RejectedImage",
    "decode",
    "fit",
    "fit_for",
    "upright_rgb",
]

log = logging.getLogger("offshelf")


def decode(
    content: bytes | np.ndarray,
    at_least: int | None = None,
    accept_damaged: bool = False,
    notes: list[str] | None = None,
    take: Take | None = None,
) -> Image.Image:
    """Return an image in Pillow's mode RGB: three channels of 8 bits.

    Only the first frame is taken. EXIF orientation is applied, transparent pixels become white,
    and of 16 bits the upper 8 are kept. Colour profiles are not applied.

    Args:
        content: the file of an image, whatever its name is; or pixels, uint8 or uint16 of shape
            (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
        at_least: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size (libjpeg does that in the
            frequency domain, in a fraction of the time) as long as both sides keep this many
            pixels; None decodes it at full size.
        accept_damaged: take a damaged JPEG as far as it can be decoded; the rest is grey.
        notes: a list to which is added what was guessed of the image or looks wrong, in words
            that follow "an image is", such as "transparent everywhere".
        take: takes the bytes of memory that decoding needs, from `DecodingMemory.turn`; None
            takes them from what this process shares, until this function returns.

    Raises:
        RejectedImage: the image is broken, of another format, too large for the limits in
            `decoding.limits` or for the memory, or has 32 bits a channel.
    """
    if take is None:
        with SHARED.turn() as take:
            return decode(content, at_least, accept_damaged, notes, take)
    notes = [] if notes is None else notes
    with rejecting():
        if isinstance(content, np.ndarray):
            take(bytes_to_decode("array", *(*content.shape, 1, 1)[:2]))
            return to_rgb(from_array(content, notes), notes)
        image = _decoded(content, at_least, accept_damaged, notes, take)
        _turn_upright(image)
        return to_rgb(image, notes)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return what `decode` gives of the file that a Pillow image was opened from, decoded whole.

    The image itself is loaded, and otherwise stays as it is.

    Raises:
        RejectedImage: it is broken, or has 32 bits a channel.
    """
    with rejecting():
        image.load()
        upright = image.copy()
        if tags := getattr(image, "tag_v2", None):  # which a copy of a TIFF lacks
            upright.tag_v2 = tags  # type: ignore[attr-defined]
        _turn_upright(upright)
        return to_rgb(upright, [])


def _decoded(
    content: bytes, at_least: int | None, accept_damaged: bool, notes: list[str], take: Take
) -> Image.Image:
    """Return the image as it is stored, loaded."""
    if not content:
        raise RejectedImage("the file is empty")
    name = format_of(content[:HEAD_BYTES])
    if name == "JPEG":
        return decode_jpeg(content, at_least, accept_damaged, notes, take)
    image = open_image(without_metadata(content) if name == "PNG" else content, name)
    note_frames(image, content, notes)
    read_freely(image)
    if name == "TIFF":
        check_signs(image)
        check_tiles(image)
        if has_separate_words(image):
            take(bytes_to_decode("TIFF separate", *image.size))
            image = read_separate_words(image, content)
            note_dark_words(image, notes)
            return image
    if has_scaled_values(image):
        take(bytes_to_decode("PPM", *image.size))
        return read_scaled_values(image, content)
    take(bytes_to_decode(str(name), *image.size, tiles=tiles_of(content, name)))
    has_words = ";16" in str(
        getattr(image, "tile", "")
    )  # of 16 bits a channel Pillow keeps 8 in colour images
    image.load()
    if has_words and image.mode in ("RGB", "RGBA"):
        note_dark_words(image, notes)
    return image


def _turn_upright(image: Image.Image) -> None:
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception as error:  # damaged EXIF is no reason to lose whole pixels
        log.debug("EXIF data ignored: %s", error)
