"""Colours and depths of every kind become RGB of 8 bits."""

import numpy as np
from PIL import Image

from features.decoding.rejection import RejectedImage

TRANSPARENT = "transparent everywhere, and therefore white"
NO_ALPHA = (
    "of four bands, the last of which looks like no alpha; it was taken as one: save three bands"
)
FEW_BITS = (
    "of 16 bits a channel, of which {bits} are used (0 to {top:,}), and therefore nearly black"
)

_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # two TIFF tags, and a value of the second
_USED_BITS = (8, 12)  # fewer than 16 bits that cameras and scanners deliver
_EDGES = 0.05  # share of pixels that an alpha band has at least as fully opaque or transparent


def to_rgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """Return a loaded image in mode RGB; what looks wrong is added to `notes`.

    Raises:
        RejectedImage: it has 32 bits a channel.
    """
    if image.mode == "I" and image.format == "PPM":  # Pillow scales its values to 16 bits
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise RejectedImage("32 bits a channel; convert it to 8 or 16 bits")
    if image.mode.startswith("I;16"):
        return _upper_bits(image, notes).convert("RGB")
    if image.mode == "La":  # the only mode with alpha that cannot be converted to RGBA
        image = image.convert("LA")
    if image.has_transparency_data:
        image = _over_white(image, notes)
    return image if image.mode == "RGB" else image.convert("RGB")


def from_array(pixels: np.ndarray, notes: list[str]) -> Image.Image:
    """Return pixels as an image of 8 bits.

    Args:
        pixels: uint8 or uint16 of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
        notes: a list to which is added what looks wrong.

    Raises:
        RejectedImage: they are of another dtype or shape.
    """
    shape, dtype = pixels.shape, pixels.dtype
    if dtype.kind != "u" or dtype.itemsize > 2 or len(shape) not in (2, 3) or 0 in shape:
        raise RejectedImage(f"pixels are {dtype} of shape {shape}, expected 8 or 16 unsigned bits")
    if dtype.itemsize == 2:
        _note_few_bits(int(pixels.max()), 16, notes)
        pixels = (pixels >> 8).astype(np.uint8)
    return Image.fromarray(pixels[:, :, 0] if shape[2:] == (1,) else pixels)


def note_dark_words(image: Image.Image, notes: list[str]) -> None:
    """Add a note where the upper bytes of 16 bits, mode RGB or RGBA, show that fewer are used."""
    top = int(np.asarray(image)[:, :, :3].max())
    _note_few_bits(top << 8 or 1, 16, notes)


def _over_white(image: Image.Image, notes: list[str]) -> Image.Image:
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:  # it has 16 bits
        image.info["transparency"] = tuple(value >> 8 for value in key)
    colours = image.convert("RGBA")
    alpha = colours.getchannel("A").histogram()
    if alpha[0] == image.width * image.height:
        if image.format in ("BMP", "DIB"):  # its fourth byte is most often unused
            return colours.convert("RGB")
        notes.append(TRANSPARENT)
    elif image.mode == "RGBA" and alpha[0] + alpha[255] < _EDGES * image.width * image.height:
        notes.append(NO_ALPHA)
    paper = Image.new("RGB", image.size, "white")
    paper.paste(colours, mask=colours)
    return paper


def _upper_bits(image: Image.Image, notes: list[str]) -> Image.Image:
    """Return a grey image of 16 (in TIFF also 12) bits as mode L."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS, (16,))[0]
    _note_few_bits(int(values.max()), bits, notes)
    upper = (values >> (bits - 8)).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow handles it for 8 bits alone
        upper = 255 - upper
    if "transparency" in image.info:
        upper[values == image.info["transparency"]] = 255
    return Image.fromarray(upper)


def _note_few_bits(top: int, bits: int, notes: list[str]) -> None:
    """Add a note where the largest value of 16 bits shows that fewer are used."""
    used = next((used for used in _USED_BITS if 0 < top < 1 << used), None)
    if bits == 16 and used:
        notes.append(FEW_BITS.format(bits=used, top=(1 << used) - 1))
