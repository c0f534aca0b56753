"""What files are: images by their suffix or by their first bytes, hidden, or of another kind."""

import posixpath
import re

from features.decoding.formats import format_of, is_read

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".ppm",
    ".pgm", ".pbm", ".pnm", ".gif",
)  # fmt: skip

# Files of these are not opened to see what they are: data sets have one beside each image.
_ANNOTATIONS = {".txt", ".json", ".xml", ".csv", ".tsv", ".yaml", ".yml", ".cls", ".npy", ".mat"}
_CERTAIN = {"JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF", "JPEG2000"}
_PPM = re.compile(rb"P[1-6]\s+(#[^\n]*\n\s*)*\d+\s+\d+\s")
# Raw photographs, slides of microscopes and many others begin as TIFF does.
_IN_NAME = {"TIFF": re.compile(r"\.tiff?(?![a-z0-9])"), "BMP": re.compile(r"\.bmp(?![a-z0-9])")}
_LEFT_BY_SYSTEMS = {
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "@tmp", "#recycle",
    "#snapshot", "$recycle.bin", "recycler", "system volume information", "lost+found",
}  # fmt: skip


def is_image(name: str) -> bool:
    """Tell by its suffix whether a file is taken as an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_worth_opening(name: str) -> bool:
    """Tell whether a file without an image's suffix may be one: `x.jpg?w=200`, `x.avif`, `x`.

    Copies that an editor keeps (`x.jpg~`) are none.
    """
    return not name.endswith("~") and _suffix(name) not in _ANNOTATIONS


def is_image_by_content(name: str, head: bytes) -> bool:
    """Tell whether a file without an image's suffix is one that can be read here.

    Args:
        name: the name of the file.
        head: its first `decoding.formats.HEAD_BYTES`.
    """
    image_format = format_of(head)
    if image_format == "PPM":
        return _PPM.match(head) is not None
    if image_format in _IN_NAME:
        suffix = _suffix(name)
        return not suffix or _IN_NAME[image_format].match(suffix) is not None
    return image_format in _CERTAIN and is_read(image_format)


def kind_of(name: str, head: bytes = b"") -> str:
    """Return what a file that is no image is counted as: its suffix, else what it is."""
    image_format = format_of(head)
    is_certain = image_format == "DICOM" or image_format in _CERTAIN
    return _suffix(name) or (str(image_format) if is_certain else "without a suffix")


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder is hidden, or left behind by an operating system or a NAS."""
    return name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS


def _suffix(name: str) -> str:
    return posixpath.splitext(name)[1].strip().lower()
