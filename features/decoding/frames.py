"""Images of several frames or pages, of which the first is taken."""

from io import BytesIO

from PIL import Image, TiffImagePlugin

FIRST = "of several frames or pages, the first of which was taken"

_SUBFILE, _REDUCED = 254, 1  # a TIFF's tag, and its bit for a small copy of another page


def note_frames(image: Image.Image, content: bytes, notes: list[str]) -> None:
    """Add a note where an image has further frames or pages, which are not read.

    Args:
        image: the image, not loaded yet.
        content: its file.
        notes: what was guessed or looks wrong.
    """
    if image.format == "PNG":
        is_several = content.find(b"acTL", 0, content.find(b"IDAT") + 1) > 0
    elif image.format == "TIFF":
        is_several = image.is_animated and _is_page(content)  # type: ignore[attr-defined]
    else:
        is_several = getattr(image, "is_animated", False)
    if is_several:
        notes.append(FIRST)


def _is_page(content: bytes) -> bool:
    """Tell whether the second image in a TIFF is more than a small copy of the first."""
    try:
        pages = TiffImagePlugin.TiffImageFile(BytesIO(content), "")
        pages.seek(1)
    except MemoryError:
        raise
    except Exception:  # what is damaged there does not matter to the first
        return False
    return not pages.tag_v2.get(_SUBFILE, 0) & _REDUCED
