"""Bytes to pixels: images of any format become upright RGB uint8."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from PIL import (  # importing a plugin registers its format
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageOps,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from features.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF")
MAX_PIXELS = 178_956_970  # where Pillow, too, sees a decompression bomb: half a GiB of RGB

_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # two TIFF tags, and a value of the second

log = logging.getLogger("offshelf")


class RejectedImage(DataError):  # noqa: N818 - it names an outcome, not a failure
    """An image cannot be decoded; the message is a short reason without the image's path."""


def decode(content: bytes | np.ndarray, at_least: int | None = None) -> Image.Image:
    """Return an image in Pillow's mode RGB: three channels of 8 bits.

    Only the first frame is taken. EXIF orientation is applied, transparent pixels become white,
    and of 16 bits the upper 8 are kept. Colour profiles are not applied.

    Args:
        content: a JPEG, PNG, WebP, BMP, TIFF or GIF file; or pixels, uint8 or uint16 of shape
            (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
        at_least: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size (libjpeg does that in the
            frequency domain, in a fraction of the time) as long as both sides keep this many
            pixels; None decodes it at full size.

    Raises:
        RejectedImage: the image is broken, of another format, too large, or has 32 bits a channel.
    """
    with _rejecting():
        if isinstance(content, np.ndarray):
            return _rgb(_from_array(content))
        image = _open(content)
        if at_least is not None:
            image.draft(None, (at_least, at_least))
        image.load()
        _turn_upright(image)
        return _rgb(image)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return what `decode` gives of the file that a Pillow image was opened from, decoded whole.

    The image itself is loaded, and otherwise stays as it is.

    Raises:
        RejectedImage: it is broken, or has 32 bits a channel.
    """
    with _rejecting():
        image.load()
        upright = image.copy()
        if tags := getattr(image, "tag_v2", None):  # which a copy of a TIFF lacks
            upright.tag_v2 = tags  # type: ignore[attr-defined]
        _turn_upright(upright)
        return _rgb(upright)


@contextmanager
def _rejecting() -> Iterator[None]:
    """Turn what Pillow raises into a RejectedImage."""
    try:
        yield
    except (RejectedImage, MemoryError):
        raise
    except Exception as error:  # a hostile file makes Pillow raise almost anything
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise RejectedImage(f"cannot be decoded: {reason}") from None


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
        box = (0.0, 0.0, *image.size) if resize == "stretch" else _centre(image.size, size)
        image = image.resize((width, height), Image.Resampling[interpolation.upper()], box)
    return np.asarray(image)


def _centre(
    image_size: tuple[int, int], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Return (left, top, right, bottom) of the largest centred section with the ratio of `size`."""
    scale = min(image_size[0] / size[1], image_size[1] / size[0])
    width, height = scale * size[1], scale * size[0]
    left, top = (image_size[0] - width) / 2, (image_size[1] - height) / 2
    return left, top, left + width, top + height


def _open(content: bytes) -> Image.Image:
    """Return the image before its pixels are read."""
    if not content:
        raise RejectedImage("the file is empty")
    # Image.open does the same, but warns of every image above half the limit, and warnings can be
    # silenced only for all threads at once.
    for name in FORMATS:
        factory, accepts = Image.OPEN[name]
        if accepts is not None and accepts(content[:16]) is True:
            image = factory(BytesIO(content), "")
            if image.width * image.height > MAX_PIXELS:
                raise RejectedImage(
                    f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,} in all"
                )
            return image
    raise RejectedImage("not a JPEG, PNG, WebP, BMP, TIFF or GIF file")


def _turn_upright(image: Image.Image) -> None:
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception as error:  # damaged EXIF is no reason to lose whole pixels
        log.debug("EXIF data ignored: %s", error)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise RejectedImage("32 bits a channel; convert it to 8 or 16 bits")
    if image.mode.startswith("I;16"):
        return _upper_bits(image).convert("RGB")
    if image.mode == "La":  # the only mode with alpha that cannot be converted to RGBA
        image = image.convert("LA")
    if image.has_transparency_data:
        key = image.info.get("transparency")
        if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:  # it has 16 bits
            image.info["transparency"] = tuple(value >> 8 for value in key)
        colours = image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(colours, mask=colours)
    return image if image.mode == "RGB" else image.convert("RGB")


def _upper_bits(image: Image.Image) -> Image.Image:
    """Return a grey image of 16 (in TIFF also 12) bits as mode L."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS, (16,))[0]
    upper = (values >> (bits - 8)).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow handles it for 8 bits alone
        upper = 255 - upper
    if "transparency" in image.info:
        upper[values == image.info["transparency"]] = 255
    return Image.fromarray(upper)


def _from_array(pixels: np.ndarray) -> Image.Image:
    shape, dtype = pixels.shape, pixels.dtype
    if dtype.kind != "u" or dtype.itemsize > 2 or len(shape) not in (2, 3) or 0 in shape:
        raise RejectedImage(f"pixels are {dtype} of shape {shape}, expected 8 or 16 unsigned bits")
    if dtype.itemsize == 2:
        pixels = (pixels >> 8).astype(np.uint8)
    return Image.fromarray(pixels[:, :, 0] if shape[2:] == (1,) else pixels)
