"""Kinds of images beside the plain ones: their pixels, and what of them is not read."""

import numpy as np
import pytest
from PIL import Image

from features.decoding import RejectedImage, decode
from features.decoding.frames import FIRST
from tests.features.pictures import encode


def drawn(mode: str = "RGB") -> Image.Image:
    across, down = np.meshgrid(np.arange(60), np.arange(40))
    pixels = np.stack([4 * across, 6 * down, 2 * (across + down)], axis=2).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def turned(format: str, orientation: int, **options) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(drawn(), format, exif=exif, **options)


def words(of: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(of).astype(np.uint16) * 257)


PAIR = {"save_all": True, "append_images": [Image.new("RGB", (60, 40), "red")]}
ODD_KINDS = {
    "CMYK JPEG": (encode(drawn("CMYK"), "JPEG", quality=100), drawn(), ()),
    "turned JPEG": (turned("JPEG", 8, quality=100), drawn().rotate(90, expand=True), ()),
    "turned AVIF": (turned("AVIF", 6, quality=100), drawn().rotate(-90, expand=True), ()),
    "turned WebP": (turned("WEBP", 3, lossless=True), drawn().rotate(180), ()),
    "1-bit TIFF, group 4": (encode(drawn("1"), "TIFF", compression="group4"), drawn("1"), ()),
    "16-bit TIFF": (encode(words(drawn("L")), "TIFF"), drawn("L"), ()),
    "CMYK TIFF": (encode(drawn("CMYK"), "TIFF"), drawn(), ()),
    "16-bit JPEG 2000": (encode(words(drawn("L")), "JPEG2000"), drawn("L"), ()),
    "palette": (encode(drawn().quantize(9), "GIF"), drawn().quantize(9), ()),
    "animated PNG": (encode(drawn(), "PNG", **PAIR), drawn(), (FIRST,)),
    "animated WebP": (encode(drawn(), "WEBP", lossless=True, **PAIR), drawn(), (FIRST,)),
    "animated GIF": (encode(drawn("L"), "GIF", **PAIR), drawn("L"), (FIRST,)),
    "TIFF of two pages": (encode(drawn(), "TIFF", **PAIR), drawn(), (FIRST,)),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD_KINDS)
def test_odd_kinds_have_their_pixels_and_what_is_not_read_is_counted(kind):
    content, plain, expected = ODD_KINDS[kind]
    notes = []
    image = decode(content, notes=notes)
    difference = np.subtract(image, plain.convert("RGB"), dtype=float)
    assert np.abs(difference).mean() < 1
    assert tuple(notes) == expected


def test_a_small_copy_in_a_tiff_is_no_page_and_a_damaged_one_costs_nothing():
    small = drawn().resize((6, 4))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    notes = []
    decode(encode(drawn(), "TIFF", save_all=True, append_images=[small]), notes=notes)
    first = len(encode(drawn(), "TIFF"))
    decode(encode(drawn(), "TIFF", **PAIR)[: first + 20], notes=notes)
    assert notes == []


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (Image.fromarray(np.zeros((4, 4), np.float32)), "32 bits a channel"),
        (Image.fromarray(np.zeros((4, 4), np.int32)), "32 bits a channel"),
        (Image.new("L", (4, 4)), "signed values; convert them"),
        (Image.new("I;16", (4, 4)), "signed values; convert them"),
    ],
)
def test_values_that_no_pixel_has_are_rejected_with_the_reason(pixels, reason):
    signs = {339: 2} if pixels.mode in ("L", "I;16") else {}
    with pytest.raises(RejectedImage, match=reason):
        decode(encode(pixels, "TIFF", tiffinfo=signs))


def test_a_tiff_whose_pixels_are_of_no_known_kind_says_so():
    content = bytearray(encode(drawn(), "TIFF"))
    at = content.index((262).to_bytes(2, "little") + b"\3\0")
    content[at + 8] = 9  # its photometric interpretation
    with pytest.raises(RejectedImage, match="a TIFF of pixels that are not read; save it in grey"):
        decode(bytes(content))
