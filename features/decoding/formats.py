"""What a file is by its first bytes, and the Pillow image of it before its pixels are read."""

import struct
from functools import cache
from io import BytesIO

from PIL import (  # importing a plugin registers its format
    AvifImagePlugin,  # noqa: F401
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    Jpeg2KImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    PpmImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
    features,
)

from features.decoding.limits import MAX_READS, check_codec, check_pixels
from features.decoding.rejection import RejectedImage
from features.decoding.tiff import check_tags, silence_libtiff

HEAD_BYTES = 132  # of a file that `format_of` looks at: DICOM has its mark at the end of these
READ = "JPEG, PNG, WebP, BMP, TIFF, GIF, PPM, AVIF, JPEG 2000 or HEIC"

_JPEG = b"\xff\xd8\xff"
_PILLOW = ("PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "JPEG2000")
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}


def format_of(head: bytes) -> str | None:
    """Return the format of a file that begins with `head`: Pillow's name for it, or "DICOM".

    None stands for everything else.
    """
    if len(head) < 4:
        return None
    if head.startswith(_JPEG):
        return "JPEG"
    if head[4:8] == b"ftyp":
        return _format_of_brands(head)
    if head[128:132] == b"DICM":
        return "DICOM"
    for name in _PILLOW:
        accepts = Image.OPEN[name][1]
        if accepts is not None and accepts(head[:16]):
            return name
    return None


def is_read(name: str | None) -> bool:
    """Tell whether images of a format are read here; None and "DICOM" are not."""
    if name == "HEIF":
        return _reads_heif()
    if name in ("AVIF", "JPEG2000"):
        return bool(features.check({"AVIF": "avif", "JPEG2000": "jpg_2000"}[name]))
    return name == "JPEG" or name in _PILLOW


def open_image(content: bytes, name: str | None) -> Image.Image:
    """Return the image before its pixels are read.

    Args:
        content: the file.
        name: its format, which is not JPEG, as `format_of` returns it.

    Raises:
        RejectedImage: it is too large, or of a format that is not read.
    """
    if name is None:
        raise RejectedImage(f"not a {READ} file")
    if not is_read(name):
        advice = (
            'pip install "offshelf[heif]" reads it' if name == "HEIF" else f"expected a {READ} file"
        )
        raise RejectedImage(f"{name} is not read here; {advice}")
    if name == "TIFF":
        silence_libtiff()
        check_tags(content)
    # Image.open does the same, but warns of every image above half the limit, and warnings can be
    # silenced only for all threads at once.
    try:
        image = Image.OPEN[name][0](_Stream(content), "")
    except SyntaxError as error:
        if str(error) != "unknown pixel mode":
            raise
        raise RejectedImage(
            "a TIFF of pixels that are not read; save it in grey or RGB of 8 or 16 bits"
        ) from None
    check_pixels(image.width, image.height)
    check_codec(image, content)
    return image


def read_freely(image: Image.Image) -> None:
    """Lift the limit on the pieces in which Pillow may read the file of `open_image`."""
    stream = getattr(image, "fp", None)
    if isinstance(stream, _Stream):
        stream.__dict__.pop("read", None)


class _Stream(BytesIO):
    """The bytes of a file, which are read in few pieces as long as `read_freely` is not called.

    Pillow would look for the pixels of a hostile file for minutes, byte by byte.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._reads = 0
        if len(content) > MAX_READS:
            self.read = self._read_counted  # type: ignore[method-assign] # of this stream alone

    def _read_counted(self, size: int | None = -1) -> bytes:
        self._reads += 1
        if self._reads > MAX_READS:
            raise RejectedImage(f"more than {MAX_READS:,} pieces before its pixels")
        return super().read(size)


def _format_of_brands(head: bytes) -> str | None:
    size = struct.unpack_from(">I", head)[0]
    brands = {head[start : start + 4] for start in (8, *range(16, min(size, len(head)), 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


@cache
def _reads_heif() -> bool:
    """Return whether the optional package is there; it registers its format with Pillow."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True
